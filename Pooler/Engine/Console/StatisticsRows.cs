using Pooler.Engine.Pools;

namespace Pooler.Engine.Console;

/// <summary>SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.</summary>
internal sealed class StatisticsRows(AdminConsole console)
{
    private static readonly string[] Names =
    [
        "server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes", "xact_time", "query_time",
        "wait_time", "ps_client_parse_count", "ps_server_parse_count", "ps_bind_count", "client_login_count",
    ];

    public IEnumerable<object?[]> Stats() =>
        Databases().Select(d => Row(d.Database, [.. Counts(d.Totals), .. Averages(d.Recent, d.RecentTime)]));

    public IEnumerable<object?[]> Totals() => Databases().Select(d => Row(d.Database, Counts(d.Totals)));

    public IEnumerable<object?[]> Averages() => Databases().Select(d => Row(d.Database, Averages(d.Recent, d.RecentTime)));

    public IEnumerable<object?[]> Sum()
    {
        var totals = default(PoolTotals);
        var recent = default(PoolTotals);
        var time = 1L;
        foreach (var database in Databases())
        {
            totals += database.Totals;
            recent += database.Recent;
            time = database.RecentTime;
        }
        return Names.Zip(Counts(totals), (name, value) => new object?[] { "total_" + name, value })
            .Concat(Names.Zip(Averages(recent, time), (name, value) => new object?[] { "avg_" + name, value }));
    }

    private IReadOnlyList<DatabaseStatistics> Databases() => console.Core.Statistics.Read();

    private static object?[] Row(string database, decimal[] figures) => [database, .. figures.Select(f => (object)f)];

    private static decimal[] Counts(PoolTotals t) =>
    [
        t.ServerAssignments, t.Transactions, t.Queries, t.BytesReceived, t.BytesSent, t.TransactionTime, t.QueryTime,
        t.WaitTime, t.ClientParses, t.ServerParses, t.Binds, t.Logins,
    ];

    /// <summary>Counts and bytes per second, times per item; whole numbers, as PgBouncer's.</summary>
    private static decimal[] Averages(PoolTotals t, long microseconds)
    {
        decimal PerSecond(long count) => decimal.Truncate((decimal)count * 1_000_000 / microseconds);
        decimal Each(long time, long count) => count <= 0 ? 0 : time / count;
        return
        [
            PerSecond(t.ServerAssignments), PerSecond(t.Transactions), PerSecond(t.Queries), PerSecond(t.BytesReceived),
            PerSecond(t.BytesSent), Each(t.TransactionTime, t.Transactions), Each(t.QueryTime, t.Queries),
            Each(t.WaitTime, t.ServerAssignments), PerSecond(t.ClientParses), PerSecond(t.ServerParses),
            PerSecond(t.Binds), PerSecond(t.Logins),
        ];
    }
}
