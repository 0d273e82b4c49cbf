using System.Net;
using System.Net.Sockets;
using LocalRun.Processes;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>Limits of time. Each is set short; what is checked is that it ends what it is for, and nothing else.</summary>
public sealed class TimeoutTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(50);

    [Theory, MemberData(nameof(Backends))]
    public async Task Query_wait_timeout_ends_a_client_that_waits(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        using var waiting = await pooler.LoginAsync(database);
        pooler.Change(s => s with { QueryWaitTimeout = TimeSpan.FromMilliseconds(300) });

        await waiting.Query("SELECT 1").SendAsync();

        Assert.Equal("08P01: query_wait_timeout", Error(await waiting.ReadToEndAsync()));
        Assert.Equal("C(COMMIT) Z(I)", await holder.Query("COMMIT").AskAsync());
        Assert.Equal("1", await holder.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_waits_long_gets_a_notice(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1, QueryWaitNotify = 1 });
        using var holder = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        using var waiting = await pooler.LoginAsync(database);

        await waiting.Query("SELECT 1").SendAsync();
        var notice = (await waiting.ReadToAsync('N'))[^1];
        await holder.Query("COMMIT").AskAsync();

        Assert.Equal("NOTICE", notice.Field('S'));
        Assert.Equal("T D(1) C(SELECT 1) Z(I)", RawClient.Transcript(await waiting.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Query_timeout_ends_the_client_and_its_query(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        using var other = await pooler.LoginAsync(database);
        pooler.Change(s => s with { QueryTimeout = TimeSpan.FromMilliseconds(500) });

        await client.Query("SELECT pg_sleep(600)").SendAsync();

        Assert.Equal("57014: query timeout", Error(await client.ReadToEndAsync()));
        pooler.Change(s => s with { QueryTimeout = TimeSpan.Zero });
        Assert.Equal("1", await other.ScalarAsync("SELECT 1"));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 0, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Idle_transaction_timeout_ends_only_who_idles_in_a_transaction(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 1, IdleTransactionTimeout = Short });
        using var idle = await pooler.LoginAsync(database);
        using var client = await pooler.LoginAsync(database);
        await idle.ScalarAsync("CREATE TABLE t (a int)");
        await client.Query("BEGIN").Query("INSERT INTO t VALUES (1)").AskAsync(2);

        Assert.Equal("25P03: idle transaction timeout", Error(await client.ReadToEndAsync()));
        Assert.Equal("0", await idle.ScalarAsync("SELECT count(*) FROM t"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Transaction_timeout_ends_a_busy_transaction_as_well(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();

        await client.Query("SELECT pg_sleep(600)").SendAsync();

        pooler.Change(s => s with { TransactionTimeout = TimeSpan.FromMilliseconds(500) });
        Assert.Equal("25P04: transaction timeout", Error(await client.ReadToEndAsync()));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 0, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Client_idle_timeout_ends_idle_clients_but_not_working_ones(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var idle = await pooler.LoginAsync(database);
        using var working = await pooler.LoginAsync(database);
        await working.Query("SELECT pg_sleep(1)").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).ServersActive == 1, cancellationToken: Cancelled);
        pooler.Change(s => s with { ClientIdleTimeout = TimeSpan.FromMilliseconds(200) });

        Assert.Equal("57P05: client_idle_timeout", Error(await idle.ReadToEndAsync()));
        Assert.Equal("T D() C(SELECT 1) Z(I)", RawClient.Transcript(await working.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Client_login_timeout_ends_who_does_not_log_in(Variant variant)
    {
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { AuthType = AuthType.ScramSha256 });
        using var silent = await RawClient.ConnectAsync(pooler.EndPoint);
        using var halfway = await RawClient.ConnectAsync(pooler.EndPoint);
        await halfway.Startup("postgres", Postgres.Server.User).SendAsync();
        await halfway.ReadAsync();
        pooler.Change(s => s with { ClientLoginTimeout = Short });

        Assert.Equal("08P01: client_login_timeout", Error(await silent.ReadToEndAsync()));
        Assert.Equal("08P01: client_login_timeout", Error(await halfway.ReadToEndAsync()));
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 0, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Server_idle_timeout_closes_idle_servers(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { ServerIdleTimeout = Short });
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));

        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);

        Assert.Equal("2", await client.ScalarAsync("SELECT 2"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_lifetime_of_zero_uses_each_server_once(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 1, ServerLifetime = TimeSpan.Zero });
        using var client = await pooler.LoginAsync(database);
        var backends = new HashSet<string?>();

        for (var i = 0; i < 5; i++)
        {
            await client.Query("BEGIN").AskAsync();
            backends.Add(await client.ScalarAsync("SELECT pg_backend_pid()"));
            await client.Query("COMMIT").AskAsync();
        }

        Assert.Equal(5, backends.Count);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_never_answers_is_given_up_after_server_connect_timeout(Variant variant)
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { ServerConnectTimeout = TimeSpan.FromMilliseconds(200) },
            d => d with { Port = ((IPEndPoint)silent.LocalEndpoint).Port });

        Assert.Contains("server_connect_timeout", await pooler.WaitInVainAsync("postgres", Cancelled));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_login_that_waited_in_vain_hears_why(Variant variant)
    {
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { ServerLoginRetry = TimeSpan.FromHours(1) }, d => d with { Port = Ports.Take() });
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup("postgres", PostgresForPooler.Trusted).SendAsync();
        await pooler.WaitInVainAsync("postgres", Cancelled);

        pooler.Change(s => s with { ClientLoginTimeout = Short });

        var error = Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E');
        Assert.Equal("client_login_timeout (server down)", error.Field('M'));
        Assert.Contains("could not connect to server", error.Field('D'));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_failed_server_login_is_told_at_once_and_not_repeated_before_server_login_retry(Variant variant)
    {
        var configuration = RunningPooler.Configuration(Postgres, variant);
        await using var pooler = RunningPooler.Start(configuration with
        {
            Users = new Dictionary<string, UserSettings> { ["postgres"] = new() { Name = "postgres", Secret = "wrong" } },
        });

        var first = await RefusalAsync(pooler, "postgres", "postgres");
        var second = await RefusalAsync(pooler, "postgres", "postgres");

        Assert.StartsWith("28P01: ", first);
        Assert.StartsWith("28P01: server login has been failing", second);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_database_that_PostgreSQL_does_not_have_can_be_created_and_used_later(Variant variant)
    {
        var name = $"later_{variant.Backend}";
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { ServerLoginRetry = TimeSpan.FromMilliseconds(10) });

        Assert.StartsWith("3D000: ", await RefusalAsync(pooler, name, PostgresForPooler.Trusted));
        await Postgres.Server.CreateDatabaseAsync(name, Cancelled);

        await Eventually.PassesAsync(async () =>
        {
            using var client = await pooler.LoginAsync(name);
            Assert.Equal(name, await client.ScalarAsync("SELECT current_database()"));
        }, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_fails_its_check_is_replaced_before_a_client_gets_it(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with
        {
            DefaultPoolSize = 1, ServerCheckDelay = TimeSpan.Zero,
            ServerCheckQuery = "SELECT 1 / (CASE WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'broken') THEN 0 ELSE 1 END)",
        });
        using var client = await pooler.LoginAsync(database);
        var backend = await client.ScalarAsync("SELECT pg_backend_pid()");
        Assert.Equal(backend, await client.ScalarAsync("SELECT pg_backend_pid()"));

        await client.ScalarAsync("CREATE TABLE broken ()");

        Assert.NotEqual(backend, await client.ScalarAsync("SELECT pg_backend_pid()"));
    }

    private static string Error(List<RawMessage> messages)
    {
        var error = Assert.Single(messages, m => m.Type == 'E');
        Assert.Equal("FATAL", error.Field('S'));
        return $"{error.Field('C')}: {error.Field('M')}";
    }

    private static async Task<string> RefusalAsync(RunningPooler pooler, string database, string user)
    {
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, user).SendAsync();
        return Error(await client.ReadToEndAsync());
    }
}
