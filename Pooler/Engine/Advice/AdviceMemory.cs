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
    private readonly Dictionary<(Pool Pool, string Name), Application> _applications = [];
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
        LookAtApplications();
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
    public ILookup<Pool, ApplicationView> ApplicationsByPool() => _applications.Where(a => a.Value.Connections > 0)
        .Select(a => (a.Key.Pool, View: new ApplicationView(a.Key.Name, a.Value.Address, a.Value.Connections, a.Value.MostOfMinute)
        {
            MostWorkingOfLong = a.Value.MostOfQuarter,
        }))
        .OrderByDescending(a => a.View.Connections).ThenBy(a => a.View.Name, StringComparer.Ordinal)
        .ToLookup(a => a.Pool, a => a.View);

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

    private void LookAtApplications()
    {
        foreach (var application in _applications.Values) application.Begin();
        foreach (var client in core.Clients)
        {
            var key = (client.Pool, client.ApplicationName);
            if (!_applications.TryGetValue(key, out var application)) _applications[key] = application = new Application();
            application.Count(client);
        }
        foreach (var (key, application) in _applications)
            if (!application.End()) _applications.Remove(key);
    }

    private readonly record struct PoolCounts(long WaitTimeouts, long IdleClients, long LifetimeEnds, long IdleEnds, long Opened);

    /// <summary>An application's connections to a pool, from look to look.</summary>
    private sealed class Application
    {
        private const int Minutes = QuarterOfAnHour / Minute;

        private readonly int[] _ofLooks = new int[Minute];
        private readonly int[] _ofMinutes = new int[Minutes];
        private int _looks;
        private int _working;
        private int _missed;

        public string Address { get; private set; } = "";

        public int Connections { get; private set; }

        /// <summary>How many had work at most, at the looks of the last minute.</summary>
        public int MostOfMinute => _ofLooks.Max();

        /// <summary>The same of the last quarter of an hour; null before it has been seen for as long.</summary>
        public int? MostOfQuarter => _looks >= QuarterOfAnHour ? _ofMinutes.Max() : null;

        public void Begin() => (Connections, _working, Address) = (0, 0, "");

        public void Count(ClientSession client)
        {
            var address = client.Identity.Address;
            Address = Connections == 0 || Address == address ? address : "several addresses";
            Connections++;
            if (client.State is ClientState.Active or ClientState.Waiting) _working++;
        }

        /// <summary>Takes the look in.</summary>
        /// <returns>Whether it is worth remembering: applications that connect for each request come back.</returns>
        public bool End()
        {
            _ofLooks[_looks % Minute] = _working;
            var minute = _looks / Minute % Minutes;
            _ofMinutes[minute] = _looks % Minute == 0 ? _working : Math.Max(_ofMinutes[minute], _working);
            _looks++;
            _missed = Connections == 0 ? _missed + 1 : 0;
            return _missed < Minute;
        }
    }
}
