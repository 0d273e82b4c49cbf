using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Advice;

/// <summary>Conditions made for real, and what the pooler says of them. Its five seconds are a fraction of a second here.</summary>
public sealed class AdviceTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(0.2);

    [Fact]
    public async Task A_pool_whose_short_transactions_wait_for_each_other_is_too_small()
    {
        var database = await NewDatabaseAsync();
        var log = new RecordingLog();
        await using var pooler = Start(2, log: log);
        await using var load = await RepeatedQuery.StartAsync(pooler, database, 12, "SELECT pg_sleep(0.02)");

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

    private RunningPooler Start(int poolSize, Func<PoolerSettings, PoolerSettings>? change = null, RecordingLog? log = null) => RunningPooler.Start(
        RunningPooler.Configuration(Postgres, AnyVariant, s => (change?.Invoke(s) ?? s) with { DefaultPoolSize = poolSize, AdminUsers = PostgresForPooler.Trusted }),
        log, Period);

    private static async Task<AdviceItem> AdviceAsync(RunningPooler pooler, string rule)
    {
        await Eventually.TrueAsync(() => pooler.Engine.Advice().Any(a => a.Rule == rule), cancellationToken: Cancelled);
        return pooler.Engine.Advice().First(a => a.Rule == rule);
    }
}
