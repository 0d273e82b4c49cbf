using System.Diagnostics;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Pools;

/// <summary>Every state a server connection can be in.</summary>
public enum ServerState
{
    /// <summary>Name lookup, connect, authentication, connect_query: not usable yet.</summary>
    Login,

    /// <summary>On a shelf of its pool. Whoever takes it off, under the pool's lock, owns it.</summary>
    Idle,

    /// <summary>Taken off the shelf by its own loop because bytes arrived unasked; goes back or is closed.</summary>
    Claimed,

    /// <summary>Runs server_check_query or server_reset_query for the pool.</summary>
    Testing,

    /// <summary>Assigned to a waiter on another loop, on its way there.</summary>
    Granted,

    /// <summary>Linked to a client.</summary>
    Active,

    /// <summary>Released by its client while a cancel request for it is still under way: must not meet the next client.</summary>
    BeingCanceled,

    /// <summary>Closed, or about to be by its loop.</summary>
    Closed,
}

/// <summary>What a pool knows of a server connection.</summary>
/// <remarks>
/// <see cref="State"/> changes from and to <see cref="ServerState.Idle"/> and <see cref="ServerState.Granted"/> under
/// the pool's lock; in all other states the connection belongs to its loop's thread.
/// </remarks>
public abstract class PooledServer(Pool pool, long openedAt)
{
    private volatile ServerState _state = ServerState.Login;
    private volatile bool _closeNeeded;

    /// <summary>The pool it belongs to for its whole life.</summary>
    public Pool Pool { get; } = pool;

    /// <summary>The connection, once connecting has begun.</summary>
    public Connection? Connection { get; protected set; }

    /// <summary>Where it stands. Any thread may read it.</summary>
    public ServerState State
    {
        get => _state;
        internal set => _state = value;
    }

    /// <summary>Set by RECONNECT, PAUSE or a changed configuration: closed as soon as nobody uses it. Any thread.</summary>
    public bool CloseNeeded
    {
        get => _closeNeeded;
        set => _closeNeeded = value;
    }

    /// <summary>When it was opened, in loop microseconds.</summary>
    public long OpenedAt { get; } = openedAt;

    /// <summary>When it was last released, in loop microseconds.</summary>
    public long IdleSince { get; internal set; }

    /// <summary>
    /// What it is asked for at its start when it was opened for one client alone (replication). Such a server is never
    /// shared: it is closed with its client. Null for all others.
    /// </summary>
    public OwnServerStartup? OwnStartup { get; internal set; }

    /// <summary>The trace of the client that it was opened for; the default when that client has none, or nobody waited.</summary>
    internal ActivityContext OpenedFor { get; set; }

    /// <summary>The waiter it is on its way to, or is opened for; guarded by the pool's lock.</summary>
    internal PoolWaiter? GrantedTo { get; set; }

    /// <summary>Position in the pool's list of servers; guarded by the pool's lock.</summary>
    internal int ListIndex { get; set; } = -1;

    /// <summary>Neighbours on the shelf; guarded by the pool's lock.</summary>
    internal PooledServer? ShelfAbove { get; set; }

    internal PooledServer? ShelfBelow { get; set; }

    /// <summary>Index of the loop on whose shelf it lies; guarded by the pool's lock.</summary>
    internal int ShelfIndex { get; set; }

    /// <summary>Begins to connect on the given loop. Any thread; outside the pool's lock.</summary>
    protected internal abstract void BeginLogin(EventLoop loop);

    /// <summary>Runs server_check_query, then releases itself or closes. On the thread of its loop.</summary>
    protected internal abstract void BeginCheck();

    /// <summary>Gives its login up, if it has not ended by the time its loop comes to it. Any thread.</summary>
    protected internal abstract void AbandonLogin(string reason);

    /// <summary>
    /// Closes it, from any thread: the state is already <see cref="ServerState.Closed"/>, the work is done on its loop.
    /// </summary>
    protected internal abstract void CloseFromPool(string reason);
}
