using System.Text.RegularExpressions;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Advice;

/// <summary>Conditions made for real, and what the pooler says of them. Its five seconds are a fraction of a second here.</summary>
public sealed class AdviceTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(0.3);

    [Fact]
    public async Task A_pool_whose_short_transactions_wait_for_each_other_is_too_small()
    {
        var database = await NewDatabaseAsync();
        var log = new RecordingLog();
        await using var pooler = Start(2, log: log);
        await using var load = await RepeatedQuery.StartAsync(pooler, database, 12, "SELECT pg_sleep(0.01)");

        var item = await AdviceAsync(pooler, "pool-too-small");
        Assert.Equal((database, PostgresForPooler.Trusted, "default_pool_size", "2", "4"), (item.Database, item.User, item.Setting, item.Current, item.Suggested));
        Assert.DoesNotContain(pooler.Engine.Advice(), a => a.Rule is "long-transactions" or "database-saturated");
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.StartsWith($"advice: pool-too-small {database}/", StringComparison.Ordinal)), cancellationToken: Cancelled);

        using var console = await pooler.LoginAsync("pgbouncer");
        Assert.Equal("4", await console.ScalarAsync($"SELECT suggested FROM SHOW ADVICE WHERE rule = 'pool-too-small' AND database = '{database}'"));

        await load.DisposeAsync();
        await Eventually.TrueAsync(() => pooler.Engine.Advice().Count == 0, cancellationToken: Cancelled);
        Assert.Single(log.Lines, l => l.StartsWith("advice: pool-too-small", StringComparison.Ordinal) && !l.EndsWith("not needed any more", StringComparison.Ordinal));
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.EndsWith("not needed any more", StringComparison.Ordinal)), cancellationToken: Cancelled);
    }

    [Fact]
    public async Task A_pool_that_a_limit_keeps_small_needs_a_higher_limit()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(20, s => s with { MaxDbConnections = 2 });
        await using var load = await RepeatedQuery.StartAsync(pooler, database, 12, "SELECT pg_sleep(0.01)");
        var item = await AdviceAsync(pooler, "pool-too-small");
        Assert.Equal(("max_db_connections", "2", "4"), (item.Setting, item.Current, item.Suggested));
    }

    [Fact]
    public async Task Requests_behind_a_lock_are_told_as_long_transactions_and_not_as_a_small_pool()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(5);
        using var owner = await pooler.LoginAsync(database);
        await owner.ScalarAsync("CREATE TABLE stock (id int, n int)");
        await owner.ScalarAsync("INSERT INTO stock VALUES (1, 1)");
        await using var holder = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Postgres.Server.ConnectionString(database)) { Pooling = false }.ConnectionString);
        await holder.OpenAsync(Cancelled);
        await using var transaction = await holder.BeginTransactionAsync(Cancelled);
        await ExecuteAsync(holder, "UPDATE stock SET n = 2 WHERE id = 1");

        var clients = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => pooler.LoginAsync(database, ("application_name", "till"))));
        var requests = clients.Select(c => Task.Run(() => c.ScalarAsync("UPDATE stock SET n = n + 1 WHERE id = 1"), Cancelled)).ToArray();
        await Eventually.TrueAsync(() => pooler.Engine.Advice().Any(a => a.Rule == "long-transactions" && a.Finding.Contains("while 25 clients wait")), cancellationToken: Cancelled);
        var item = Assert.Single(pooler.Engine.Advice(), a => a.Rule == "long-transactions");
        Assert.Equal(("warning", database), (item.Level, item.Database));
        Assert.StartsWith("5 of 5 server connections are held by requests that do not end", item.Finding);
        Assert.Contains("till", item.Evidence);
        Assert.Contains("UPDATE stock SET n = n + ? WHERE id = ?", item.Evidence);
        Assert.Equal("query_timeout", item.Setting);
        Assert.DoesNotContain(pooler.Engine.Advice(), a => a.Rule is "pool-too-small" or "database-saturated");

        await transaction.CommitAsync(Cancelled);
        await Task.WhenAll(requests).WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
        Assert.Equal("32", await owner.ScalarAsync("SELECT n FROM stock"));
        await Eventually.TrueAsync(() => pooler.Engine.Advice().Count == 0, cancellationToken: Cancelled);
        foreach (var client in clients) client.Dispose();
    }

    [Fact]
    public async Task A_client_that_sits_in_a_transaction_while_others_wait_is_named()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(1);
        using var idle = await pooler.LoginAsync(database, ("application_name", "editor"));
        await idle.ScalarAsync("BEGIN");
        using var other = await pooler.LoginAsync(database);
        var waiting = Task.Run(() => other.ScalarAsync("SELECT 1"), Cancelled);

        var item = await AdviceAsync(pooler, "idle-in-transaction");
        Assert.Equal(("warning", "idle_transaction_timeout", "0", "30"), (item.Level, item.Setting, item.Current, item.Suggested));
        Assert.Contains("editor", item.Evidence);
        Assert.DoesNotContain(pooler.Engine.Advice(), a => a.Rule is "pool-too-small" or "long-transactions");

        // What it says helps.
        using var console = await pooler.LoginAsync("pgbouncer");
        await console.Query(Regex.Match(item.Remedy, @"KILL_CLIENT \d+").Value).AskAsync();
        Assert.Equal("1", await waiting);
    }

    [Fact]
    public async Task An_application_that_connects_for_each_request_is_told_to_keep_its_connections()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(4);
        using var stop = new CancellationTokenSource();
        var working = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                using var client = await pooler.LoginAsync(database);
                await client.ScalarAsync("SELECT 1");
            }
        }, Cancelled);
        var item = await AdviceAsync(pooler, "connect-per-request");
        Assert.Equal(("info", database, ""), (item.Level, item.Database, item.Setting));
        await stop.CancelAsync();
        await working;
    }

    [Fact]
    public async Task Servers_that_cannot_be_logged_in_to_are_told_with_the_reason()
    {
        await using var pooler = Start(2, s => s with { ServerLoginRetry = TimeSpan.FromSeconds(0.1) });
        var missing = $"missing_{Guid.NewGuid():N}";
        using var stop = new CancellationTokenSource();
        var trying = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested) await Assert.ThrowsAsync<InvalidOperationException>(() => pooler.LoginAsync(missing));
        }, Cancelled);
        var item = await AdviceAsync(pooler, "server-logins-failing");
        Assert.Equal(("warning", missing), (item.Level, item.Database));
        Assert.Contains($"database \"{missing}\" does not exist", item.Finding);
        Assert.Contains("dbname", item.Remedy);
        await stop.CancelAsync();
        await trying;
    }

    [Fact]
    public async Task Clients_of_a_paused_database_wait_for_resume()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(2);
        using var client = await pooler.LoginAsync(database);
        await pooler.Engine.PauseAsync(database, Cancelled);
        var waiting = Task.Run(() => client.ScalarAsync("SELECT 1"), Cancelled);
        var item = await AdviceAsync(pooler, "paused");
        Assert.Contains($"RESUME {database}", item.Remedy);
        Assert.Equal(item.Rule, Assert.Single(pooler.Engine.Advice()).Rule);
        pooler.Engine.Resume(database);
        Assert.Equal("1", await waiting);
    }

    [Fact]
    public async Task A_pool_larger_than_the_servers_part_of_max_connections_is_told_by_the_server_itself()
    {
        var database = await NewDatabaseAsync();
        // The server of these tests has 400.
        await using var pooler = Start(200);
        await using var load = await RepeatedQuery.StartAsync(pooler, database, 1, "SELECT 1");
        var item = await AdviceAsync(pooler, "max-connections");
        Assert.Contains("max_connections = 400", item.Evidence);
        Assert.Equal(("max_db_connections", "280"), (item.Setting, item.Suggested));
    }

    [Fact]
    public async Task A_healthy_busy_pool_gets_no_advice()
    {
        var database = await NewDatabaseAsync();
        var log = new RecordingLog();
        await using var pooler = Start(8, log: log);
        await PgbenchAsync(pooler, database, "-i", "-q");
        await PgbenchAsync(pooler, database, "-n", "-c", "4", "-R", "200", "-T", "2");
        await PgbenchAsync(pooler, database, "-S", "-n", "-c", "4", "-R", "400", "-T", "2", "-M", "prepared");
        Assert.Empty(pooler.Engine.Advice());
        Assert.DoesNotContain(log.Lines, l => l.StartsWith("advice:", StringComparison.Ordinal));
        Assert.True(pooler.Engine.History().Single(h => h.Database == database).Intervals.Count > 12);
    }

    private static async Task PgbenchAsync(RunningPooler pooler, string database, params string[] arguments)
    {
        var command = new Command(await Tools.PgbenchAsync(cancellationToken: Cancelled), arguments);
        foreach (var (name, value) in pooler.Environment(database)) command.Environment[name] = value;
        await command.RunCheckedAsync(Cancelled);
    }

    private RunningPooler Start(int poolSize, Func<PoolerSettings, PoolerSettings>? change = null, RecordingLog? log = null) => RunningPooler.Start(
        RunningPooler.Configuration(Postgres, AnyVariant, s => (change?.Invoke(s) ?? s) with { DefaultPoolSize = poolSize, AdminUsers = PostgresForPooler.Trusted }),
        log, Period);

    private static async Task<AdviceItem> AdviceAsync(RunningPooler pooler, string rule)
    {
        await Eventually.TrueAsync(() => pooler.Engine.Advice().Any(a => a.Rule == rule), cancellationToken: Cancelled);
        return pooler.Engine.Advice().First(a => a.Rule == rule);
    }
}
