using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Console;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Operations;

/// <summary>SUSPEND, RESUME and PAUSE under load, in all pool modes: nobody may notice more than that it takes longer.</summary>
public sealed class SuspendTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    public static readonly TheoryData<Variant, PoolMode> VariantsAndModes = OperatingSystem.IsLinux()
        ? new MatrixTheoryData<Variant, PoolMode>(
            [new Variant("epoll", 1), new Variant("epoll", 4), new Variant("sockets", 4)], Enum.GetValues<PoolMode>())
        : new MatrixTheoryData<Variant, PoolMode>([new Variant("sockets", 4)], Enum.GetValues<PoolMode>());

    [Theory, MemberData(nameof(VariantsAndModes))]
    public async Task Suspending_and_resuming_under_load_loses_no_answer(Variant variant, PoolMode mode)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with { PoolMode = mode });
        using var console = await ConsoleAsync(pooler);
        await using var load = await Load.StartAsync(pooler, database, clients: 10, mode);

        for (var i = 0; i < 4; i++)
        {
            await load.ProgressAsync();
            Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());
            Assert.Equal("T D(active|no) D(paused|no) D(suspended|yes) C(SHOW) Z(I)", await console.Query("SHOW STATE").AskAsync());
            var standing = pooler.Pool(database).Totals;
            foreach (var command in (string[])["SUSPEND", "PAUSE", $"PAUSE {database}", "KILL"])
                Assert.Equal("already suspended/paused", await ErrorAsync(console, command));
            Assert.Equal((standing.Queries, standing.BytesReceived), (pooler.Pool(database).Totals.Queries, pooler.Pool(database).Totals.BytesReceived));
            Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        }

        await load.ProgressAsync();
        await load.StopAsync();
        Assert.Equal(load.Transactions, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM work", database, Cancelled));
        Assert.Equal("pooler is not paused/suspended", await ErrorAsync(console, "RESUME"));
    }

    [Theory, MemberData(nameof(VariantsAndModes))]
    public async Task Pausing_and_resuming_under_load_loses_no_answer(Variant variant, PoolMode mode)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with { PoolMode = mode });
        using var console = await ConsoleAsync(pooler);
        await using var load = await Load.StartAsync(pooler, database, clients: 10, mode);

        foreach (var what in (string[])["", $" {database}", ""])
        {
            await load.ProgressAsync();
            Assert.Equal("C(PAUSE) Z(I)", await console.Query($"PAUSE{what}").AskAsync());
            Assert.Equal("0", await console.ScalarAsync("SELECT count(*) FROM SHOW SERVERS"));
            Assert.Equal("C(RESUME) Z(I)", await console.Query($"RESUME{what}").AskAsync());
            await load.ProgressAsync();
            Assert.Equal("C(RECONNECT) Z(I)", await console.Query($"RECONNECT{what}").AskAsync());
            Assert.Equal("C(WAIT_CLOSE) Z(I)", await console.Query($"WAIT_CLOSE{what}").AskAsync());
        }

        await load.StopAsync();
        Assert.Equal(load.Transactions, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM work", database, Cancelled));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_transaction_and_an_answer_under_way_stand_still_and_go_on(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        using var inTransaction = await pooler.LoginAsync(database);
        using var inQuery = await pooler.LoginAsync(database);
        await inTransaction.Query("BEGIN").AskAsync();
        await inQuery.Query("SELECT pg_sleep(0.2), repeat('x', 1000000)").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).ServersActive == 2, cancellationToken: Cancelled);

        Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());
        await inTransaction.Query("SELECT 'late'").SendAsync();
        // Its server has answered by now, and nobody has read that.
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "state LIKE 'idle%'") == 2, cancellationToken: Cancelled);
        Assert.Equal(2, pooler.Pool(database).ServersActive);

        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        Assert.Equal("T D(late) C(SELECT 1) Z(T)", RawClient.Transcript(await inTransaction.ReadToReadyAsync()));
        Assert.Equal("C(COMMIT) Z(I)", await inTransaction.Query("COMMIT").AskAsync());
        Assert.Equal("T D(|1000000 characters) C(SELECT 1) Z(I)", RawClient.Transcript(await inQuery.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task New_clients_wait_for_resume_and_lost_ones_are_noticed_then(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        var leaving = await pooler.LoginAsync(database);
        await leaving.Query("BEGIN").AskAsync();
        Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());

        var late = pooler.LoginAsync(database);
        leaving.Abort();
        Assert.Equal("1", await console.ScalarAsync($"SELECT count(*) FROM SHOW CLIENTS WHERE database = '{database}'"));
        Assert.False(late.IsCompleted);

        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        using var client = await late;
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        await Eventually.TrueAsync(() => pooler.Pool(database) is { ClientsActive: 1, ServersActive: 0 }, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_that_do_not_read_are_dropped_after_suspend_timeout(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with { SuspendTimeout = TimeSpan.FromSeconds(1) });
        using var console = await ConsoleAsync(pooler);
        using var deaf = await pooler.LoginAsync(database);
        using var bystander = await pooler.LoginAsync(database);
        await deaf.Query("SELECT repeat('x', 1000) FROM generate_series(1, 50000)").SendAsync();
        // Nobody reads, and all buffers on the way are full.
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'ClientWrite'") == 1, cancellationToken: Cancelled);

        Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());

        Assert.Equal("1", await console.ScalarAsync($"SELECT count(*) FROM SHOW CLIENTS WHERE database = '{database}'"));
        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        Assert.Equal("1", await bystander.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task When_the_last_console_leaves_the_pooler_goes_on()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var client = await pooler.LoginAsync(database);
        using (var console = await ConsoleAsync(pooler))
            Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task Paused_databases_stand_in_the_way_of_suspend()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("C(PAUSE) Z(I)", await console.Query($"PAUSE {database}").AskAsync());
        Assert.Equal("C(PAUSE) Z(I)", await console.Query($"PAUSE {database}").AskAsync());
        Assert.Equal("cannot suspend with paused databases", await ErrorAsync(console, "SUSPEND"));
        Assert.Equal("C(RESUME) Z(I)", await console.Query($"RESUME {database}").AskAsync());
        Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());
        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
    }

    [Fact]
    public async Task Resume_of_everything_leaves_paused_what_was_paused_by_name_and_undoes_kill()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        var paused = $"SELECT paused FROM SHOW DATABASES WHERE name = '{database}'";
        await console.Query($"PAUSE {database}").AskAsync();
        await console.Query("PAUSE").AskAsync();
        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        Assert.Equal("1", await console.ScalarAsync(paused));
        Assert.Equal("C(RESUME) Z(I)", await console.Query($"RESUME {database}").AskAsync());

        Assert.Equal("C(KILL) Z(I)", await console.Query("KILL").AskAsync());
        Assert.Equal("1", await console.ScalarAsync(paused));
        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        Assert.Equal("0", await console.ScalarAsync(paused));
    }

    [Fact]
    public async Task A_resume_from_elsewhere_ends_a_pause_that_waits()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var working = await pooler.LoginAsync(database);
        using var console = await ConsoleAsync(pooler);
        using var other = await ConsoleAsync(pooler);
        await working.Query("BEGIN").AskAsync();
        await console.Query("PAUSE").SendAsync();
        await Eventually.TrueAsync(async () =>
            await other.ScalarAsync("SELECT value FROM SHOW STATE WHERE key = 'paused'") == "yes", cancellationToken: Cancelled);

        Assert.Equal("C(RESUME) Z(I)", await other.Query("RESUME").AskAsync());

        Assert.Equal("ended by RESUME", Assert.Single(await console.ReadToReadyAsync(), m => m.Type == 'E').Field('M'));
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
    }

    [Fact]
    public async Task Kill_is_answered_when_all_are_gone()
    {
        var (first, second) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        await using var pooler = Start(new Variant(AnyVariant.Backend, 4));
        using var console = await ConsoleAsync(pooler);
        var clients = new List<RawClient>();
        for (var i = 0; i < 6; i++) clients.Add(await pooler.LoginAsync(i % 2 == 0 ? first : second));
        Assert.Equal("C(KILL) Z(I)", await console.Query($"KILL {first}").AskAsync());
        Assert.Equal("3", await console.ScalarAsync("SELECT count(*) FROM SHOW CLIENTS WHERE database <> 'pgbouncer'"));
        var id = await console.ScalarAsync($"SELECT id FROM SHOW CLIENTS WHERE database = '{second}' LIMIT 1");
        Assert.Equal("C(KILL_CLIENT) Z(I)", await console.Query($"KILL_CLIENT {id}").AskAsync());
        Assert.Equal("2", await console.ScalarAsync("SELECT count(*) FROM SHOW CLIENTS WHERE database <> 'pgbouncer'"));
        Assert.Equal("C(KILL) Z(I)", await console.Query("KILL").AskAsync());
        Assert.Equal("0", await console.ScalarAsync("SELECT count(*) FROM SHOW CLIENTS WHERE database <> 'pgbouncer'"));
        foreach (var client in clients) client.Dispose();
    }
}
