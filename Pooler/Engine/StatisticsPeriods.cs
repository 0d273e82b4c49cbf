using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine;

/// <summary>What a database's pools have counted.</summary>
/// <param name="Database">Its name.</param>
/// <param name="Totals">Since the pools exist.</param>
/// <param name="Recent">Since <paramref name="RecentTime"/> microseconds ago.</param>
/// <param name="RecentTime">How long that is: between one and two periods once the first has passed.</param>
internal readonly record struct DatabaseStatistics(string Database, PoolTotals Totals, PoolTotals Recent, long RecentTime);

/// <summary>
/// Remembers the counters at the ends of the last two statistics periods. Averages reach from the older one to the moment
/// they are asked for, as in PgBouncer: they are there from the first second on, and do not jump when a period ends.
/// </summary>
internal sealed class StatisticsPeriods
{
    // What PgBouncer pretends to have run for before it started: nothing is divided by a time near zero.
    private const long HeadStart = 1_000_000;

    private readonly EngineCore _engine;
    private readonly Lock _lock = new();
    private Dictionary<object, PoolTotals> _older = [];
    private Dictionary<object, PoolTotals> _newer = [];
    private long _olderTime;
    private long _newerTime;

    public StatisticsPeriods(EngineCore engine)
    {
        _engine = engine;
        _newerTime = engine.Now;
        _olderTime = _newerTime - HeadStart;
    }

    /// <summary>The figures of the moment, one entry a database that has pools, the console's among them. Any thread.</summary>
    public IReadOnlyList<DatabaseStatistics> Read()
    {
        var byDatabase = new SortedDictionary<string, (PoolTotals Totals, PoolTotals Older)>(StringComparer.Ordinal);
        lock (_lock)
        {
            foreach (var (source, database, totals) in Sources())
            {
                var sum = byDatabase.GetValueOrDefault(database);
                byDatabase[database] = (sum.Totals + totals, sum.Older + _older.GetValueOrDefault(source));
            }
            var time = Math.Max(1, _engine.Now - _olderTime);
            return [.. byDatabase.Select(d => new DatabaseStatistics(d.Key, d.Value.Totals, d.Value.Totals - d.Value.Older, time))];
        }
    }

    /// <summary>Ends the period when it is over, and tells its averages. Called a few times a second on one loop.</summary>
    public void OnTick(long now)
    {
        var all = default(PoolTotals);
        lock (_lock)
        {
            if (now - _newerTime < _engine.Settings.StatsPeriod * 1_000_000L) return;
            (_older, _olderTime) = (_newer, _newerTime);
            _newer = [];
            _newerTime = now;
            foreach (var (source, _, totals) in Sources())
            {
                _newer[source] = totals;
                all += totals - _older.GetValueOrDefault(source);
            }
        }
        Tell(all, Math.Max(1, now - _olderTime));
    }

    private void Tell(PoolTotals period, long length)
    {
        long PerSecond(long count) => count * 1_000_000 / length;
        var figures = new PeriodFigures(
            PerSecond(period.Transactions), PerSecond(period.Queries), PerSecond(period.ClientParses),
            PerSecond(period.ServerParses), PerSecond(period.Binds), PerSecond(period.Logins), PerSecond(period.BytesReceived),
            PerSecond(period.BytesSent), period.TransactionTime / Math.Max(1, period.Transactions),
            period.QueryTime / Math.Max(1, period.Queries), period.WaitTime / Math.Max(1, period.ServerAssignments));
        if (_engine.Settings.LogStats) _engine.Log.Statistics(figures);
        _engine.PeriodEnded?.Invoke($"stats: {figures}");
    }

    /// <summary>Every pool, and the console's statistics, as what counts for which database.</summary>
    private IEnumerable<(object Source, string Database, PoolTotals Totals)> Sources()
    {
        foreach (var pool in _engine.Directory.Pools) yield return (pool, pool.Database.Name, pool.Totals);
        yield return (_engine.ConsoleStatistics, EngineCore.ConsoleDatabase, PoolTotals.Of(_engine.ConsoleStatistics));
    }
}
