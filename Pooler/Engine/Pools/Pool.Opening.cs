using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Pools;

/// <summary>How many servers are opened and when, and what follows when a login to one succeeds or has been failing.</summary>
public sealed partial class Pool
{
    // A cold pool opens several at once, but not so many that a herd of backends forks at the same instant.
    private const int MostOpeningAtOnce = 8;

    private volatile LoginFailure? _lastFailure;
    private int _opening;

    /// <summary>The last server login, when it failed.</summary>
    public LoginFailure? LastFailure => _lastFailure;

    /// <summary>What to tell somebody who has waited in vain; null when the last login to a server has not failed.</summary>
    internal string? DescribeFailure() => _lastFailure is { } failure ? $"The last login to a server failed: {failure.Error.Message}" : null;

    /// <summary>A new server is ready for its first client. Its loop's thread goes on to <see cref="Release"/>.</summary>
    internal void OnLoggedIn(Welcome welcome)
    {
        List<PoolWaiter>? welcomed = null;
        lock (_lock)
        {
            _opening--;
            _lastFailure = null;
            _welcome = welcome;
            _welcomeIsStale = false;
            if (_waiters.WelcomeCount > 0) welcomed = _waiters.Drain(static w => w.WaitsForWelcome);
        }
        if (welcomed is not null)
            foreach (var waiter in welcomed) waiter.OnWelcome();
    }

    /// <summary>Opens as many servers as the waiters need and the limits allow. Any thread.</summary>
    internal void Grow(EventLoop loop)
    {
        while (OwnServerGoesFirst()
            ? OpenOwnServer() || OpenIfNeeded(loop, forMinimum: false)
            : OpenIfNeeded(loop, forMinimum: false) || OpenOwnServer())
        {
        }
    }

    private bool OpenIfNeeded(EventLoop loop, bool forMinimum)
    {
        PooledServer? server = null;
        BudgetLimit? limit = null;
        PoolWaiter? reserveFor;
        lock (_lock)
        {
            if (!MayOpen(forMinimum, out reserveFor)) return false;
            limit = _host.Budget.TryReserveServer(Database, User, _host.Settings);
            if (limit is null)
            {
                _opening++;
                server = _host.CreateServer(this, loop);
                if (!forMinimum && _waiters.OldestWithoutServer is { } waiter)
                {
                    waiter.Opened = server;
                    server.OpenedFor = waiter.TraceContext;
                }
                server.ListIndex = _servers.Count;
                _servers.Add(server);
            }
        }
        if (server is not null)
        {
            if (reserveFor is not null) _host.OnReserveTaken(reserveFor);
            server.BeginLogin(loop);
            return true;
        }
        if (!forMinimum) _host.EvictIdleServer(this, sameDatabase: limit == BudgetLimit.Database);
        return false;
    }

    private bool MayOpen(bool forMinimum, out PoolWaiter? reserveFor)
    {
        reserveFor = null;
        if (Database.IsHeld || _opening >= MostOpeningAtOnce) return false;
        var now = LoopClock.Microseconds(_host.Loops[0].TimeProvider);
        if (IsRetryPutOff(now)) return false;
        if (forMinimum) return _host.KeepsMinimum && _servers.Count < Math.Min(MinSize, Limit);
        if (_opening >= _waiters.Count) return false;
        if (_servers.Count < Limit) return true;
        var patience = _host.Settings.ReservePoolTimeout;
        if (patience <= TimeSpan.Zero || _servers.Count >= (long)Limit + ReserveSize || _opening > 0) return false;
        if (now - _waiters.Oldest!.WaitingSince < Microseconds(patience)) return false;
        reserveFor = _waiters.Oldest;
        return true;
    }

    /// <summary>Those who are no longer to wait, as a server could not be logged in to. Under the lock.</summary>
    private List<PoolWaiter>? NoteFailure(PgError failure, long now)
    {
        _lastFailure = new LoginFailure(failure, now);
        if (HasUsableServer()) return null;
        // A server that cannot be reached, or is only starting, is waited for, as by PgBouncer: an application may start
        // before its database. What it says itself ends logins, as nobody can be let in without a server to learn from.
        // Clients that are in outlast a server that is full, too; that it takes neither name nor password from us will not
        // be over before their query_wait_timeout.
        return _waiters.Drain(
            IsUnreachable(failure) ? static w => w.IsImpatient
            : IsPassing(failure) ? static w => w.IsLogin
            : static _ => true);
    }

    /// <summary>
    /// Why somebody is not to begin waiting, if server logins have been failing: clients that are in hear so at once, as
    /// from PgBouncer, those that log in wait for the next attempt, unless it will hardly end otherwise than the last.
    /// </summary>
    private PgError? RefusalWhileFailing(PoolWaiter waiter, long now)
    {
        if (_lastFailure is not { } failure || SharedCount != _opening || !IsRetryPutOff(now)) return null;
        return waiter.IsLogin && !waiter.IsImpatient && IsPassing(failure.Error) ? null : FailingError(failure.Error);
    }

    private bool IsRetryPutOff(long now) =>
        _lastFailure is { } failure && now - failure.At < Microseconds(_host.Settings.ServerLoginRetry);

    /// <summary>Logged in and not to be closed as soon as it is free: somebody who waits may get it.</summary>
    private bool HasUsableServer()
    {
        foreach (var server in _servers)
            if (server is { OwnStartup: null, CloseNeeded: false } && server.State is not (ServerState.Login or ServerState.Closed)) return true;
        return false;
    }

    private static bool IsUnreachable(PgError failure) => failure.SqlState is SqlState.ConnectionFailure or SqlState.CannotConnectNow;

    private static bool IsPassing(PgError failure) =>
        IsUnreachable(failure) || failure.SqlState is SqlState.TooManyConnections or SqlState.AdminShutdown;

    private static PgError FailingError(PgError cause) => PgError.Fatal(
        cause.SqlState, $"server login has been failing, cached error: {cause.Message} (server_login_retry)",
        hint: cause.Hint, detail: cause.Detail);
}
