using LocalRun.Provisioning;
using Xunit;

[assembly: AssemblyFixture(typeof(Pooler.IntegrationTests.Replication.Publisher))]

namespace Pooler.IntegrationTests.Replication;

/// <summary>
/// A PostgreSQL of its own for what streams WAL: it keeps enough of it for logical decoding, and stays small, so that
/// backups are quick. Starts when a test first asks for it.
/// </summary>
public sealed class Publisher : IAsyncDisposable
{
    /// <summary>A user who may log in without a password, but may not stream.</summary>
    public const string Unprivileged = "unprivileged";

    private readonly Lazy<Task<PostgresServer>> _server = new(StartAsync);
    private int _databases;

    public Task<PostgresServer> ServerAsync() => _server.Value;

    /// <summary>Creates an empty database for one test.</summary>
    public async Task<string> NewDatabaseAsync(CancellationToken cancellationToken)
    {
        var name = $"published{Interlocked.Increment(ref _databases)}";
        await (await ServerAsync()).CreateDatabaseAsync(name, cancellationToken);
        return name;
    }

    public async ValueTask DisposeAsync()
    {
        if (_server.IsValueCreated) await (await _server.Value).DisposeAsync();
    }

    private static async Task<PostgresServer> StartAsync()
    {
        var server = await PostgresServer.StartAsync(new PostgresServerOptions
        {
            HbaRules =
            [
                $"host all,replication {PostgresForPooler.Trusted} 127.0.0.1/32 trust",
                $"host all,replication {Unprivileged} 127.0.0.1/32 trust",
            ],
            Settings = new Dictionary<string, string>
            {
                ["wal_level"] = "logical", ["max_wal_senders"] = "30", ["max_replication_slots"] = "30", ["shared_buffers"] = "32MB",
            },
        });
        await server.ExecuteAsync($"CREATE USER {PostgresForPooler.Trusted} SUPERUSER");
        await server.ExecuteAsync($"CREATE USER {Unprivileged}");
        return server;
    }
}
