using LocalRun.Provisioning;
using Npgsql;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>Servers and clients that go away in the middle of their work.</summary>
public sealed class LostConnectionTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_server_that_is_terminated_gives_its_client_the_servers_error_and_the_pool_goes_on(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var client = await pooler.LoginAsync(database);
        using var other = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();
        var backend = int.Parse((await client.ScalarAsync("SELECT pg_backend_pid()"))!);
        await other.Query("SELECT 'served'").SendAsync();

        Assert.True(await Postgres.Server.KillBackendAsync(backend, Cancelled));

        Assert.Equal("57P01", Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        Assert.Equal("T D(served) C(SELECT 1) Z(I)", RawClient.Transcript(await other.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task An_idle_server_that_is_terminated_is_not_given_to_anybody(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        for (var i = 0; i < 3; i++)
        {
            var backend = int.Parse((await client.ScalarAsync("SELECT pg_backend_pid()"))!);
            Assert.True(await Postgres.Server.KillBackendAsync(backend, Cancelled));
            await Eventually.TrueAsync(() => pooler.Pool(database).ServersIdle == 0, cancellationToken: Cancelled);
        }

        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_crash_of_PostgreSQL_is_a_connection_failure_and_is_survived(Variant variant)
    {
        // Its own: a backend that is killed takes all others with it.
        await using var postgres = await PostgresServer.StartAsync(
            new() { HbaRules = ["host all all 127.0.0.1/32 trust"] }, Cancelled);
        var configuration = RunningPooler.Configuration(Postgres, variant);
        await using var pooler = RunningPooler.Start(configuration with
        {
            Settings = configuration.Settings with { ServerLoginRetry = TimeSpan.FromMilliseconds(100) },
            Databases = new Dictionary<string, DatabaseSettings> { ["*"] = new() { Name = "*", Host = postgres.Host, Port = postgres.Port } },
        });
        using var client = await RawClient.LoginAsync(pooler.EndPoint, "postgres", postgres.User);
        using var inTransaction = await RawClient.LoginAsync(pooler.EndPoint, "postgres", postgres.User);
        await inTransaction.Query("BEGIN").AskAsync();
        await client.Query("BEGIN").AskAsync();

        postgres.CrashBackend(int.Parse((await client.ScalarAsync("SELECT pg_backend_pid()"))!));

        Assert.Equal("08006", Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        Assert.Equal("08006", Assert.Single(await inTransaction.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        await Eventually.PassesAsync(async () =>
        {
            using var after = await RawClient.LoginAsync(pooler.EndPoint, "postgres", postgres.User);
            Assert.Equal("1", await after.ScalarAsync("SELECT 1"));
        }, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_restart_of_PostgreSQL_needs_no_restart_of_the_pooler(Variant variant)
    {
        await using var postgres = await PostgresServer.StartAsync(
            new() { HbaRules = ["host all all 127.0.0.1/32 trust"] }, Cancelled);
        var configuration = RunningPooler.Configuration(Postgres, variant);
        await using var pooler = RunningPooler.Start(configuration with
        {
            Settings = configuration.Settings with { ServerLoginRetry = TimeSpan.FromMilliseconds(50) },
            Databases = new Dictionary<string, DatabaseSettings> { ["*"] = new() { Name = "*", Host = postgres.Host, Port = postgres.Port } },
        });
        using var idle = await RawClient.LoginAsync(pooler.EndPoint, "postgres", postgres.User);
        Assert.Equal("1", await idle.ScalarAsync("SELECT 1"));

        await postgres.StopAsync();
        using (var refused = await RawClient.LoginAsync(pooler.EndPoint, "postgres", postgres.User))
        {
            await refused.Query("SELECT 1").SendAsync();
            await postgres.StartAgainAsync(Cancelled);
            var answer = await refused.ReadToReadyAsync();
            // Either it could wait until PostgreSQL was back, or it was told why not.
            Assert.True(answer[^1].Type == 'Z' || answer[^1].Field('C') is "08006" or "57P03", RawClient.Transcript(answer));
        }

        await Eventually.PassesAsync(async () =>
        {
            using var after = await RawClient.LoginAsync(pooler.EndPoint, "postgres", postgres.User);
            Assert.Equal("1", await after.ScalarAsync("SELECT 1"));
        }, cancellationToken: Cancelled);
        Assert.Equal("2", await idle.ScalarAsync("SELECT 2"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task An_application_may_start_before_its_database(Variant variant)
    {
        await using var postgres = await PostgresServer.StartAsync(
            new() { HbaRules = [$"host all {PostgresForPooler.Trusted} 127.0.0.1/32 trust"] }, Cancelled);
        await postgres.ExecuteAsync($"CREATE USER {PostgresForPooler.Trusted}", cancellationToken: Cancelled);
        await postgres.StopAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { ServerLoginRetry = TimeSpan.FromMilliseconds(50) }, d => d with { Host = postgres.Host, Port = postgres.Port });
        using var early = await RawClient.ConnectAsync(pooler.EndPoint);
        await early.Startup("postgres", PostgresForPooler.Trusted).SendAsync();
        Assert.Contains("could not connect", await pooler.WaitInVainAsync("postgres", Cancelled));

        await postgres.StartAgainAsync(Cancelled);

        Assert.Equal('Z', (await early.ReadToReadyAsync())[^1].Type);
        Assert.Equal("1", await early.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_client_that_goes_in_a_transaction_leaves_nothing_of_it_to_the_next(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var next = await pooler.LoginAsync(database);
        await next.ScalarAsync("CREATE TABLE t (a int)");
        Func<RawClient, Task>[] ways =
        [
            client => { client.Abort(); return Task.CompletedTask; },
            client => { client.HalfClose(); return Task.CompletedTask; },
            client => client.Terminate().SendAsync(),
            client => client.Query("SELECT pg_sleep(0.01)").Terminate().SendAsync(),
            async client => { await client.Query("SELECT pg_sleep(0.01)").SendAsync(); client.Abort(); },
            async client => { await client.Parse("", "SELECT 1").Bind("").SendAsync(); client.Abort(); },
            async client => { await client.Bytes((byte)'Q', 0, 0, 1, 0, (byte)'S').SendAsync(); client.Abort(); },
            async client => { await client.Query("COPY t FROM STDIN").CopyData("1\n").SendAsync(); client.Abort(); },
        ];

        foreach (var way in ways)
        {
            using var leaving = await pooler.LoginAsync(database);
            await leaving.Query("BEGIN").Query("INSERT INTO t VALUES (1)").AskAsync(2);
            await way(leaving);

            Assert.Equal("T D(0|t) C(SELECT 1) Z(I)", await next.Query(
                "SELECT (SELECT count(*) FROM t), pg_current_xact_id_if_assigned() IS NULL").AskAsync());
        }
        await Eventually.TrueAsync(() => pooler.Pool(database) is { ServersActive: 0, ServersIdle: 1 }, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_waiting_client_that_goes_is_forgotten(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        var waiting = new List<RawClient>();
        for (var i = 0; i < 6; i++)
        {
            waiting.Add(await pooler.LoginAsync(database));
            await waiting[i].Query($"SELECT {i}").SendAsync();
        }
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 6, cancellationToken: Cancelled);

        waiting[0].Abort();
        waiting[2].HalfClose();
        waiting[4].Dispose();
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 3, cancellationToken: Cancelled);
        await holder.Query("COMMIT").AskAsync();

        foreach (var i in new[] { 1, 3, 5 })
            Assert.Equal($"T D({i}) C(SELECT 1) Z(I)", RawClient.Transcript(await waiting[i].ReadToReadyAsync()));
        foreach (var client in waiting) client.Dispose();
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 1, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Npgsql_sees_the_servers_SQLSTATE_when_its_backend_is_killed(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var connection = await pooler.ConnectAsync(database);
        await using var transaction = await connection.BeginTransactionAsync(Cancelled);
        var backend = (int)(await ScalarAsync(connection, "SELECT pg_backend_pid()"))!;
        var running = ScalarAsync(connection, "SELECT pg_sleep(600)");
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);

        await Postgres.Server.KillBackendAsync(backend, Cancelled);

        Assert.Equal("57P01", (await Assert.ThrowsAsync<PostgresException>(() => running)).SqlState);
    }
}
