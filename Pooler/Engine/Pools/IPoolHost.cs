using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Pools;

/// <summary>What a pool needs of the engine around it.</summary>
public interface IPoolHost
{
    /// <summary>The settings of the moment; replaced as a whole by a reload.</summary>
    PoolerSettings Settings { get; }

    /// <summary>The limits that span pools.</summary>
    ConnectionBudget Budget { get; }

    /// <summary>Set while nobody may wait for a server, as there will be none: the shutdown waits for the last servers.</summary>
    PgError? RefusesWaiters { get; }

    /// <summary>Whether min_pool_size is kept: not in a process that others have taken over from.</summary>
    bool KeepsMinimum { get; }

    /// <summary>The loops, by index.</summary>
    IReadOnlyList<EventLoop> Loops { get; }

    /// <summary>
    /// Makes a server for the pool without connecting yet (see <see cref="PooledServer.BeginLogin"/>). Called under the
    /// pool's lock: must not call back.
    /// </summary>
    PooledServer CreateServer(Pool pool, EventLoop loop);

    /// <summary>
    /// A limit that spans pools stands in the way of <paramref name="pool"/>: closes an idle server of another pool
    /// that counts against the same limit, if there is one.
    /// </summary>
    void EvictIdleServer(Pool pool, bool sameDatabase);

    /// <summary>A server beyond the pool's size is opened, because this waiter has waited for reserve_pool_timeout.</summary>
    void OnReserveTaken(PoolWaiter waiter);

    /// <summary>A server of the pool is closed: others may have waited for its place in a limit that spans pools.</summary>
    void OnServerClosed(Pool pool);
}

/// <summary>What a pool learnt from the first server that logged in, and tells each client at its login.</summary>
/// <param name="Parameters">Every parameter the server reported at its start, in its order.</param>
/// <param name="Tracked">The tracked ones among them, as a set to compare with.</param>
public sealed record Welcome(IReadOnlyList<KeyValuePair<string, string>> Parameters, SessionParameters Tracked);

/// <summary>Why the last server login failed, and when (loop microseconds).</summary>
/// <param name="Error">As the server or the network put it.</param>
/// <param name="At">When.</param>
public sealed record LoginFailure(PgError Error, long At);
