using System.Diagnostics;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Pools;

/// <summary>Somebody who waits for a server connection of a pool.</summary>
public abstract class PoolWaiter
{
    /// <summary>The loop on which <see cref="OnGranted"/> is to be called.</summary>
    public abstract EventLoop WaiterLoop { get; }

    /// <summary>When it began to wait, in loop microseconds; 0 when it does not wait.</summary>
    public long WaitingSince { get; internal set; }

    /// <summary>
    /// Waits only to learn the server's parameters at login: gets <see cref="OnWelcome"/>, never a server.
    /// </summary>
    public abstract bool WaitsForWelcome { get; }

    /// <summary>
    /// What a server opened for this waiter alone is asked for at its start; null for those that share servers. See
    /// <see cref="Pool.EnqueueForOwnServer"/>.
    /// </summary>
    public virtual OwnServerStartup? OwnServer => null;

    /// <summary>
    /// Part of a client's login: waits for a server that cannot be reached, but is refused when a server itself refuses
    /// the login, be it for the moment. Clients that are in keep waiting then.
    /// </summary>
    public virtual bool IsLogin => WaitsForWelcome;

    /// <summary>Does not wait for a server that cannot be reached.</summary>
    public virtual bool IsImpatient => false;

    /// <summary>The trace that what it waits for is part of, while it waits; the default without one.</summary>
    internal virtual ActivityContext TraceContext => default;

    /// <summary>The server that was opened because it waits; guarded by the pool's lock. It may be given another one.</summary>
    internal PooledServer? Opened { get; set; }

    internal PoolWaiter? Next { get; set; }

    internal PoolWaiter? Previous { get; set; }

    /// <summary>Order of arrival over all loops of the pool; 0 when not queued. Guarded by the pool's lock.</summary>
    internal long Ticket { get; set; }

    /// <summary>A server on its way to this waiter; guarded by the pool's lock.</summary>
    internal PooledServer? Granted { get; set; }

    /// <summary>The server is this waiter's now. On the thread of <see cref="WaiterLoop"/>, outside the pool's lock.</summary>
    protected internal abstract void OnGranted(PooledServer server);

    /// <summary>
    /// The pool's <see cref="Pool.Welcome"/> is known; the waiter is off the queue. From any thread, outside the lock.
    /// </summary>
    protected internal abstract void OnWelcome();

    /// <summary>
    /// There will be no server: the waiter is off the queue and is to be told why. From any thread, outside the lock.
    /// </summary>
    protected internal abstract void OnRefused(PgError error);
}
