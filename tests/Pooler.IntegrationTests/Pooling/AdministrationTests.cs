using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Operations;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>What administrators do while clients work: no client may notice more than a pause.</summary>
public sealed class AdministrationTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_pause_under_load_closes_all_servers_and_is_no_error_for_anybody(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var load = await Load.StartAsync(pooler, database, clients: 12);

        for (var i = 0; i < 3; i++)
        {
            await load.ProgressAsync();
            await pooler.Engine.PauseAsync(i == 1 ? database : null, Cancelled);
            Assert.Equal(0, pooler.Pool(database).ServersActive);
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
            // By name it may be paused again; all of it only once.
            if (i != 1) Assert.Throws<AdministrationException>(() => { _ = pooler.Engine.PauseAsync(null, Cancelled); });
            pooler.Engine.Resume(i == 1 ? database : null);
        }

        await load.ProgressAsync();
        await load.StopAsync();
    }

    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_reconnect_under_load_replaces_every_server_and_is_no_error_for_anybody(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 3 });
        await using var load = await Load.StartAsync(pooler, database, clients: 12);

        for (var i = 0; i < 3; i++)
        {
            await load.ProgressAsync();
            var before = await BackendIdsAsync(database);
            pooler.Engine.Reconnect(null);
            await Eventually.TrueAsync(
                async () => !(await BackendIdsAsync(database)).Overlaps(before), cancellationToken: Cancelled);
        }

        await load.ProgressAsync();
        await load.StopAsync();
        Assert.InRange(await BackendsOfAsync(database), 1, 3);
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task A_reload_under_load_changes_the_pool_size_and_is_no_error_for_anybody(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        await using var load = await Load.StartAsync(pooler, database, clients: 12);

        foreach (var size in new[] { 6, 2, 4, 1 })
        {
            await load.ProgressAsync();
            pooler.Reload(c => c with { Settings = c.Settings with { DefaultPoolSize = size } });
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == size, cancellationToken: Cancelled);
        }

        await load.ProgressAsync();
        await load.StopAsync();
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task A_shutdown_that_waits_for_clients_lets_them_finish(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();

        var shutdown = pooler.Engine.ShutdownAsync(ShutdownMode.WaitForClients);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        Assert.False(shutdown.IsCompleted);
        Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
        await client.Terminate().SendAsync();

        await shutdown.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_database_that_a_reload_removes_closes_its_servers(Variant variant)
    {
        var (removed, kept) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        var configuration = RunningPooler.Configuration(Postgres, variant);
        var both = new[] { removed, kept }.ToDictionary(name => name, name => configuration.Databases["*"] with { Name = name });
        await using var pooler = RunningPooler.Start(configuration with { Databases = both });
        using var left = await pooler.LoginAsync(removed);
        using var stays = await pooler.LoginAsync(kept);
        var backend = await stays.ScalarAsync("SELECT pg_backend_pid()");
        Assert.Equal(1, await BackendsOfAsync(removed, "state = 'idle'"));

        pooler.Reload(c => c with { Databases = new Dictionary<string, DatabaseSettings> { [kept] = both[kept] } });

        await Eventually.TrueAsync(async () => await BackendsOfAsync(removed) == 0, cancellationToken: Cancelled);
        using var late = await RawClient.ConnectAsync(pooler.EndPoint);
        await late.Startup(removed, PostgresForPooler.Trusted).SendAsync();
        Assert.Equal("3D000", (await late.ReadToEndAsync())[^1].Field('C'));
        Assert.Equal(backend, await stays.ScalarAsync("SELECT pg_backend_pid()"));

        pooler.Reload(c => c with { Databases = both });
        using var back = await pooler.LoginAsync(removed);
        Assert.Equal("1", await back.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Health_says_paused_while_all_databases_are(Variant variant)
    {
        var (first, second) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        await using var pooler = RunningPooler.Start(Postgres, variant);
        foreach (var database in new[] { first, second })
        {
            using var client = await pooler.LoginAsync(database);
            await client.ScalarAsync("SELECT 1");
        }
        Assert.True((await pooler.Engine.CheckHealthAsync(Cancelled)).IsHealthy);

        await pooler.Engine.PauseAsync(first, Cancelled);
        Assert.True((await pooler.Engine.CheckHealthAsync(Cancelled)).IsHealthy);
        await pooler.Engine.PauseAsync(second, Cancelled);
        Assert.Equal(new HealthReport(false, "paused"), await pooler.Engine.CheckHealthAsync(Cancelled));

        pooler.Engine.Resume(second);
        Assert.True((await pooler.Engine.CheckHealthAsync(Cancelled)).IsHealthy);
    }

    [Fact]
    public async Task Health_says_paused_also_before_any_database_is_known()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant);

        // A probe that waited for a server would wait until the limit, and say so.
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        limit.CancelAfter(TimeSpan.FromSeconds(10));

        await pooler.Engine.PauseAsync(null, Cancelled);
        Assert.Equal(new HealthReport(false, "paused"), await pooler.Engine.CheckHealthAsync(limit.Token));

        pooler.Engine.Resume(null);
        Assert.True((await pooler.Engine.CheckHealthAsync(Cancelled)).IsHealthy);
    }

    private async Task<HashSet<int>> BackendIdsAsync(string database)
    {
        var ids = (int[])(await Postgres.Server.ExecuteAsync(
            $"SELECT coalesce(array_agg(pid), '{{}}') FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'",
            cancellationToken: Cancelled))!;
        return [.. ids];
    }
}
