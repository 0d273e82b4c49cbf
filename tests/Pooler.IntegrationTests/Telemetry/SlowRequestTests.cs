using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Telemetry;

/// <summary>Slow queries and slow waits: kept, and logged when asked for.</summary>
public sealed class SlowRequestTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static readonly TimeSpan Threshold = TimeSpan.FromMilliseconds(20);

    [Theory, MemberData(nameof(Backends))]
    public async Task A_slow_query_is_kept_and_logged_without_its_values(Variant variant)
    {
        var database = await NewDatabaseAsync();
        var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(
            RunningPooler.Configuration(Postgres, variant, s => s with { SlowQueryTime = Threshold, LogSlowQueries = true, AdminUsers = PostgresForPooler.Trusted }), log);
        using var client = await pooler.LoginAsync(database, ("application_name", "shop"));
        await client.Query("SELECT pg_sleep(0.05), 'secret'").AskAsync();

        var slow = Assert.Single(pooler.Engine.SlowRequests());
        Assert.Equal(("query", database, PostgresForPooler.Trusted, "shop"), (slow.Kind, slow.Database, slow.User, slow.ApplicationName));
        Assert.Equal("SELECT pg_sleep(?), ?", slow.Query);
        Assert.True(slow.Duration >= TimeSpan.FromMilliseconds(45), $"{slow.Duration}");
        using var console = await pooler.LoginAsync("pgbouncer");
        Assert.Equal(
            $"query {slow.Client} SELECT pg_sleep(?), ?",
            await console.ScalarAsync($"SELECT kind || ' ' || client || ' ' || query FROM SHOW SLOW_REQUESTS WHERE database = '{database}' AND duration_us > 45000"));
        var line = Assert.Single(log.Lines, l => l.Contains("slow query", StringComparison.Ordinal));
        Assert.Matches($@"^C-{slow.Client}: {database}/{PostgresForPooler.Trusted}@{slow.ClientAddress} slow query: \d+\.\d ms: SELECT pg_sleep\(\?\), \?$", line);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_slow_wait_is_kept_and_logged_with_what_waited(Variant variant)
    {
        var database = await NewDatabaseAsync();
        var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(
            RunningPooler.Configuration(Postgres, variant, s => s with { DefaultPoolSize = 1, SlowWaitTime = Threshold, LogSlowWaits = true, SlowQueryTime = TimeSpan.Zero }), log);
        using var holder = await pooler.LoginAsync(database);
        using var waiter = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        // As Npgsql begins transactions: in one packet with what comes next.
        await waiter.Query("BEGIN").Parse("", "SELECT $1::text || 'x'").Bind("", "y").Execute().Sync().SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).MaxWait > 30_000, cancellationToken: Cancelled);
        await holder.Query("SELECT pg_sleep(0.03); COMMIT").AskAsync();
        await waiter.ReadToReadyAsync(2);

        var slow = Assert.Single(pooler.Engine.SlowRequests(), r => r.Client == pooler.Engine.HeldServers().Single().Client);
        Assert.Equal(("wait", "SELECT $1::text || ?"), (slow.Kind, slow.Query));
        var line = Assert.Single(log.Lines, l => l.Contains("slow wait", StringComparison.Ordinal) && l.Contains(slow.Client, StringComparison.Ordinal));
        Assert.EndsWith(" ms: SELECT $1::text || ?", line);
        Assert.DoesNotContain(pooler.Engine.SlowRequests(), r => r.Kind == "query");
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_wait_in_vain_and_a_query_that_is_broken_off_are_slow_as_well(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with
        {
            DefaultPoolSize = 1, SlowWaitTime = Threshold, SlowQueryTime = Threshold,
        });
        using var holder = await pooler.LoginAsync(database);
        using var waiter = await pooler.LoginAsync(database);
        await holder.Query("SELECT pg_sleep(1000)").SendAsync();
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [{ State: "active" }], cancellationToken: Cancelled);
        pooler.Reload(c => c with { Settings = c.Settings with { QueryWaitTimeout = TimeSpan.FromMilliseconds(100) } });
        await waiter.Query("SELECT 1").SendAsync();
        await waiter.ReadToEndAsync();
        var wait = Assert.Single(pooler.Engine.SlowRequests(), r => r.Kind == "wait");
        Assert.Equal("", wait.Query);

        holder.Dispose();
        await Eventually.TrueAsync(() => pooler.Engine.SlowRequests() is [{ Kind: "query", Query: "SELECT pg_sleep(?)" }, ..], cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Values_are_shown_only_to_those_who_may_see_them_and_only_while_the_setting_is_on(Variant variant)
    {
        var database = await NewDatabaseAsync();
        var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(
            RunningPooler.Configuration(Postgres, variant, s => s with { SlowQueryTime = Threshold, LogSlowQueries = true, LogQueryParameters = true }), log);
        using var client = await pooler.LoginAsync(database);
        await client.Parse("", "SELECT pg_sleep(0.05), 'literal', $1::text").Bind("", "bound").Execute().Sync().AskAsync();

        const string Text = "SELECT pg_sleep(?), ?, $1::text";
        const string WithValues = "SELECT pg_sleep(0.05), 'literal', $1::text [$1 = 'bound']";
        Assert.Equal(WithValues, Assert.Single(pooler.Engine.SlowRequests()).Query);
        Assert.Equal(Text, Assert.Single(pooler.Engine.SlowRequests(mayShowValues: false)).Query);
        Assert.EndsWith(" ms: " + WithValues, Assert.Single(log.Lines, l => l.Contains("slow query", StringComparison.Ordinal)));
        pooler.Reload(c => c with { Settings = c.Settings with { LogQueryParameters = false } });
        Assert.Equal(Text, Assert.Single(pooler.Engine.SlowRequests()).Query);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task With_thresholds_of_zero_nothing_is_slow(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { SlowWaitTime = TimeSpan.Zero, SlowQueryTime = Threshold });
        using var client = await pooler.LoginAsync(database);
        pooler.Reload(c => c with { Settings = c.Settings with { SlowQueryTime = TimeSpan.Zero } });
        await client.Query("SELECT pg_sleep(0.05)").AskAsync();
        Assert.Empty(pooler.Engine.SlowRequests());
    }
}
