using LocalRun.Provisioning;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Hosts;

/// <summary>A primary with a hot standby, for the tests of this folder. Both listen on two loopback addresses.</summary>
public sealed class PrimaryAndStandby : IAsyncLifetime
{
    private PostgresServer? _primary;
    private PostgresServer? _standby;

    public PostgresServer Primary => _primary!;

    public PostgresServer Standby => _standby!;

    private static Dictionary<string, string> Settings => new()
    {
        ["listen_addresses"] = "127.0.0.1, 127.0.0.2",
        ["shared_buffers"] = "16MB",
        ["max_connections"] = "60",
        ["max_wal_senders"] = "8",
        ["wal_retrieve_retry_interval"] = "100ms",
        ["jit"] = "off",
    };

    public async ValueTask InitializeAsync()
    {
        _primary = await PostgresServer.StartAsync(new PostgresServerOptions
        {
            HbaRules = [$"host all {PostgresForPooler.Trusted} 127.0.0.0/8 trust"],
            Settings = Settings,
        });
        await _primary.ExecuteAsync($"CREATE USER {PostgresForPooler.Trusted} SUPERUSER");
        _standby = await NewStandbyAsync();
    }

    /// <summary>A further standby, for a test that promotes it.</summary>
    public Task<PostgresServer> NewStandbyAsync() => PostgresServer.StartAsync(new PostgresServerOptions { StandbyOf = Primary, Settings = Settings });

    public async ValueTask DisposeAsync()
    {
        if (_standby is not null) await _standby.DisposeAsync();
        if (_primary is not null) await _primary.DisposeAsync();
    }

    /// <summary>A pooler with database postgres on hosts that are listed with their ports.</summary>
    internal static RunningPooler Start(
        IReadOnlyList<int> ports, Func<DatabaseSettings, DatabaseSettings>? database = null, Func<PoolerSettings, PoolerSettings>? settings = null,
        RecordingLog? log = null)
    {
        var target = new DatabaseSettings
        {
            Name = "postgres",
            Host = string.Join(',', ports.Select(_ => "127.0.0.1")),
            Port = ports[0],
            PortList = ports.Count > 1 ? string.Join(',', ports) : null,
        };
        var all = RunningPooler.Settings(PoolerTest.AnyVariant) with
        {
            ServerLoginRetry = TimeSpan.FromMilliseconds(200),
            AdminUsers = PostgresForPooler.Trusted,
        };
        return RunningPooler.Start(new PoolerConfiguration
        {
            Settings = settings?.Invoke(all) ?? all,
            Databases = new Dictionary<string, DatabaseSettings> { ["postgres"] = database?.Invoke(target) ?? target },
            Users = new Dictionary<string, UserSettings> { [PostgresForPooler.Trusted] = new() { Name = PostgresForPooler.Trusted } },
        }, log);
    }

    /// <summary>The table of the console as text: cells with blanks, rows with semicolons.</summary>
    internal static async Task<string> ShowAsync(RunningPooler pooler, string sql)
    {
        using var console = await pooler.LoginAsync("pgbouncer");
        await console.Query(sql).SendAsync();
        return string.Join("; ", (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => string.Join(' ', m.Cells())));
    }
}

/// <summary>These tests stop and start servers that they share.</summary>
[CollectionDefinition(nameof(PrimaryAndStandby))]
public sealed class PrimaryAndStandbyCollection : ICollectionFixture<PrimaryAndStandby>;
