using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;

namespace Aspire.Hosting;

/// <summary>Asks a pooled database for <c>SELECT 1</c>: client, pooler, server and database have to work for it.</summary>
internal sealed class PooledDatabaseHealthCheck(PoolerDatabaseResource database) : IHealthCheck
{
    /// <summary>Seconds for the connection and for the query; Aspire asks again soon anyway.</summary>
    private const int TimeoutSeconds = 5;

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            // Resolved at each check: the pooler's port is known once it runs, and may be another after a restart.
            var connectionString = await database.ConnectionStringExpression.GetValueAsync(cancellationToken).ConfigureAwait(false);
            var probe = new NpgsqlConnectionStringBuilder(connectionString)
            {
                ApplicationName = "aspire health check",
                // A probe that kept a connection open would not notice a pooler that takes no new ones.
                Pooling = false,
                Timeout = TimeoutSeconds,
                CommandTimeout = TimeoutSeconds,
            };

            await using var connection = new NpgsqlConnection(probe.ConnectionString);
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using var command = new NpgsqlCommand("SELECT 1", connection);
            await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false);
            return HealthCheckResult.Healthy();
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, exception.Message, exception);
        }
    }
}
