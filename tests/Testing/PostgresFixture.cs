using LocalRun.Provisioning;
using Xunit;

namespace Testing;

/// <summary>
/// One PostgreSQL for all tests of an assembly: <c>[assembly: AssemblyFixture(typeof(PostgresFixture))]</c>, then take
/// it as a constructor parameter. A test makes a database of its own with <see cref="NewDatabaseAsync"/>.
/// </summary>
public class PostgresFixture : IAsyncLifetime
{
    private PostgresServer? _server;
    private int _databases;

    /// <summary>The server.</summary>
    public PostgresServer Server => _server ?? throw new InvalidOperationException("The fixture has not been initialized.");

    /// <summary>Options of the server; override for others.</summary>
    protected virtual PostgresServerOptions Options => new()
    {
        Settings = new Dictionary<string, string> { ["max_connections"] = "300" },
    };

    /// <inheritdoc/>
    public virtual async ValueTask InitializeAsync() => _server = await PostgresServer.StartAsync(Options);

    /// <summary>Creates an empty database for one test.</summary>
    /// <returns>Its name.</returns>
    public async Task<string> NewDatabaseAsync(CancellationToken cancellationToken = default)
    {
        var name = $"test{Interlocked.Increment(ref _databases)}";
        await Server.CreateDatabaseAsync(name, cancellationToken);
        return name;
    }

    /// <inheritdoc/>
    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_server is not null)
            await _server.DisposeAsync();
    }
}

/// <summary>One Redis for all tests of an assembly; used like <see cref="PostgresFixture"/>.</summary>
public sealed class RedisFixture : IAsyncLifetime
{
    private RedisServer? _server;

    /// <summary>The server.</summary>
    public RedisServer Server => _server ?? throw new InvalidOperationException("The fixture has not been initialized.");

    /// <inheritdoc/>
    public async ValueTask InitializeAsync() => _server = await RedisServer.StartAsync();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
    }
}
