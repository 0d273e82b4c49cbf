using Pooler.Engine.Configuration;
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
    public async Task Pool_idle_timeout_forgets_a_pool_and_the_next_client_makes_it_anew(Variant variant)
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, variant, s => s with
        {
            PoolIdleTimeout = TimeSpan.FromMilliseconds(50), ServerIdleTimeout = TimeSpan.FromMilliseconds(50),
        }), log);
        bool IsKnown() => pooler.Engine.Snapshot().Pools.Any(p => p.Database == database);

        for (var i = 1; i <= 2; i++)
        {
            using (var client = await pooler.LoginAsync(database))
            {
                await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
                Assert.True(IsKnown());
                Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
                await client.Terminate().SendAsync();
            }
            await Eventually.TrueAsync(() => !IsKnown(), cancellationToken: Cancelled);
            // Written a moment after the pool is gone.
            await Eventually.TrueAsync(() => i == log.Lines.Count(l => l.StartsWith(
                $"cleaning up idle pool for user {PostgresForPooler.Trusted} on db {database} because: pool idle timeout (age= ", StringComparison.Ordinal)), cancellationToken: Cancelled);
        }
    }

    [Fact]
    public async Task Min_pool_size_of_a_forced_user_needs_no_client_and_keeps_the_pool_known()
    {
        var database = await NewDatabaseAsync();
        var configuration = RunningPooler.Configuration(
            Postgres, AnyVariant, s => s with { PoolIdleTimeout = TimeSpan.FromMilliseconds(1), ServerLoginRetry = TimeSpan.FromHours(1) });
        var entry = configuration.Databases["*"] with { User = PostgresForPooler.Trusted, MinPoolSize = 2 };
        configuration = configuration with
        {
            Databases = new[]
            {
                entry with { Name = "kept", DbName = database },
                entry with { Name = "free", DbName = database, User = null },
                // Cannot be logged in to: without servers, and to be kept nevertheless.
                entry with { Name = "lost", DbName = "no_such_database" },
            }.ToDictionary(d => d.Name),
        };
        await using var pooler = RunningPooler.Start(configuration);

        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 2, cancellationToken: Cancelled);
        await Eventually.TrueAsync(() => pooler.Pool("lost") is { ServersLogin: 0, Size: > 0 }, cancellationToken: Cancelled);
        var seen = new HashSet<bool>();
        for (var i = 0; i < 20; i++) seen.Add(pooler.Engine.Snapshot().Pools.Select(p => p.Database).SequenceEqual(["kept", "lost"]));
        Assert.Equal([true], seen);
    }

    [Fact]
    public async Task A_pool_size_of_zero_is_no_limit()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { DefaultPoolSize = 0 });
        var clients = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => pooler.LoginAsync(database)));
        foreach (var client in clients) Assert.Equal("C(BEGIN) Z(T)", await client.Query("BEGIN").AskAsync());
        Assert.Equal(12, await BackendsOfAsync(database));
        foreach (var client in clients) client.Dispose();
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Login_notify_message_is_a_notice_before_the_first_ready(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { LoginNotifyMessage = "maintenance at noon", AdminUsers = PostgresForPooler.Trusted });
        foreach (var name in new[] { database, "pgbouncer" })
        {
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);
            await client.Startup(name, PostgresForPooler.Trusted).SendAsync();
            var answer = await client.ReadToReadyAsync();
            var notice = Assert.Single(answer, m => m.Type == 'N');
            Assert.Equal("NOTICE 00000 maintenance at noon", $"{notice.Field('S')} {notice.Field('C')} {notice.Field('M')}");
            Assert.Equal(['K', 'N', 'Z'], answer.Select(m => m.Type).TakeLast(3));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Server_fast_close_ends_a_session_between_transactions_when_its_server_is_to_be_replaced(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { PoolMode = PoolMode.Session, ServerFastClose = true });
        using var idle = await pooler.LoginAsync(database);
        using var working = await pooler.LoginAsync(database);
        Assert.Equal("1", await idle.ScalarAsync("SELECT 1"));
        Assert.Equal("C(BEGIN) Z(T)", await working.Query("BEGIN").AskAsync());

        pooler.Engine.Reconnect(null);

        Assert.Equal("database configuration changed", Assert.Single(await idle.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        Assert.Equal("1", await working.ScalarAsync("SELECT 1"));
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        Assert.Equal("database configuration changed", Assert.Single(await working.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
    }

    [Fact]
    public async Task Limits_of_the_work_are_those_of_the_pools_user_and_limits_of_the_client_its_own()
    {
        var database = await NewDatabaseAsync();
        var configuration = RunningPooler.Configuration(Postgres, AnyVariant, database: d => d with { User = PostgresForPooler.Trusted });
        var (brief, client) = (TimeSpan.FromMilliseconds(300), Postgres.Server.User);
        await using (var pooler = RunningPooler.Start(configuration with
        {
            Users = new Dictionary<string, UserSettings>(configuration.Users) { [client] = new() { Name = client, QueryTimeout = brief } },
        }))
        {
            // The client's own limit does not count: the servers know another user.
            using var free = await RawClient.LoginAsync(pooler.EndPoint, database, client);
            Assert.Equal("", await free.ScalarAsync("SELECT pg_sleep(0.8)"));
        }
        await using (var pooler = RunningPooler.Start(configuration with
        {
            Users = new Dictionary<string, UserSettings>(configuration.Users)
            {
                [client] = new() { Name = client },
                [PostgresForPooler.Trusted] = new() { Name = PostgresForPooler.Trusted, QueryTimeout = brief },
            },
        }))
        {
            using var slow = await RawClient.LoginAsync(pooler.EndPoint, database, client);
            await slow.Query("SELECT pg_sleep(60)").SendAsync();
            Assert.Equal("query timeout", Assert.Single(await slow.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
            pooler.Reload(c => c with
            {
                Users = new Dictionary<string, UserSettings>(c.Users) { [client] = new() { Name = client, ClientIdleTimeout = brief } },
            });
            using var idle = await RawClient.LoginAsync(pooler.EndPoint, database, client);
            Assert.Equal("client_idle_timeout", Assert.Single(await idle.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Query_timeout_counts_the_wait_for_a_server_too(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        using var waiting = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        pooler.Change(s => s with { QueryTimeout = TimeSpan.FromMilliseconds(300) });
        await waiting.Query("SELECT 1").SendAsync();
        Assert.Equal("query_timeout", Assert.Single(await waiting.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        pooler.Change(s => s with { QueryTimeout = TimeSpan.Zero });
        // Idle in its transaction for longer than that: no query is running.
        Assert.Equal("1", await holder.ScalarAsync("SELECT 1"));
    }

    [Theory]
    [InlineData("127.0.0.1", "mine", "mine - 127.0.0.1:")]
    [InlineData("127.0.0.1", null, "app - 127.0.0.1:")]
    [InlineData("::1", "mine", "mine - [::1]:")]
    public async Task Application_name_add_host_says_where_the_client_is(string listen, string? name, string expected)
    {
        Assert.SkipWhen(listen == "::1" && !System.Net.Sockets.Socket.OSSupportsIPv6, "there is no IPv6 here");
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { ListenAddr = listen, ApplicationNameAddHost = true });
        using var client = await pooler.LoginAsync(database, name is null ? [] : [("application_name", name)]);
        Assert.StartsWith(expected, await client.ScalarAsync("SHOW application_name"));
        Assert.StartsWith(expected, client.Parameters["application_name"]);
    }

    [Fact]
    public async Task Servers_that_were_opened_together_do_not_end_together()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, AnyVariant, s => s with { DefaultPoolSize = 4, ServerLifetime = TimeSpan.FromSeconds(2) });
        var clients = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => pooler.LoginAsync(database)));
        foreach (var client in clients) await client.Query("BEGIN").AskAsync();
        foreach (var client in clients) await client.Query("COMMIT").AskAsync();
        Assert.Equal(4, await BackendsOfAsync(database));

        // One ends at once when its time has come, the others half a second apart.
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 3, cancellationToken: Cancelled);
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 2, cancellationToken: Cancelled);
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
        foreach (var client in clients) client.Dispose();
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

        var refusal = Assert.Single(await client.ReadToEndAsync());
        Assert.Equal("08P01 PQexec disallowed", $"{refusal.Field('C')} {refusal.Field('M')}");
        using var next = await pooler.LoginAsync(database);
        Assert.Equal(extended, await next.Parse("", "SELECT 1").Bind("").Execute().Sync().AskAsync());
    }
}
