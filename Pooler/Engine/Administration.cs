using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine;

/// <summary>How the engine is to end.</summary>
public enum ShutdownMode
{
    /// <summary>At once; clients get an error.</summary>
    Immediate,

    /// <summary>When the servers have been given back: no new clients, waiting ones are turned away.</summary>
    WaitForServers,

    /// <summary>When the last client has left: no new ones.</summary>
    WaitForClients,
}

/// <summary>A command that cannot be carried out, for a reason to tell the administrator.</summary>
public class AdministrationException(string message) : Exception(message);

/// <summary>A command that names a database that there is not.</summary>
public sealed class UnknownDatabaseException(string name) : AdministrationException($"no such database: {name}");

/// <summary>What administrators can do to the pools: the commands of the console, of HTTP and of signals. Any thread.</summary>
internal sealed class Administration(EngineCore engine)
{
    private readonly Lock _lock = new();
    private readonly List<(Func<bool> Condition, TaskCompletionSource Done)> _pending = [];
    private readonly Dictionary<string, (PoolTotals Before, PoolTotals Last)> _periods = [];
    private long _periodStart;
    private long _periodLength;

    /// <summary>Whether all of the pooler is paused by PAUSE without a database.</summary>
    public bool AllPaused
    {
        get => engine.Directory.PausesNew;
        private set => engine.Directory.PausesNew = value;
    }

    /// <summary>Stops giving out servers and closes them as they come free.</summary>
    /// <returns>Ends when all servers concerned are closed.</returns>
    /// <exception cref="AdministrationException">Unknown database, or paused already.</exception>
    public Task PauseAsync(string? name)
    {
        if (name is null)
        {
            if (AllPaused) throw new AdministrationException("already suspended/paused");
            AllPaused = true;
        }
        else if (Database(name).Paused)
        {
            throw new AdministrationException("already suspended/paused");
        }
        foreach (var database in Concerned(name)) database.Paused = true;
        foreach (var pool in PoolsOf(name)) pool.CloseServers("database paused", markOthers: false);
        return WhenAsync(() => PoolsOf(name).All(p => p.Servers.Length == 0));
    }

    /// <summary>Undoes PAUSE and KILL.</summary>
    /// <exception cref="AdministrationException">Unknown database, or not paused.</exception>
    public void Resume(string? name)
    {
        if (name is null)
        {
            if (!AllPaused && !engine.Directory.Databases.Any(d => d.Paused)) throw new AdministrationException("pooler is not paused/suspended");
            AllPaused = false;
        }
        else if (!Database(name).Paused)
        {
            throw new AdministrationException($"database {name} is not paused");
        }
        foreach (var database in Concerned(name)) database.Paused = false;
        foreach (var pool in PoolsOf(name)) pool.Grow(engine.Loops[0]);
    }

    /// <summary>Has every server replaced by a new one, as it comes free.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void Reconnect(string? name)
    {
        if (name is not null) Database(name);
        foreach (var pool in PoolsOf(name)) pool.CloseServers("RECONNECT command issued", markOthers: true);
    }

    /// <summary>Ends when all servers that RECONNECT or a reload has marked are closed.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public Task WaitCloseAsync(string? name)
    {
        if (name is not null) Database(name);
        return WhenAsync(() => !PoolsOf(name).Any(p => p.Servers.Any(s => s.CloseNeeded)));
    }

    /// <summary>Drops all clients and servers, and leaves the databases paused.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void Kill(string? name)
    {
        if (name is not null) Database(name);
        else AllPaused = true;
        foreach (var database in Concerned(name)) database.Paused = true;
        var error = PgError.Fatal(SqlState.AdminShutdown, "database removed", hint: "An administrator issued KILL.");
        foreach (var client in engine.Clients)
            if (name is null || client.Pool.Database.Name == name) Kill(client, error);
        foreach (var pool in PoolsOf(name))
        {
            pool.RefuseWaiters(error);
            pool.CloseServers("KILL command issued", markOthers: true);
        }
    }

    /// <summary>Drops one client, and the server that works for it.</summary>
    /// <exception cref="AdministrationException">No such client.</exception>
    public void KillClient(long id)
    {
        var client = engine.Clients.FirstOrDefault(c => c.Identity.Id == id)
            ?? throw new AdministrationException("client not found");
        Kill(client, PgError.Fatal(SqlState.AdminShutdown, "admin forced disconnect", hint: "An administrator issued KILL_CLIENT."));
    }

    /// <summary>Lets no new clients into a database, or lets them in again.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void SetDisabled(string name, bool disabled) => Database(name).Disabled = disabled;

    /// <summary>Ends when the mode's condition holds. Stopping to listen and to accept logins is the caller's part.</summary>
    public Task DrainAsync(ShutdownMode mode)
    {
        switch (mode)
        {
            case ShutdownMode.WaitForClients:
                return WhenAsync(() => !engine.Clients.Any());
            case ShutdownMode.WaitForServers:
                AllPaused = true;
                foreach (var database in Concerned(null)) database.Paused = true;
                foreach (var pool in engine.Directory.Pools)
                {
                    pool.RefuseWaiters(PgError.Fatal(SqlState.AdminShutdown, "pooler is shutting down"));
                    pool.CloseServers("shutting down", markOthers: true);
                }
                return WhenAsync(() => engine.Directory.Pools.All(p => p.Servers.Length == 0));
            default:
                return Task.CompletedTask;
        }
    }

    /// <summary>Per database: the counters, and how they changed in the last full stats_period of how many microseconds.</summary>
    public IReadOnlyList<(string Database, PoolTotals Totals, PoolTotals LastPeriod, long PeriodLength)> Statistics()
    {
        var totals = TotalsByDatabase();
        lock (_lock)
        {
            return
            [
                .. totals.Select(t =>
                {
                    var period = _periods.TryGetValue(t.Key, out var p) ? p.Last - p.Before : default;
                    return (t.Key, t.Value, period, _periodLength);
                }),
            ];
        }
    }

    /// <summary>Something ended: looks whether a pending command is done.</summary>
    public void CheckPending()
    {
        if (_pending.Count == 0) return;
        List<TaskCompletionSource>? done = null;
        lock (_lock)
        {
            for (var i = _pending.Count - 1; i >= 0; i--)
            {
                if (!_pending[i].Condition()) continue;
                (done ??= []).Add(_pending[i].Done);
                _pending.RemoveAt(i);
            }
        }
        if (done is not null)
            foreach (var source in done) source.SetResult();
    }

    /// <summary>Called a few times a second on one loop.</summary>
    public void OnTick(long now)
    {
        CheckPending();
        if (_periodStart == 0) _periodStart = now;
        if (now - _periodStart < engine.Settings.StatsPeriod * 1_000_000L) return;
        var totals = TotalsByDatabase();
        var all = default(PoolTotals);
        lock (_lock)
        {
            _periodLength = now - _periodStart;
            _periodStart = now;
            foreach (var (name, current) in totals)
            {
                var before = _periods.TryGetValue(name, out var p) ? p.Last : default;
                _periods[name] = (before, current);
                all += current - before;
            }
            foreach (var gone in _periods.Keys.Except(totals.Keys).ToArray()) _periods.Remove(gone);
        }
        TellStatistics(all, Math.Max(1, _periodLength));
    }

    private void TellStatistics(PoolTotals period, long length)
    {
        long PerSecond(long count) => count * 1_000_000 / length;
        var figures = new PeriodFigures(
            PerSecond(period.Transactions), PerSecond(period.Queries), PerSecond(period.ClientParses),
            PerSecond(period.ServerParses), PerSecond(period.Binds), PerSecond(period.Logins), PerSecond(period.BytesReceived),
            PerSecond(period.BytesSent), period.TransactionTime / Math.Max(1, period.Transactions),
            period.QueryTime / Math.Max(1, period.Queries), period.WaitTime / Math.Max(1, period.Transactions));
        if (engine.Settings.LogStats) engine.Log.Statistics(figures);
        engine.PeriodEnded?.Invoke($"stats: {figures}");
    }

    private Dictionary<string, PoolTotals> TotalsByDatabase()
    {
        var totals = new Dictionary<string, PoolTotals>();
        foreach (var pool in engine.Directory.Pools)
            totals[pool.Database.Name] = totals.GetValueOrDefault(pool.Database.Name) + pool.Totals;
        totals[EngineCore.ConsoleDatabase] = PoolTotals.Of(engine.ConsoleStatistics);
        return totals;
    }

    private void Kill(ClientSession client, PgError error) => engine.RunOn(client.WaiterLoop, static state =>
    {
        var (victim, reason) = ((ClientSession, PgError))state!;
        victim.Kill(reason);
    }, (client, error));

    private Task WhenAsync(Func<bool> condition)
    {
        // Continuations must not run on the loop that notices: they may block or write to other connections.
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock) _pending.Add((condition, done));
        CheckPending();
        return done.Task;
    }

    private PoolDatabase Database(string name) =>
        engine.Directory.KnownDatabase(name) ?? throw new UnknownDatabaseException(name);

    private IEnumerable<PoolDatabase> Concerned(string? name) =>
        name is null ? engine.Directory.Databases : [Database(name)];

    private IEnumerable<Pool> PoolsOf(string? name) =>
        engine.Directory.Pools.Where(p => name is null || p.Database.Name == name);
}
