using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;
using Pooler.UnitTests.Sessions;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public class HistoryRecorderTests
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    private readonly SessionHarness _engine = new();
    private readonly ManualTimers _time = new();
    private readonly List<Pool> _pools = [];
    private readonly HistoryRecorder _history;

    public HistoryRecorderTests()
    {
        _history = new HistoryRecorder(
            () => [.. _pools.Select(p => (p, Snapshot(p)))], _time, Period, new EngineLog(NullLogger.Instance));
        _history.Start();
    }

    [Fact]
    public void An_interval_has_what_was_counted_in_it()
    {
        var pool = Add("shop");
        Count(pool, transactions: 3, wait: 100);
        _time.Pass(Period);
        Count(pool, transactions: 2, wait: 5000);
        _time.Pass(Period);

        var intervals = Assert.Single(_history.Read()).Intervals;
        Assert.Equal([3L, 2], intervals.Select(i => i.Counted.Transactions));
        Assert.Equal([1L, 1], intervals.Select(i => i.Waits.Count));
        Assert.Equal([100L, 5000], intervals.Select(i => i.Waits.Sum));
        Assert.Equal([3L, 5], intervals.Select(i => i.State.Totals.Transactions));
        Assert.Equal([_time.GetUtcNow() - Period, _time.GetUtcNow()], intervals.Select(i => i.End));
    }

    [Fact]
    public void A_timer_that_comes_late_makes_the_interval_longer()
    {
        Add("shop");
        _time.Pass(TimeSpan.FromSeconds(8));

        Assert.Equal(TimeSpan.FromSeconds(8), Assert.Single(Assert.Single(_history.Read()).Intervals).Length);
    }

    [Fact]
    public void What_another_process_has_counted_is_in_no_interval()
    {
        var pool = Add("shop");
        _time.Pass(Period);
        pool.StatisticsOf(_engine.Loop).Add(new PoolTotals(1, 1_000_000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
        Count(pool, transactions: 1, wait: 0);
        _time.Pass(Period);

        Assert.Equal([0L, 1], Assert.Single(_history.Read()).Intervals.Select(i => i.Counted.Transactions));
        Assert.Equal(1_000_001, pool.Totals.Transactions);
    }

    [Fact]
    public void It_reaches_back_fifteen_minutes_and_no_further()
    {
        Add("shop");
        for (var i = 0; i < 1000; i++) _time.Pass(Period);

        var intervals = Assert.Single(_history.Read()).Intervals;
        Assert.Equal(180, intervals.Count);
        Assert.Equal(_time.GetUtcNow() - HistoryRecorder.Reach + Period, intervals[0].End);
    }

    [Fact]
    public void A_pool_that_is_gone_is_remembered_until_its_data_is_old()
    {
        var pool = Add("shop");
        _time.Pass(Period);
        _pools.Remove(pool);
        _time.Pass(HistoryRecorder.Reach - Period);
        Assert.Single(_history.Read());
        _time.Pass(Period);
        Assert.Empty(_history.Read());
    }

    [Fact]
    public void A_pool_that_comes_back_goes_on_with_its_history()
    {
        var before = Add("shop");
        Count(before, transactions: 10, wait: 0);
        _time.Pass(Period);
        _pools.Clear();
        var after = Add("shop");
        Count(after, transactions: 4, wait: 0);
        _time.Pass(Period);

        Assert.Equal([10L, 4], Assert.Single(_history.Read()).Intervals.Select(i => i.Counted.Transactions));
    }

    [Fact]
    public void Pools_are_in_order()
    {
        Add("b");
        Add("a");
        _time.Pass(Period);

        Assert.Equal(["a", "b"], _history.Read().Select(h => h.Database));
    }

    private Pool Add(string database)
    {
        var pool = new Pool(
            _engine.Core, new PoolDatabase(new DatabaseSettings { Name = database }, isAuto: false), new PoolUser(new UserSettings { Name = "me" }));
        _pools.Add(pool);
        return pool;
    }

    private void Count(Pool pool, int transactions, long wait)
    {
        var statistics = pool.StatisticsOf(_engine.Loop);
        statistics.Transactions += transactions;
        statistics.Waits.Record(wait);
    }

    private static PoolSnapshot Snapshot(Pool pool) =>
        new(pool.Database.Name, pool.User.Name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, pool.Totals)
        {
            Waits = pool.Waits,
            Queries = pool.QueryTimes,
            Transactions = pool.TransactionTimes,
        };

    /// <summary>Time passes when the test says so; whatever is due then runs once, however late.</summary>
    private sealed class ManualTimers : TimeProvider
    {
        private readonly List<TimerCallback> _callbacks = [];
        private readonly List<object?> _states = [];
        private DateTimeOffset _now = new(2026, 11, 22, 12, 0, 0, TimeSpan.Zero);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() => _now;

        public override long GetTimestamp() => _now.Ticks;

        public void Pass(TimeSpan time)
        {
            _now += time;
            for (var i = 0; i < _callbacks.Count; i++) _callbacks[i](_states[i]);
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _callbacks.Add(callback);
            _states.Add(state);
            return new Stopped();
        }

        private sealed class Stopped : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => false;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
