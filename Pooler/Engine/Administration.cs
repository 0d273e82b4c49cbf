using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;

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

/// <summary>Whether the pooler as a whole works: the rows of SHOW STATE.</summary>
internal enum StandStill
{
    /// <summary>It works.</summary>
    None,

    /// <summary>PAUSE without a name: no servers are given out, and those that come free are closed.</summary>
    Paused,

    /// <summary>SUSPEND: nothing is read at all.</summary>
    Suspended,
}

/// <summary>What administrators can do to the pools: the commands of the console, of HTTP and of signals. Any thread.</summary>
internal sealed class Administration(EngineCore engine)
{
    private const string AlreadyStanding = "already suspended/paused";

    private readonly Lock _lock = new();
    private readonly Suspension _suspension = new(engine);
    private volatile StandStill _standStill;

    /// <summary>PAUSE without a name, SUSPEND, or neither.</summary>
    public StandStill StandStill => _standStill;

    /// <summary>Whether all of the pooler is paused by PAUSE without a database.</summary>
    public bool AllPaused => _standStill == StandStill.Paused;

    /// <summary>What has been ordered and is not answered yet.</summary>
    public PendingCommands Pending { get; } = new();

    /// <summary>Stops giving out servers and closes them as they come free.</summary>
    /// <param name="name">One database; null: all.</param>
    /// <param name="cancellationToken">Ends the wait; the pause stays.</param>
    /// <returns>Ends when all servers concerned are closed.</returns>
    /// <exception cref="AdministrationException">Unknown database, or all are paused or suspended already.</exception>
    public Task PauseAsync(string? name, CancellationToken cancellationToken = default)
    {
        Task closed;
        lock (_lock)
        {
            if (_standStill != StandStill.None) throw new AdministrationException(AlreadyStanding);
            if (name is null) HoldAll(true);
            else Database(name).Paused = true;
            // Inside the lock: a RESUME that comes later finds it waiting.
            closed = Pending.WaitAsync(() => PoolsOf(name).All(p => p.Servers.Length == 0), endsWithResume: true, cancellationToken);
        }
        foreach (var pool in PoolsOf(name)) pool.CloseIdleAndOpening("pause mode");
        return closed;
    }

    /// <summary>Stops reading from everybody.</summary>
    /// <returns>Ends when all that was to be sent is sent; suspend_timeout drops those that do not take it.</returns>
    /// <exception cref="AdministrationException">Paused or suspended already.</exception>
    public Task SuspendAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (_standStill != StandStill.None) throw new AdministrationException(AlreadyStanding);
            // A paused database may have clients whose requests cannot be finished.
            if (engine.Directory.Databases.Any(d => d.Paused)) throw new AdministrationException("cannot suspend with paused databases");
            _standStill = StandStill.Suspended;
            _suspension.Begin();
            return Pending.WaitAsync(_suspension.IsComplete, endsWithResume: true, cancellationToken);
        }
    }

    /// <summary>
    /// Undoes PAUSE, SUSPEND and KILL. Like PgBouncer's, a RESUME after PAUSE or SUSPEND leaves databases paused that were
    /// paused by name.
    /// </summary>
    /// <exception cref="AdministrationException">Unknown database, not paused, or shutting down.</exception>
    public void Resume(string? name)
    {
        lock (_lock)
        {
            var was = _standStill;
            if (name is not null)
            {
                if (!Database(name).Paused) throw new AdministrationException($"database {name} is not paused");
                Database(name).Paused = false;
            }
            else
            {
                if (engine.RefusesLogins is not null) throw new AdministrationException("pooler is shutting down");
                var paused = engine.Directory.Databases.Where(d => d.Paused).ToArray();
                if (was == StandStill.None && paused.Length == 0) throw new AdministrationException("pooler is not paused/suspended");
                if (was == StandStill.None)
                    foreach (var database in paused) database.Paused = false;
                if (was == StandStill.Paused) HoldAll(false);
                _standStill = StandStill.None;
                if (was == StandStill.Suspended) _suspension.End();
            }
            Pending.EndByResume();
        }
        foreach (var pool in PoolsOf(name)) pool.Grow(engine.Loops[0]);
    }

    /// <summary>
    /// An administrator has cancelled a command that waits. Like PgBouncer's, this undoes the PAUSE or SUSPEND that is in
    /// force, be it his own or not.
    /// </summary>
    public void ResumeAfterCancel()
    {
        if (engine.RefusesLogins is null && _standStill != StandStill.None) Resume(null);
    }

    /// <summary>Has every server replaced by a new one, as it comes free.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void Reconnect(string? name)
    {
        if (name is not null) Database(name);
        foreach (var pool in PoolsOf(name)) pool.CloseServers("database configuration changed", markOthers: true);
    }

    /// <summary>Ends when all servers that RECONNECT or a reload has marked are closed.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public Task WaitCloseAsync(string? name, CancellationToken cancellationToken)
    {
        if (name is not null) Database(name);
        return Pending.WaitAsync(() => !PoolsOf(name).Any(p => p.Servers.Any(s => s.CloseNeeded)), endsWithResume: false, cancellationToken);
    }

    /// <summary>Drops all clients and servers, and leaves the databases paused.</summary>
    /// <returns>Ends when they are gone.</returns>
    /// <exception cref="AdministrationException">Unknown database, or all are paused or suspended.</exception>
    public Task KillAsync(string? name)
    {
        lock (_lock)
        {
            if (_standStill != StandStill.None) throw new AdministrationException(AlreadyStanding);
            foreach (var database in Concerned(name))
            {
                // First: whoever sees the pause closes servers, and says why.
                database.IsKilled = true;
                database.Paused = true;
            }
        }
        var error = PgError.Fatal(SqlState.AdminShutdown, "database removed", hint: "An administrator issued KILL.");
        foreach (var client in engine.Clients)
            if (name is null || client.Pool.Database.Name == name) Kill(client, error);
        foreach (var pool in PoolsOf(name))
        {
            pool.RefuseWaiters(error);
            pool.CloseIdleAndOpening("database removed");
            pool.CloseServers("database removed", markOthers: true);
        }
        return engine.TurnAllLoopsAsync();
    }

    /// <summary>Drops one client, and the server that works for it.</summary>
    /// <returns>Ends when it is gone.</returns>
    /// <exception cref="AdministrationException">No such client.</exception>
    public Task KillClientAsync(long id)
    {
        var error = PgError.Fatal(SqlState.AdminShutdown, "admin forced disconnect", hint: "An administrator issued KILL_CLIENT.");
        if (engine.Clients.FirstOrDefault(c => c.Identity.Id == id) is { } client) Kill(client, error);
        else if (engine.Logins.FirstOrDefault(l => l.Id == id && l.State == Sessions.LoginState.WaitingForWelcome) is { } login)
            engine.RunOn(login.WaiterLoop, _ => login.Fail(error), null);
        else throw new AdministrationException("client not found");
        return engine.TurnAllLoopsAsync();
    }

    /// <summary>Lets no new clients into a database, or lets them in again.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void SetDisabled(string name, bool disabled) => Database(name).Disabled = disabled;

    /// <summary>What a shutdown changes at once, before anybody waits for anything. Again does nothing more.</summary>
    public void BeginDrain(ShutdownMode mode)
    {
        if (mode != ShutdownMode.WaitForServers) return;
        var refusal = PgError.Fatal(SqlState.AdminShutdown, "server shutting down");
        lock (_lock)
        {
            engine.RefusesWaiters = refusal;
            if (_standStill == StandStill.None) HoldAll(true);
        }
        foreach (var pool in engine.Directory.Pools)
        {
            pool.RefuseWaiters(refusal);
            pool.CloseIdleAndOpening("pause mode");
        }
    }

    /// <summary>Ends when the mode's condition holds. Stopping to listen and to accept logins is the caller's part.</summary>
    public Task DrainAsync(ShutdownMode mode)
    {
        switch (mode)
        {
            case ShutdownMode.WaitForClients:
                return Pending.WaitAsync(() => !engine.Clients.Any(), endsWithResume: false, default);
            case ShutdownMode.WaitForServers:
                BeginDrain(mode);
                return Pending.WaitAsync(() => engine.Directory.Pools.All(p => p.Servers.Length == 0), endsWithResume: false, default);
            default:
                return Task.CompletedTask;
        }
    }

    /// <summary>Called a few times a second on one loop.</summary>
    public void OnTick(long now)
    {
        if (_standStill == StandStill.Suspended)
        {
            _suspension.CheckTimeout(engine.Settings.SuspendTimeout, now);
            // Nobody is accepted, so nobody could come to say RESUME.
            if (!engine.Consoles.Any() && !engine.IsHandingOver) _ = Task.Run(ResumeWithoutConsole);
        }
        Pending.Check();
    }

    private void Kill(ClientSession client, PgError error) => engine.RunOn(client.WaiterLoop, static state =>
    {
        var (victim, reason) = ((ClientSession, PgError))state!;
        victim.Kill(reason);
    }, (client, error));

    private void ResumeWithoutConsole()
    {
        try
        {
            if (_standStill != StandStill.Suspended) return;
            engine.Log.AdminDisappeared();
            Resume(null);
        }
        catch (AdministrationException)
        {
            // Somebody else was faster.
        }
    }

    private void HoldAll(bool hold)
    {
        _standStill = hold ? StandStill.Paused : StandStill.None;
        engine.Directory.HoldsNew = hold;
        foreach (var database in engine.Directory.Databases) database.HeldWithAll = hold;
    }

    private PoolDatabase Database(string name) =>
        engine.Directory.KnownDatabase(name) ?? throw new UnknownDatabaseException(name);

    private IEnumerable<PoolDatabase> Concerned(string? name) =>
        name is null ? engine.Directory.Databases : [Database(name)];

    private IEnumerable<Pool> PoolsOf(string? name) =>
        engine.Directory.Pools.Where(p => name is null || p.Database.Name == name);
}
