using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>Who a client is: fixed at login.</summary>
/// <param name="Id">Unique in this process, from 1; in logs and SHOW CLIENTS.</param>
/// <param name="Pool">Where its servers come from.</param>
/// <param name="LoginUser">The name it logged in with; differs from the pool's user when the database forces one.</param>
/// <param name="CancelKey">What it was told, and has to show to cancel its query.</param>
/// <param name="ConnectedAt">Wall clock.</param>
/// <param name="Address">Its address, as in SHOW CLIENTS: an IP address, or <c>unix</c>.</param>
/// <param name="Port">Its port; for Unix sockets ours.</param>
internal sealed record ClientIdentity(
    long Id, Pool Pool, PoolUser LoginUser, CancelKey CancelKey, DateTimeOffset ConnectedAt,
    string Address, int Port)
{
    /// <summary>Whether it streams WAL, over a server of its own.</summary>
    public ReplicationMode Replication { get; init; }

    /// <summary>The process at the other end of a Unix socket; 0 when there is none or nobody knows.</summary>
    public int Process { get; init; }

    /// <summary>How log lines name it.</summary>
    public ConnectionName LogName => new(false, Id, Pool.Database.Name, LoginUser.Name, Address, Port) { Process = Process };
}
