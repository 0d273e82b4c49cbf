using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Pools;

/// <summary>
/// The server connections of one (database, user) pair and the clients that wait for them. One pool serves all loops:
/// limits and order are global, while idle servers lie on a shelf per loop so that the usual take and release stay on
/// one thread. Everything shared is guarded by one short lock.
/// </summary>
public sealed partial class Pool
{
    private readonly Lock _lock = new();
    private readonly IPoolHost _host;
    private readonly ServerShelf[] _shelves;
    private readonly WaitQueue _waiters;
    private readonly List<PooledServer> _servers = [];
    private readonly PoolStatistics[] _statistics;
    private volatile Welcome? _welcome;
    private bool _welcomeIsStale;

    /// <summary>Creates an empty pool.</summary>
    public Pool(IPoolHost host, PoolDatabase database, PoolUser user)
    {
        _host = host;
        Database = database;
        User = user;
        _shelves = [.. host.Loops.Select(_ => new ServerShelf())];
        _statistics = [.. host.Loops.Select(_ => new PoolStatistics())];
        _waiters = new WaitQueue(host.Loops.Count);
    }

    /// <summary>The database of the pool.</summary>
    public PoolDatabase Database { get; }

    /// <summary>The user that its servers log in as.</summary>
    public PoolUser User { get; }

    /// <summary>What to tell clients at login; null until a first server has logged in.</summary>
    public Welcome? Welcome => _welcome;

    /// <summary>Servers allowed: the user's setting, else the database's, else the global one; 0 is no limit.</summary>
    public int Size => User.Settings.PoolSize ?? Database.Settings.PoolSize ?? _host.Settings.DefaultPoolSize;

    /// <summary>Servers allowed beyond <see cref="Size"/> once a client waited reserve_pool_timeout.</summary>
    public int ReserveSize =>
        User.Settings.ReservePoolSize ?? Database.Settings.ReservePoolSize ?? _host.Settings.ReservePoolSize;

    /// <summary>Servers kept open while the pool has clients.</summary>
    public int MinSize => Database.Settings.MinPoolSize ?? _host.Settings.MinPoolSize;

    /// <summary>When servers come back: the user's setting, else the database's, else the global one.</summary>
    public PoolMode Mode => User.Settings.PoolMode ?? Database.Settings.PoolMode ?? _host.Settings.PoolMode;

    /// <summary>Whether it has neither clients nor servers, and nobody waits for one.</summary>
    internal bool IsUnused
    {
        get
        {
            lock (_lock) return HasNobody;
        }
    }

    private bool HasNobody => ClientCount == 0 && _servers.Count == 0 && _waiters.Count == 0 && _ownServerWaiters.Count == 0;

    private bool _isForgotten;

    /// <summary>
    /// Begins the time anew after which it is forgotten when unused: somebody is about to use it. False when it is forgotten
    /// already; then there may be another one of the same database and user.
    /// </summary>
    internal bool TryKeep()
    {
        lock (_lock)
        {
            if (_isForgotten) return false;
            UnusedSince = 0;
            return true;
        }
    }

    /// <summary>Says that nobody is to use it any more, unless somebody does, or wants to, since it was looked at.</summary>
    internal bool TryForget(long unusedSince)
    {
        lock (_lock)
        {
            if (!HasNobody || UnusedSince != unusedSince) return false;
            _isForgotten = true;
            return true;
        }
    }

    /// <summary>Since when it has had neither clients nor servers, in loop microseconds; 0 while it has.</summary>
    internal long UnusedSince { get; set; }

    /// <summary>Clients logged in to this pool, kept by the sessions.</summary>
    public int ClientCount => Volatile.Read(ref _clientCount);

    private int _clientCount;

    /// <summary>How many wait for a server now.</summary>
    public int WaitingCount
    {
        get
        {
            lock (_lock) return _waiters.Count + _ownServerWaiters.Count;
        }
    }

    /// <summary>How long the oldest waiter has waited, in microseconds; 0 without waiters.</summary>
    public long OldestWait(long now)
    {
        lock (_lock)
        {
            var oldest = Math.Min(_waiters.Oldest?.WaitingSince ?? now, _ownServerWaiters.First?.Value.WaitingSince ?? now);
            return Math.Max(0, now - oldest);
        }
    }

    /// <summary>The counters, added up over the loops.</summary>
    public PoolTotals Totals => PoolTotals.Of(_statistics);

    /// <summary>The part of <see cref="Totals"/> that no other process has handed over.</summary>
    internal PoolTotals OwnTotals
    {
        get
        {
            var sum = default(PoolTotals);
            foreach (var statistics in _statistics) sum += statistics.Read();
            return sum;
        }
    }

    /// <summary>How long clients waited for a server.</summary>
    internal TimeDistribution Waits
    {
        get
        {
            var zeros = 0L;
            foreach (var statistics in _statistics) zeros += Volatile.Read(ref statistics.ImmediateAssignments);
            return Merge(static s => s.Waits, zeros);
        }
    }

    /// <summary>How long queries took.</summary>
    internal TimeDistribution QueryTimes => Merge(static s => s.QueryTimes);

    /// <summary>How long transactions took.</summary>
    internal TimeDistribution TransactionTimes => Merge(static s => s.TransactionTimes);

    /// <summary>The servers of the moment.</summary>
    public PooledServer[] Servers
    {
        get
        {
            lock (_lock) return [.. _servers];
        }
    }

    /// <summary>What to log in to servers with, unless the database's entry has a password of its own.</summary>
    internal ServerCredentials Credentials =>
        _learned is { } learned && ReferenceEquals(learned.ListedSecret, User.Secret) ? learned.Credentials : User.Credentials;

    /// <summary>
    /// Keeps what a client's login revealed. A secret that was found out for it (auth_query, LDAP, PAM) serves this pool
    /// only: other databases may be on other servers. It counts until the configuration has another secret for the user.
    /// </summary>
    internal void Learn(ClientAuthentication login, PoolUser loginUser)
    {
        if (login.FoundSecret is not { } secret)
        {
            loginUser.Learn(login);
        }
        else if (loginUser == User)
        {
            // The password itself, where the client has shown it, opens servers of every method.
            secret = Secret.FromPassword(login.PlainPassword) ?? secret;
            var keys = login.ScramKeys ?? (_learned?.Credentials is { } known && known.Secret?.Text == secret.Text ? known.ScramKeys : null);
            _learned = new Learned(new ServerCredentials(User.Name, secret, keys), User.Secret);
        }
    }

    private volatile Learned? _learned;

    private sealed record Learned(ServerCredentials Credentials, Secret? ListedSecret);

    internal PoolStatistics StatisticsOf(EventLoop loop) => _statistics[loop.Index];

    /// <summary>How long it took to open servers.</summary>
    internal TimeDistribution ConnectTimes => Merge(static s => s.ConnectTimes);

    /// <summary>Times a client's named statement was on its server already.</summary>
    internal long StatementHits
    {
        get
        {
            var sum = 0L;
            foreach (var statistics in _statistics) sum += Volatile.Read(ref statistics.StatementHits);
            return sum;
        }
    }

    internal PoolEvents Events { get; } = new();

    private TimeDistribution Merge(Func<PoolStatistics, TimeHistogram> which, long zeros = 0) =>
        TimeDistribution.Of([.. _statistics.Select(which)], zeros);

    internal void AddClient() => Interlocked.Increment(ref _clientCount);

    internal void RemoveClient() => Interlocked.Decrement(ref _clientCount);

    /// <summary>
    /// Takes an idle server for a client of <paramref name="loop"/>, on that loop's thread: the hot path. Null when
    /// there is none ready, or others wait already, or servers are not given out now.
    /// </summary>
    public PooledServer? TryTake(EventLoop loop)
    {
        lock (_lock)
        {
            if (_waiters.Count > 0 || Database.IsHeld) return null;
            var server = FindIdle(loop);
            if (server is null || NeedsCheck(server, loop.Now)) return null;
            TakeOff(server, loop, ServerState.Active);
            return server;
        }
    }

    /// <summary>
    /// Takes an idle server, or queues the waiter, under one hold of the lock: a release in between would be lost.
    /// </summary>
    /// <param name="waiter">Who wants it; on the thread of its loop.</param>
    /// <param name="refusal">Set when waiting would be in vain, because server logins have been failing.</param>
    public PooledServer? TakeOrEnqueue(PoolWaiter waiter, out PgError? refusal)
    {
        var loop = waiter.WaiterLoop;
        PooledServer? toCheck = null;
        bool welcomed;
        lock (_lock)
        {
            // Inside the lock, as it is set before those that wait are refused.
            refusal = _host.RefusesWaiters;
            if (refusal is not null) return null;
            // A server is logged in: the welcome is known, unless the server has come from a PgBouncer, and the queue must
            // not hold waiters for it that a release could pick.
            welcomed = waiter.WaitsForWelcome && _welcome is not null && SharedCount > _opening;
            if (!waiter.WaitsForWelcome && !Database.IsHeld && FindIdle(loop) is { } server)
            {
                if (_waiters.Count == 0 && !NeedsCheck(server, loop.Now))
                {
                    TakeOff(server, loop, ServerState.Active);
                    return server;
                }
                // Each that queues sets one more idle server going: while some are checked, the queue is not empty.
                TakeOff(server, loop, ServerState.Testing);
                toCheck = server;
            }
            if (toCheck is null && RefusalWhileFailing(waiter, loop.Now) is { } failing)
            {
                refusal = failing;
                return null;
            }
            if (!welcomed)
            {
                waiter.WaitingSince = loop.Now;
                _waiters.Enqueue(waiter);
            }
        }
        if (welcomed) waiter.OnWelcome();
        else if (toCheck is not null) toCheck.BeginCheck();
        else Grow(loop);
        return null;
    }

    /// <summary>
    /// Gives a server back, on the thread of its loop: to the waiter whose turn it is, else to the shelf.
    /// </summary>
    /// <returns>Null when it found a place; else why it must be closed, which is then the caller's to do.</returns>
    public string? Release(PooledServer server)
    {
        var loop = server.Connection!.Loop;
        PoolWaiter? waiter;
        lock (_lock)
        {
            var reason = ReasonToClose(server, loop.Now)
                ?? (Excess > 0 ? TooMany : null)
                ?? (IsOwnServerDue() ? Evicted : null);
            if (reason is not null)
            {
                server.State = ServerState.Closed;
                return reason;
            }
            server.IdleSince = loop.Now;
            waiter = _waiters.Dequeue(loop.Index);
            if (waiter is null)
            {
                server.State = ServerState.Idle;
                server.ShelfIndex = loop.Index;
                _shelves[loop.Index].Push(server);
                return null;
            }
            if (waiter.WaiterLoop != loop)
            {
                server.State = ServerState.Granted;
                server.GrantedTo = waiter;
                waiter.Granted = server;
                // Inside the lock: a waiter that gives up must find the server either still ours or already moved.
                waiter.WaiterLoop.Take(server.Connection, announce: true);
                return null;
            }
            server.State = ServerState.Active;
        }
        waiter.OnGranted(server);
        return null;
    }

    /// <summary>A granted server has arrived on its waiter's loop, whose thread this is.</summary>
    internal void CompleteGrant(PooledServer server)
    {
        PoolWaiter? waiter;
        lock (_lock)
        {
            waiter = server.GrantedTo;
            // The waiter gave up meanwhile and has given the server back itself; it may be on its way to yet another loop.
            if (waiter is null || !waiter.WaiterLoop.IsCurrent) return;
            server.GrantedTo = null;
            waiter.Granted = null;
            server.State = ServerState.Active;
        }
        waiter.OnGranted(server);
    }

    /// <summary>
    /// Takes a waiter off the queue that gives up, on the thread of its loop. A server that was already on its way to
    /// it is released, once.
    /// </summary>
    internal void Abandon(PoolWaiter waiter)
    {
        PooledServer? granted;
        lock (_lock)
        {
            waiter.WaitingSince = 0;
            if (_waiters.Remove(waiter) || _ownServerWaiters.Remove(waiter)) return;
            granted = waiter.Granted;
            if (granted is null) return;
            waiter.Granted = null;
            granted.GrantedTo = null;
        }
        if (granted.OwnStartup is not null) granted.CloseFromPool("replication client disconnected");
        else if (Release(granted) is { } reason) granted.CloseFromPool(reason);
    }

    /// <summary>
    /// Bytes arrived from an idle server: takes it off the shelf so that its loop may read. False when the server has
    /// been taken meanwhile, or belongs to another loop: then the event must be dropped.
    /// </summary>
    internal bool Claim(PooledServer server, EventLoop loop)
    {
        lock (_lock)
        {
            if (server.State != ServerState.Idle || server.Connection!.Loop != loop) return false;
            _shelves[server.ShelfIndex].Remove(server);
            server.State = ServerState.Claimed;
            return true;
        }
    }

    /// <summary>Tells all waiters that there will be no server.</summary>
    internal void RefuseWaiters(PgError error)
    {
        List<PoolWaiter> refused;
        lock (_lock)
        {
            refused = [.. _waiters.Drain(static _ => true), .. _ownServerWaiters];
            _ownServerWaiters.Clear();
        }
        foreach (var waiter in refused) waiter.OnRefused(error);
    }

    private PooledServer? FindIdle(EventLoop loop)
    {
        var roundRobin = _host.Settings.ServerRoundRobin;
        var own = _shelves[loop.Index];
        if ((roundRobin ? own.Bottom : own.Top) is { } found) return found;
        if (_shelves.Length == 1) return null;
        foreach (var shelf in _shelves)
            if ((roundRobin ? shelf.Bottom : shelf.Top) is { } other) return other;
        return null;
    }

    private void TakeOff(PooledServer server, EventLoop loop, ServerState next)
    {
        _shelves[server.ShelfIndex].Remove(server);
        // Move before the state says that it is in use: whoever sees the state also sees the loop it belongs to.
        if (server.Connection!.Loop != loop) loop.Take(server.Connection, announce: false);
        server.State = next;
    }

    private bool NeedsCheck(PooledServer server, long now)
    {
        var settings = _host.Settings;
        return settings.ServerCheckQuery.Length > 0
            && now - server.IdleSince > Microseconds(settings.ServerCheckDelay);
    }

    private int Limit => Size > 0 ? Size : int.MaxValue;

    private static long Microseconds(TimeSpan time) => time.Ticks / TimeSpan.TicksPerMicrosecond;
}
