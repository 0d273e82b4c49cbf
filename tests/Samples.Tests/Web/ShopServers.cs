using LocalRun.Provisioning;
using Samples.Tests.Web;
using Xunit;

[assembly: AssemblyFixture(typeof(ShopServers))]

namespace Samples.Tests.Web;

/// <summary>One PostgreSQL and one Redis for all tests of the web, started when the first of them asks.</summary>
public sealed class ShopServers : IAsyncDisposable
{
    private readonly Lazy<Task<PostgresServer>> _postgres = new(() => PostgresServer.StartAsync());
    private readonly Lazy<Task<RedisServer>> _redis = new(() => RedisServer.StartAsync());

    public Task<PostgresServer> PostgresAsync() => _postgres.Value;

    public Task<RedisServer> RedisAsync() => _redis.Value;

    public async ValueTask DisposeAsync()
    {
        if (_postgres.IsValueCreated)
            await (await _postgres.Value).DisposeAsync();
        if (_redis.IsValueCreated)
            await (await _redis.Value).DisposeAsync();
    }
}
