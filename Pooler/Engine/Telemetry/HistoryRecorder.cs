using Pooler.Engine.Pools;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// Looks at every pool each few seconds and remembers the last minutes of those that exist. Runs beside the loops; what a
/// process before this one has counted is not part of any interval.
/// </summary>
internal sealed class HistoryRecorder : IDisposable
{
    /// <summary>How far back it goes.</summary>
    public static readonly TimeSpan Reach = TimeSpan.FromMinutes(15);

    private readonly Func<IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)>> _look;
    private readonly TimeProvider _timeProvider;
    private readonly TimeSpan _period;
    private readonly EngineLog _log;
    private readonly Lock _lock = new();
    private readonly Dictionary<Pool, Track> _tracks = [];
    private ITimer? _timer;
    private long _lastTimestamp;

    /// <summary>Makes one; nothing is recorded before <see cref="Start"/>.</summary>
    /// <param name="look">The pools of the moment.</param>
    /// <param name="timeProvider">Clock and timer.</param>
    /// <param name="period">How long an interval is.</param>
    /// <param name="log">Hears when recording fails.</param>
    public HistoryRecorder(Func<IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)>> look, TimeProvider timeProvider, TimeSpan period, EngineLog log)
    {
        _look = look;
        _timeProvider = timeProvider;
        _period = period;
        _log = log;
    }

    /// <summary>Told the pools of each look, after they have been recorded. Set before <see cref="Start"/>.</summary>
    public Action<IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)>>? Recorded { get; init; }

    public void Start()
    {
        _lastTimestamp = _timeProvider.GetTimestamp();
        _timer = _timeProvider.CreateTimer(static state => ((HistoryRecorder)state!).OnTick(), this, _period, _period);
    }

    /// <summary>What is remembered, sorted by database and user.</summary>
    public IReadOnlyList<PoolHistory> Read()
    {
        lock (_lock)
        {
            return
            [
                .. _tracks.Where(t => t.Value.Intervals.Count > 0)
                    .GroupBy(t => (Database: t.Key.Database.Name, User: t.Key.User.Name))
                    .OrderBy(g => g.Key.Database, StringComparer.Ordinal).ThenBy(g => g.Key.User, StringComparer.Ordinal)
                    // A pool that was forgotten and has come back has two tracks for a while.
                    .Select(g => new PoolHistory(g.Key.Database, g.Key.User, [.. g.SelectMany(t => t.Value.Intervals).OrderBy(i => i.End)])),
            ];
        }
    }

    public void Dispose() => _timer?.Dispose();

    private void OnTick()
    {
        try
        {
            if (Record() is { } pools) Recorded?.Invoke(pools);
        }
        catch (Exception e)
        {
            // Of a timer's callback it would end the process.
            _log.TelemetryFailed(e);
        }
    }

    /// <summary>Ends an interval. A timer that comes late makes it longer.</summary>
    /// <returns>The pools as they were then.</returns>
    private IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)>? Record()
    {
        lock (_lock)
        {
            var (now, timestamp) = (_timeProvider.GetUtcNow(), _timeProvider.GetTimestamp());
            var length = _timeProvider.GetElapsedTime(_lastTimestamp, timestamp);
            if (length <= TimeSpan.Zero) return null;
            var pools = _look();
            foreach (var (pool, snapshot) in pools)
            {
                if (!_tracks.TryGetValue(pool, out var track)) _tracks[pool] = track = new Track();
                track.Add(pool, snapshot, now, length);
            }
            _lastTimestamp = timestamp;
            foreach (var (pool, track) in _tracks)
            {
                while (track.Intervals.TryPeek(out var oldest) && oldest.End <= now - Reach) track.Intervals.Dequeue();
                if (track.Intervals.Count == 0) _tracks.Remove(pool);
            }
            return pools;
        }
    }

    private sealed class Track
    {
        private PoolTotals _totals;
        private TimeDistribution _waits = TimeDistribution.Empty;
        private TimeDistribution _queries = TimeDistribution.Empty;
        private TimeDistribution _transactions = TimeDistribution.Empty;

        public Queue<PoolInterval> Intervals { get; } = [];

        public void Add(Pool pool, PoolSnapshot now, DateTimeOffset end, TimeSpan length)
        {
            var totals = pool.OwnTotals;
            // The state goes without its distributions: they are told as differences, and would be most of what is kept.
            var state = now with { Waits = TimeDistribution.Empty, Queries = TimeDistribution.Empty, Transactions = TimeDistribution.Empty };
            Intervals.Enqueue(new PoolInterval(
                end, length, state, totals - _totals, now.Waits - _waits, now.Queries - _queries, now.Transactions - _transactions));
            (_totals, _waits, _queries, _transactions) = (totals, now.Waits, now.Queries, now.Transactions);
        }
    }
}
