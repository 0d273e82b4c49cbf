using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Console;

/// <summary>The commands that do something, with real servers behind.</summary>
public sealed class CommandTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task Pause_waits_for_the_transaction_and_resume_lets_the_waiting_go_on(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        using var watch = await ConsoleAsync(pooler);
        using var working = await pooler.LoginAsync(database);
        using var late = await pooler.LoginAsync(database);
        Assert.Equal("C(BEGIN) Z(T)", await working.Query("BEGIN").AskAsync());

        await console.Query($"PAUSE {database}").SendAsync();
        await Eventually.TrueAsync(async () => await watch.ScalarAsync(
            $"SELECT paused FROM SHOW DATABASES WHERE name = '{database}'") == "1", cancellationToken: Cancelled);
        await late.Query("SELECT 'late'").SendAsync();
        await Eventually.TrueAsync(async () => await watch.ScalarAsync(
            $"SELECT cl_waiting FROM SHOW POOLS WHERE database = '{database}'") == "1", cancellationToken: Cancelled);
        Assert.Equal("1", await watch.ScalarAsync("SELECT COUNT(*) FROM SHOW CLIENTS WHERE state = 'waiting'"));

        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        Assert.Equal("C(PAUSE) Z(I)", RawClient.Transcript(await console.ReadToReadyAsync()));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);

        Assert.Equal("C(RESUME) Z(I)", await console.Query($"RESUME {database};").AskAsync());
        Assert.Equal("T D(late) C(SELECT 1) Z(I)", RawClient.Transcript(await late.ReadToReadyAsync()));
        Assert.Equal($"database {database} is not paused", await ErrorAsync(console, $"RESUME {database}"));
    }

    [Fact]
    public async Task Pausing_everything_again_and_again_loses_no_statement_of_busy_clients()
    {
        var database = await NewDatabaseAsync();
        await Postgres.Server.ExecuteAsync("CREATE TABLE counted (n int)", database, Cancelled);
        await using var pooler = Start();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        var clients = Enumerable.Range(0, 8).Select(async _ =>
        {
            using var client = await pooler.LoginAsync(database);
            var done = 0;
            for (; !stop.IsCancellationRequested; done++)
                Assert.Equal("C(INSERT 0 1) Z(I)", await client.Query("INSERT INTO counted VALUES (1)").AskAsync());
            return done;
        }).ToArray();

        using var console = await ConsoleAsync(pooler);
        for (var i = 0; i < 5; i++)
        {
            Assert.Equal("C(PAUSE) Z(I)", await console.Query("PAUSE").AskAsync());
            Assert.Equal("T D(active|no) D(paused|yes) D(suspended|no) C(SHOW) Z(I)", await console.Query("SHOW STATE").AskAsync());
            Assert.Equal("0", await console.ScalarAsync("SELECT count(*) FROM SHOW SERVERS"));
            var before = pooler.Pool(database).Totals.Transactions;
            Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
            await Eventually.TrueAsync(() => pooler.Pool(database).Totals.Transactions > before + 8, cancellationToken: Cancelled);
        }
        await stop.CancelAsync();
        var counted = (await Task.WhenAll(clients)).Sum();

        Assert.Equal((long)counted, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM counted", database, Cancelled));
    }

    [Fact]
    public async Task An_administrator_who_leaves_during_pause_harms_nobody()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var working = await pooler.LoginAsync(database);
        using var watch = await ConsoleAsync(pooler);
        await working.Query("BEGIN").AskAsync();
        using (var console = await ConsoleAsync(pooler))
        {
            await console.Query("PAUSE").SendAsync();
            await PausedAsync(watch);
            console.Abort();
        }
        await Eventually.TrueAsync(async () => await watch.ScalarAsync(
            "SELECT count(*) FROM SHOW CLIENTS WHERE database = 'pgbouncer'") == "1", cancellationToken: Cancelled);
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        Assert.Equal("C(RESUME) Z(I)", await watch.Query("RESUME").AskAsync());
        Assert.Equal("1", await working.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task A_pause_that_waits_can_be_cancelled_which_undoes_it()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var working = await pooler.LoginAsync(database);
        using var console = await ConsoleAsync(pooler);
        using var watch = await ConsoleAsync(pooler);
        await working.Query("BEGIN").AskAsync();
        await console.Query("PAUSE").SendAsync();
        await PausedAsync(watch);

        await console.CancelAsync(pooler.EndPoint);

        Assert.Equal("E(57014) Z(I)", RawClient.Transcript(await console.ReadToReadyAsync()));
        await Eventually.TrueAsync(async () =>
            await console.ScalarAsync("SELECT value FROM SHOW STATE WHERE key = 'active'") == "yes", cancellationToken: Cancelled);
        // The abandoned wait, when it ends, must not answer anything else.
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        Assert.Equal("T D(1) C(SELECT 1) Z(I)", await console.Query("SELECT 1").AskAsync());
    }

    [Fact]
    public async Task A_pause_of_everything_holds_for_databases_that_come_later()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("C(PAUSE) Z(I)", await console.Query("PAUSE").AskAsync());

        var login = pooler.LoginAsync(database);
        await Eventually.TrueAsync(async () => await console.ScalarAsync(
            $"SELECT cl_waiting FROM SHOW POOLS WHERE database = '{database}'") == "1", cancellationToken: Cancelled);
        Assert.Equal(database, await console.ScalarAsync("SELECT database FROM SHOW CLIENTS WHERE state = 'waiting'"));

        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        using var client = await login;
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task Reconnect_replaces_the_servers_and_wait_close_waits_for_it()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();
        var pid = await client.ScalarAsync("SELECT pg_backend_pid()");
        Assert.Equal(pid, await console.ScalarAsync($"SELECT remote_pid FROM SHOW SERVERS WHERE database = '{database}' AND state = 'active'"));

        Assert.Equal("C(RECONNECT) Z(I)", await console.Query($"RECONNECT {database}").AskAsync());
        Assert.Equal("1", await console.ScalarAsync($"SELECT close_needed FROM SHOW SERVERS WHERE remote_pid = {pid}"));
        await console.Query($"WAIT_CLOSE {database}").SendAsync();
        await client.Query("COMMIT").AskAsync();

        Assert.Equal("C(WAIT_CLOSE) Z(I)", RawClient.Transcript(await console.ReadToReadyAsync()));
        Assert.NotEqual(pid, await client.ScalarAsync("SELECT pg_backend_pid()"));
    }

    [Fact]
    public async Task Kill_drops_clients_and_servers_and_leaves_the_database_paused()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var victim = await pooler.LoginAsync(database);
        await victim.Query("BEGIN").AskAsync();

        Assert.Equal("C(KILL) Z(I)", await console.Query($"KILL {database}").AskAsync());

        Assert.Equal("57P01", Assert.Single(await victim.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
        Assert.Equal("1", await console.ScalarAsync($"SELECT paused FROM SHOW DATABASES WHERE name = '{database}'"));
        Assert.Equal("C(RESUME) Z(I)", await console.Query($"RESUME {database}").AskAsync());
        using var next = await pooler.LoginAsync(database);
        Assert.Equal("1", await next.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task Kill_client_drops_the_one_client_with_that_id()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var other = await ConsoleAsync(pooler, ("application_name", "other"));
        using var victim = await pooler.LoginAsync(database, ("application_name", "victim"));
        using var bystander = await pooler.LoginAsync(database, ("application_name", "bystander"));
        var id = await console.ScalarAsync("SELECT id FROM SHOW CLIENTS WHERE application_name = 'victim'");

        Assert.Equal("C(KILL_CLIENT) Z(I)", await console.Query($"KILL_CLIENT {id}").AskAsync());

        Assert.Equal("admin forced disconnect", Assert.Single(await victim.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        Assert.Equal("1", await bystander.ScalarAsync("SELECT 1"));
        Assert.Equal("client not found", await ErrorAsync(console, $"KILL_CLIENT {id}"));
        Assert.Equal("invalid client pointer supplied", await ErrorAsync(console, "KILL_CLIENT abc"));
        id = await console.ScalarAsync("SELECT id FROM SHOW CLIENTS WHERE application_name = 'other'");
        Assert.Equal("C(KILL_CLIENT) Z(I)", await console.Query($"KILL_CLIENT {id}").AskAsync());
        Assert.Equal("57P01", Assert.Single(await other.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
    }

    [Fact]
    public async Task Disable_refuses_new_clients_only()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var inside = await pooler.LoginAsync(database);

        Assert.Equal("C(DISABLE) Z(I)", await console.Query($"DISABLE \"{database}\"").AskAsync());
        Assert.Equal("1", await console.ScalarAsync($"SELECT disabled FROM SHOW DATABASES WHERE name = '{database}'"));
        Assert.Equal("1", await inside.ScalarAsync("SELECT 1"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => pooler.LoginAsync(database));

        Assert.Equal("C(ENABLE) Z(I)", await console.Query($"ENABLE {database}").AskAsync());
        using var outside = await pooler.LoginAsync(database);
        Assert.Equal("1", await outside.ScalarAsync("SELECT 1"));
        Assert.Equal("a database is required", await ErrorAsync(console, "DISABLE"));
    }

    [Fact]
    public async Task Set_changes_what_the_pool_does()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(change: s => s with { DefaultPoolSize = 1 });
        using var console = await ConsoleAsync(pooler);
        using var first = await pooler.LoginAsync(database);
        using var second = await pooler.LoginAsync(database);
        await first.Query("BEGIN").AskAsync();
        await second.Query("SELECT 'in'").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 1, cancellationToken: Cancelled);

        Assert.Equal("C(SET default_pool_size=2) Z(I)", await console.Query("SET default_pool_size = 2").AskAsync());

        Assert.Equal("T D(in) C(SELECT 1) Z(I)", RawClient.Transcript(await second.ReadToReadyAsync()));
        Assert.Equal("C(SET Query_Wait_Timeout=33) Z(I)", await console.Query("set Query_Wait_Timeout to '33';").AskAsync());
        Assert.Equal("33", await console.ScalarAsync("SELECT value FROM SHOW CONFIG WHERE key = 'query_wait_timeout'"));
        async Task<RawMessage> RefusalAsync(string command)
        {
            await console.Query(command).SendAsync();
            return Assert.Single(await console.ReadToReadyAsync(), m => m.Type == 'E');
        }
        var unknown = await RefusalAsync("SET defualt_pool_size = 3");
        Assert.Equal("08P01 SET failed", $"{unknown.Field('C')} {unknown.Field('M')}");
        Assert.Contains("did you mean default_pool_size", unknown.Field('D'));
        Assert.Contains("allowed: session", (await RefusalAsync("SET pool_mode = 'nonsense'")).Field('D'));
        // As in PgBouncer no error, but said.
        await console.Query("SET listen_port = 3").SendAsync();
        var answer = await console.ReadToReadyAsync();
        Assert.Contains("cannot be changed", Assert.Single(answer, m => m.Type == 'N').Field('M'));
        Assert.Equal("C(SET listen_port=3) Z(I)", RawClient.Transcript(answer));
        Assert.Equal("0", await console.ScalarAsync("SELECT value FROM SHOW CONFIG WHERE key = 'listen_port'"));
    }

    [Fact]
    public async Task Reload_brings_new_settings_or_says_why_not()
    {
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("C(RELOAD) Z(I)", await console.Query("RELOAD").AskAsync());

        var configuration = RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AdminUsers = PostgresForPooler.Trusted });
        await using var engine = new PoolerEngine(configuration, new EngineOptions
        {
            LoggerFactory = NullLoggerFactory.Instance,
            Reload = _ => new ConfigurationResult { Errors = [new ConfigurationIssue("pooler.ini:3", "unknown setting foo")] },
        });
        engine.Start();
        using var other = await RawClient.LoginAsync(engine.ListenEndPoints[0], "pgbouncer", PostgresForPooler.Trusted);
        await other.Query("RELOAD").SendAsync();
        var error = Assert.Single(await other.ReadToReadyAsync(), m => m.Type == 'E');
        Assert.Equal("F0000", error.Field('C'));
        Assert.Equal("RELOAD failed, see logs for additional details", error.Field('M'));
        Assert.Equal("pooler.ini:3: unknown setting foo", error.Field('D'));
    }

    [Fact]
    public async Task Shutdown_ends_the_engine_and_tells_the_clients()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);

        await console.Query("SHUTDOWN").SendAsync();

        Assert.Equal("57P01", Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        await console.ReadToEndAsync();
        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(60), Cancelled);
    }

    [Theory]
    [InlineData("WAIT_FOR_CLIENTS")]
    [InlineData("wait_for_servers")]
    public async Task Shutdown_can_wait(string forWhom)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();

        Assert.Equal("C(SHUTDOWN) Z(I)", await console.Query($"SHUTDOWN {forWhom};").AskAsync());
        Assert.Equal("pooler is shutting down", await ErrorAsync(console, "RESUME"));
        Assert.False(pooler.Engine.Completion.IsCompleted);

        Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
        client.Dispose();
        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(60), Cancelled);
    }

    [Theory]
    [InlineData("WAIT_FOR_CLIENTS")]
    [InlineData("WAIT_FOR_SERVERS")]
    public async Task A_shutdown_with_nothing_to_wait_for_is_answered_before_it_happens(string forWhom)
    {
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        await console.Query($"SHUTDOWN {forWhom}").SendAsync();
        Assert.StartsWith("C(SHUTDOWN) Z(I)", RawClient.Transcript(await console.ReadToEndAsync()));
        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(60), Cancelled);
    }

    [Fact]
    public async Task Stats_users_may_only_look_and_others_are_not_let_in()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { StatsUsers = PostgresForPooler.Trusted });
        using var console = await ConsoleAsync(pooler);
        Assert.NotNull(await console.ScalarAsync("SHOW VERSION"));
        string[] refused =
        [
            "PAUSE", "RESUME", "RECONNECT", "KILL", "KILL_CLIENT 1", "DISABLE x", "ENABLE x", "RELOAD", "SET verbose = 1", "WAIT_CLOSE",
            "SHUTDOWN", "SUSPEND", "SHOW FDS", "SELECT fd FROM SHOW FDS",
        ];
        foreach (var command in refused) Assert.Equal("admin access needed", await ErrorAsync(console, command));

        var other = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            RawClient.LoginAsync(pooler.EndPoint, "pgbouncer", Postgres.Server.User));
        Assert.Contains("28000", other.Message);
    }

    [Fact]
    public async Task Wrong_commands_are_named_and_help_is_a_notice()
    {
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("invalid command 'FOO bar', use SHOW HELP;", await ErrorAsync(console, "FOO bar"));
        Assert.Equal("invalid command 'SHOW NOTHING;', use SHOW HELP;", await ErrorAsync(console, "SHOW NOTHING;"));
        Assert.Equal("invalid command 'PAUSE a b', use SHOW HELP;", await ErrorAsync(console, "PAUSE a b"));
        Assert.Equal("cannot pause admin db: pgbouncer", await ErrorAsync(console, "PAUSE pgbouncer"));

        await console.Query("SHOW HELP").SendAsync();
        var answer = await console.ReadToReadyAsync();
        var help = Assert.Single(answer, m => m.Type == 'N');
        Assert.Equal(("NOTICE", "00000", "Console usage"), (help.Field('S'), help.Field('C'), help.Field('M')));
        Assert.Equal("C(SHOW) Z(I)", RawClient.Transcript(answer));
        await console.Query("SET DateStyle = 'ISO'").SendAsync();
        Assert.Equal("SET ignored", Assert.Single(await console.ReadToReadyAsync(), m => m.Type == 'N').Field('M'));
        Assert.Equal("ISO", await console.ScalarAsync("SHOW datestyle"));
    }

    [Fact]
    public async Task Without_a_fallback_entry_unknown_databases_are_errors()
    {
        var configuration = RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AdminUsers = PostgresForPooler.Trusted });
        configuration = configuration with
        {
            Databases = new Dictionary<string, DatabaseSettings> { ["my-shop"] = configuration.Databases["*"] with { Name = "my-shop", DbName = "postgres" } },
        };
        await using var pooler = RunningPooler.Start(configuration);
        using var console = await ConsoleAsync(pooler);
        foreach (var command in (string[])["PAUSE", "RESUME", "RECONNECT", "KILL", "WAIT_CLOSE", "DISABLE", "ENABLE"])
            Assert.Equal("no such database: nosuch", await ErrorAsync(console, $"{command} nosuch"));
        Assert.Equal("C(PAUSE) Z(I)", await console.Query("PAUSE my-shop;").AskAsync());
        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME \"my-shop\"").AskAsync());
    }

    private static Task PausedAsync(RawClient watch) => Eventually.TrueAsync(
        async () => await watch.ScalarAsync("SELECT value FROM SHOW STATE WHERE key = 'paused'") == "yes", cancellationToken: Cancelled);
}
