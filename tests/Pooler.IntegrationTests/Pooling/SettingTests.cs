using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>Settings that change how a server is prepared, or what a client may do.</summary>
public sealed class SettingTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Connect_query_prepares_every_server(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, database: d => d with { ConnectQuery = "SET work_mem TO '1234kB'; SET TimeZone TO 'Pacific/Chatham'" });
        using var first = await pooler.LoginAsync(database);
        using var second = await pooler.LoginAsync(database);

        foreach (var client in new[] { first, second })
        {
            // In transactions, so that each has a server of its own.
            await client.Query("BEGIN").AskAsync();
            Assert.Equal("1234kB", await client.ScalarAsync("SHOW work_mem"));
            Assert.Equal("Pacific/Chatham", await client.ScalarAsync("SHOW TimeZone"));
            Assert.Equal("Pacific/Chatham", client.Parameters["TimeZone"]);
        }
        Assert.Equal(2, await BackendsOfAsync(database));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_connect_query_that_fails_is_an_error_for_the_client(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, database: d => d with { ConnectQuery = "SELECT 1 / 0" });
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);

        await client.Startup(database, PostgresForPooler.Trusted).SendAsync();

        var error = Assert.Single(await client.ReadToEndAsync());
        Assert.Equal("FATAL 22012", $"{error.Field('S')} {error.Field('C')}");
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
    }

    [Theory, InlineData(true, "4MB"), InlineData(false, "1MB")]
    public async Task Server_reset_query_always_runs_after_every_transaction(bool always, string seen)
    {
        var database = await NewDatabaseAsync();
        foreach (var variant in Backends.Select(row => row.Data))
        {
            await using var pooler = RunningPooler.Start(
                Postgres, variant, s => s with { DefaultPoolSize = 1, ServerResetQueryAlways = always });
            using var client = await pooler.LoginAsync(database, ("TimeZone", "Asia/Tokyo"));
            using var other = await pooler.LoginAsync(database);

            await client.ScalarAsync("SET work_mem TO '1MB'");
            Assert.Equal(seen, await other.ScalarAsync("SHOW work_mem"));

            // What belongs to the client outlives the reset.
            Assert.Equal("1 Z(I)", await client.Parse("mine", "SELECT current_setting('TimeZone')").Sync().AskAsync());
            for (var i = 0; i < 3; i++)
            {
                Assert.Equal("2 D(Asia/Tokyo) C(SELECT 1) Z(I)", await client.Bind("mine").Execute().Sync().AskAsync());
                Assert.Equal("1", await other.ScalarAsync("SELECT 1"));
            }
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Ignore_startup_parameters_throws_away_what_it_names(Variant variant)
    {
        var database = await NewDatabaseAsync();
        (string, string)[] startup = [("odd name", "x"), ("statement_timeout", "12345"), ("options", "-c lock_timeout=54321 -c geqo=off")];
        await using (var pooler = RunningPooler.Start(Postgres, variant))
        {
            using var refused = await RawClient.ConnectAsync(pooler.EndPoint);
            await refused.Startup(database, PostgresForPooler.Trusted, startup).SendAsync();
            var error = Assert.Single(await refused.ReadToEndAsync(), m => m.Type == 'E');
            Assert.Equal("08P01 unsupported startup parameter: odd name", $"{error.Field('C')} {error.Field('M')}");
        }
        await using (var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { IgnoreStartupParameters = "odd name, Statement_Timeout,lock_timeout" }))
        {
            using var client = await pooler.LoginAsync(database, startup);
            Assert.Equal("0|0|off", await client.ScalarAsync(
                "SELECT concat_ws('|', current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('geqo'))"));
        }
    }

    [Theory, InlineData("IntervalStyle", PostgresForPooler.PlainUser), InlineData("session_authorization", PostgresForPooler.Trusted)]
    public async Task Track_extra_parameters_keeps_further_parameters_per_client(string tracked, string seenByTheOther)
    {
        var database = await NewDatabaseAsync();
        foreach (var variant in Backends.Select(row => row.Data))
        {
            await using var pooler = RunningPooler.Start(
                Postgres, variant, s => s with { DefaultPoolSize = 1, TrackExtraParameters = tracked });
            using var client = await pooler.LoginAsync(database);
            using var other = await pooler.LoginAsync(database);

            await client.ScalarAsync($"SET SESSION AUTHORIZATION {PostgresForPooler.PlainUser}");

            for (var i = 0; i < 2; i++)
            {
                Assert.Equal(seenByTheOther, await other.ScalarAsync("SELECT session_user"));
                Assert.Equal(PostgresForPooler.PlainUser, await client.ScalarAsync("SELECT session_user"));
            }
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Without_load_balancing_the_next_host_is_taken_only_when_one_fails(Variant variant)
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        // PostgreSQL listens on the second address only.
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(
            Postgres, variant,
            s => s with { DefaultPoolSize = 1, ServerLoginRetry = TimeSpan.FromMilliseconds(20) },
            d => d with { Host = "127.0.0.2, 127.0.0.1", LoadBalanceHosts = "disable" }), log);
        RawClient? first = null;
        await Eventually.TrueAsync(async () => (first = await pooler.LoginAsync(database)) is not null, cancellationToken: Cancelled);
        using var client = first!;

        for (var i = 0; i < 4; i++)
        {
            var before = await client.ScalarAsync("SELECT pg_backend_pid()");
            pooler.Engine.Reconnect(null);
            await Eventually.TrueAsync(async () => await client.ScalarAsync("SELECT pg_backend_pid()") != before, cancellationToken: Cancelled);
        }

        Assert.Single(log.Lines, l => l.Contains("server login failed", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Autodb_idle_timeout_forgets_a_database_that_nobody_uses(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with
        {
            AutodbIdleTimeout = TimeSpan.FromMilliseconds(50), ServerIdleTimeout = TimeSpan.FromMilliseconds(50),
        });
        bool IsKnown() => pooler.Engine.Snapshot().Pools.Any(p => p.Database == database);

        for (var i = 0; i < 2; i++)
        {
            using var client = await pooler.LoginAsync(database);
            Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
            Assert.True(IsKnown());
            Assert.Equal("1", await client.ScalarAsync("SELECT 1"));

            await client.Terminate().SendAsync();
            await Eventually.TrueAsync(() => !IsKnown(), cancellationToken: Cancelled);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Disable_pqexec_refuses_simple_queries_and_nothing_else(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DisablePqexec = true });
        using var client = await pooler.LoginAsync(database);
        const string extended = "1 2 D(1) C(SELECT 1) Z(I)";
        Assert.Equal(extended, await client.Parse("", "SELECT 1").Bind("").Execute().Sync().AskAsync());

        await client.Query("SELECT 1").SendAsync();

        Assert.Equal("08P01", Assert.Single(await client.ReadToEndAsync()).Field('C'));
        using var next = await pooler.LoginAsync(database);
        Assert.Equal(extended, await next.Parse("", "SELECT 1").Bind("").Execute().Sync().AskAsync());
    }
}
