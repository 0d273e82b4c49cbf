using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;
using StackExchange.Redis;

namespace SampleWeb.Hosting;

/// <summary>Healthy when the tables are there and <c>SELECT 1</c> comes back, through the pool when there is one.</summary>
internal sealed class DatabaseHealthCheck(NpgsqlDataSource dataSource, DatabaseState state) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        if (!state.IsReady)
            return HealthCheckResult.Unhealthy("The database isn't there or isn't migrated yet.");

        await using var command = dataSource.CreateCommand("SELECT 1");
        command.CommandTimeout = 5;
        return await command.ExecuteScalarAsync(cancellationToken) is 1
            ? HealthCheckResult.Healthy()
            : HealthCheckResult.Unhealthy("SELECT 1 did not answer 1.");
    }
}

/// <summary>Healthy when Redis answers a PING.</summary>
internal sealed class RedisHealthCheck(IConnectionMultiplexer redis) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        await redis.GetDatabase().PingAsync();
        return HealthCheckResult.Healthy();
    }
}
