using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Pools;

/// <summary>
/// Servers that are opened for one client alone and closed with it: replication connections. They count in the limits
/// like all others; in a full pool an idle server makes room for them.
/// </summary>
public sealed partial class Pool
{
    private const string Evicted = "evicted";

    private static readonly PgError ServerClosedError =
        PgError.Fatal(SqlState.ConnectionFailure, "the server connection was closed before it was ready");

    /// <summary>In order of arrival; those for whom no server is being opened yet. Guarded by the lock.</summary>
    private readonly LinkedList<PoolWaiter> _ownServerWaiters = new();

    private int _ownServers;

    /// <summary>Servers that clients share, open or opening.</summary>
    private int SharedCount => _servers.Count - _ownServers;

    /// <summary>
    /// Queues a waiter for a server of its own (<see cref="PoolWaiter.OwnServer"/>). Ends in
    /// <see cref="PoolWaiter.OnGranted"/> when the server is logged in, or <see cref="PoolWaiter.OnRefused"/>.
    /// </summary>
    /// <remarks>
    /// A failed login tells nothing about other connections of the pool (the user may lack the REPLICATION attribute), so
    /// it neither counts as the pool's last failure nor is put off by one.
    /// </remarks>
    internal void EnqueueForOwnServer(PoolWaiter waiter)
    {
        PgError? refused;
        lock (_lock)
        {
            // Inside the lock, as it is set before those that wait are refused.
            refused = _host.RefusesWaiters;
            if (refused is null)
            {
                waiter.WaitingSince = waiter.WaiterLoop.Now;
                _ownServerWaiters.AddLast(waiter);
            }
        }
        if (refused is not null) waiter.OnRefused(refused);
        else Grow(waiter.WaiterLoop);
    }

    /// <summary>
    /// A server that was opened for one waiter is ready. False when the waiter has given up; then it must be closed. On the
    /// loop of both.
    /// </summary>
    internal bool CompleteOwnServer(PooledServer server)
    {
        PoolWaiter? waiter;
        lock (_lock)
        {
            waiter = server.GrantedTo;
            if (waiter is null) return false;
            server.GrantedTo = null;
            waiter.Granted = null;
            server.State = ServerState.Active;
        }
        waiter.OnGranted(server);
        return true;
    }

    private PoolWaiter? ForgetOwnServer(PooledServer server)
    {
        _ownServers--;
        var waiter = server.GrantedTo;
        server.GrantedTo = null;
        if (waiter is not null) waiter.Granted = null;
        return waiter;
    }

    private bool OwnServerGoesFirst()
    {
        lock (_lock) return IsOwnServerFirst();
    }

    private bool IsOwnServerFirst() => _ownServerWaiters.First is { Value: var first }
        && (_waiters.Oldest is not { } oldest || first.WaitingSince <= oldest.WaitingSince);

    /// <summary>
    /// A server that is being released has to make room: the pool is full, or max_db_connections or max_user_connections
    /// are reached, and busy clients that pass servers on to each other would keep it so for ever.
    /// </summary>
    private bool IsOwnServerDue() => IsOwnServerFirst() && !Database.IsHeld && (RoomAfterClosing() <= 0
        || (!IsClosingOne() && _host.Budget.IsServerLimitReached(Database, User, _host.Settings)));

    private bool IsClosingOne() => _servers.Exists(static s => s.State == ServerState.Closed);

    /// <summary>Places left when those are gone that are closing already.</summary>
    private int RoomAfterClosing() => Limit - _servers.Count + _servers.Count(static s => s.State == ServerState.Closed);

    private bool OpenOwnServer()
    {
        PooledServer? server = null;
        PoolWaiter waiter;
        BudgetLimit? limit = null;
        bool evicts;
        lock (_lock)
        {
            if (_ownServerWaiters.First is not { } first || Database.IsHeld) return false;
            waiter = first.Value;
            var full = !HasRoomFor(waiter);
            if (!full) limit = _host.Budget.TryReserveServer(Database, User, _host.Settings);
            if (!full && limit is null)
            {
                _ownServerWaiters.RemoveFirst();
                server = _host.CreateServer(this, waiter.WaiterLoop);
                server.OwnStartup = waiter.OwnServer;
                server.GrantedTo = waiter;
                waiter.Granted = server;
                server.ListIndex = _servers.Count;
                _servers.Add(server);
                _ownServers++;
            }
            // Not more than needed: the places of those that are closing come free without another eviction.
            evicts = full ? RoomAfterClosing() < _ownServerWaiters.Count : !IsClosingOne();
        }
        if (server is not null)
        {
            server.BeginLogin(waiter.WaiterLoop);
            return true;
        }
        // The next attempt comes with the closing of what is evicted.
        if (evicts && !EvictIdle(Evicted) && limit is not null) _host.EvictIdleServer(this, sameDatabase: limit == BudgetLimit.Database);
        return false;
    }

    private bool HasRoomFor(PoolWaiter waiter)
    {
        if (_servers.Count < Limit) return true;
        // Zero: the reserve is not used.
        var patience = _host.Settings.ReservePoolTimeout;
        return patience > TimeSpan.Zero && _servers.Count < (long)Limit + ReserveSize
            && LoopClock.Microseconds(_host.Loops[0].TimeProvider) - waiter.WaitingSince >= Microseconds(patience);
    }
}
