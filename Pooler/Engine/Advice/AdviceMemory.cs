using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Advice;

/// <summary>
/// Remembers counters of the last looks, so that what has happened since can be told. For one thread at a time.
/// </summary>
/// <param name="core">The engine.</param>
internal sealed class AdviceMemory(EngineCore core)
{
    /// <summary>Looks in a minute, when one comes every five seconds.</summary>
    public const int Minute = 12;

    private const int QuarterOfAnHour = 15 * Minute;

    private const int BusyLooks = 6;

    private readonly Dictionary<Pool, Queue<PoolCounts>> _pools = [];
    private readonly Queue<Dictionary<(Pool Pool, string Name, string Address), (int Connections, int Working)>> _applications = [];
    private readonly Queue<Dictionary<LoginRefusal, long>> _refusals = [];
    private readonly Queue<(long Timestamp, long[] Busy)> _busy = [];

    /// <summary>Takes the counters of this moment in. Once per look, first.</summary>
    public void Look(IReadOnlyCollection<Pool> pools)
    {
        foreach (var gone in _pools.Keys.Except(pools).ToArray()) _pools.Remove(gone);
        foreach (var pool in pools)
        {
            if (!_pools.TryGetValue(pool, out var counts)) _pools[pool] = counts = [];
            Remember(counts, new PoolCounts(
                pool.Events.Timeouts[TimeoutKind.QueryWaitTimeout], pool.Events.Timeouts[TimeoutKind.ClientIdleTimeout],
                pool.Events.Closings[ServerClosing.Lifetime], pool.Events.Closings[ServerClosing.IdleTimeout], pool.ConnectTimes.Count), QuarterOfAnHour);
        }
        Remember(_applications, Applications(), Minute);
        Remember(_refusals, Enum.GetValues<LoginRefusal>().ToDictionary(r => r, r => core.Events.LoginRefusals[r]), Minute);
        Remember(_busy, (core.Now, core.Loops.Select(l => l.BusyTime).ToArray()), BusyLooks);
    }

    /// <summary>What happened to a pool.</summary>
    public PoolEventsView EventsOf(Pool pool)
    {
        var counts = _pools[pool].ToArray();
        var (last, first) = (counts[^1], counts[0]);
        var minuteAgo = counts[Math.Max(0, counts.Length - 1 - Minute)];
        var minute = counts.Skip(Math.Max(0, counts.Length - 1 - Minute)).ToArray();
        return new PoolEventsView
        {
            WaitTimeouts = (int)(last.WaitTimeouts - minuteAgo.WaitTimeouts),
            IdleClientsClosed = (int)(last.IdleClients - minuteAgo.IdleClients),
            LifetimeEnds = [.. minute.Zip(minute.Skip(1), (a, b) => (int)(b.LifetimeEnds - a.LifetimeEnds))],
            IdleEnds = (int)(last.IdleEnds - first.IdleEnds),
            Opened = (int)(last.Opened - first.Opened),
        };
    }

    /// <summary>The applications of each pool, those with most connections first.</summary>
    public ILookup<Pool, ApplicationView> ApplicationsByPool()
    {
        var looks = _applications.ToArray();
        return looks[^1]
            .Select(now => (now.Key.Pool, View: new ApplicationView(
                now.Key.Name, now.Key.Address, now.Value.Connections, looks.Max(look => look.GetValueOrDefault(now.Key).Working))))
            .OrderByDescending(a => a.View.Connections).ThenBy(a => a.View.Name, StringComparer.Ordinal).ThenBy(a => a.View.Address, StringComparer.Ordinal)
            .ToLookup(a => a.Pool, a => a.View);
    }

    /// <summary>Clients that were turned away in the last minute, by reason.</summary>
    public IReadOnlyDictionary<LoginRefusal, int> Refusals()
    {
        var (last, first) = (_refusals.Last(), _refusals.Peek());
        return last.Where(r => r.Value > first[r.Key]).ToDictionary(r => r.Key, r => (int)(r.Value - first[r.Key]));
    }

    /// <summary>Which part of the last intervals each loop was busy, oldest first.</summary>
    public IReadOnlyList<IReadOnlyList<double>> LoopsBusy()
    {
        var looks = _busy.ToArray();
        return
        [
            .. Enumerable.Range(0, core.Loops.Count).Select(loop => (IReadOnlyList<double>)
            [
                .. looks.Zip(looks.Skip(1), (a, b) => (b.Busy[loop] - a.Busy[loop]) / Math.Max(1.0, b.Timestamp - a.Timestamp)),
            ]),
        ];
    }

    private static void Remember<T>(Queue<T> queue, T value, int intervals)
    {
        queue.Enqueue(value);
        // One more than intervals: they lie between.
        while (queue.Count > intervals + 1) queue.Dequeue();
    }

    private Dictionary<(Pool Pool, string Name, string Address), (int Connections, int Working)> Applications()
    {
        var applications = new Dictionary<(Pool, string, string), (int Connections, int Working)>();
        foreach (var client in core.Clients)
        {
            var key = (client.Pool, client.Parameters["application_name"] ?? "", client.Identity.Address);
            var (connections, working) = applications.GetValueOrDefault(key);
            applications[key] = (connections + 1, client.State is ClientState.Active or ClientState.Waiting ? working + 1 : working);
        }
        return applications;
    }

    private readonly record struct PoolCounts(long WaitTimeouts, long IdleClients, long LifetimeEnds, long IdleEnds, long Opened);
}
