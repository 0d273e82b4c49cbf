using System.Collections.Frozen;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>Why a server connection that had been logged in was closed.</summary>
internal enum ServerClosing
{
    /// <summary>server_idle_timeout.</summary>
    IdleTimeout,

    /// <summary>server_lifetime.</summary>
    Lifetime,

    /// <summary>RELOAD, RECONNECT or SET: it was opened with other settings.</summary>
    ConfigurationChanged,

    /// <summary>Its database is gone from the configuration, or was killed.</summary>
    DatabaseRemoved,

    /// <summary>PAUSE, or a shutdown that waits.</summary>
    Paused,

    /// <summary>The pool was made smaller.</summary>
    PoolShrunk,

    /// <summary>Another pool needed its place in max_db_connections or max_user_connections.</summary>
    Evicted,

    /// <summary>Its client left in the middle of something.</summary>
    ClientLeft,

    /// <summary>Its client was killed by an administrator.</summary>
    ClientKilled,

    /// <summary>query_timeout.</summary>
    QueryTimeout,

    /// <summary>transaction_timeout.</summary>
    TransactionTimeout,

    /// <summary>idle_transaction_timeout.</summary>
    IdleTransactionTimeout,

    /// <summary>server_check_query or server_reset_query failed.</summary>
    CheckFailed,

    /// <summary>The server closed it, or died.</summary>
    ServerClosed,

    /// <summary>The server sent what the protocol does not allow.</summary>
    Protocol,

    /// <summary>Another process has taken over.</summary>
    HandedOver,

    /// <summary>The pooler ends.</summary>
    Shutdown,

    /// <summary>Anything else, such as a request of its client that the pooler cannot forward.</summary>
    Other,
}

/// <summary>Finds the kind of a closing by what the log says of it.</summary>
internal static class ServerClosings
{
    private static readonly FrozenDictionary<string, ServerClosing> ByReason = new Dictionary<string, ServerClosing>
    {
        ["server idle timeout"] = ServerClosing.IdleTimeout,
        ["server lifetime over"] = ServerClosing.Lifetime,
        ["database configuration changed"] = ServerClosing.ConfigurationChanged,
        ["target_session_attrs changed"] = ServerClosing.ConfigurationChanged,
        ["database removed"] = ServerClosing.DatabaseRemoved,
        ["pause mode"] = ServerClosing.Paused,
        ["too many servers in the pool"] = ServerClosing.PoolShrunk,
        ["evicted"] = ServerClosing.Evicted,
        ["client disconnected with query in progress"] = ServerClosing.ClientLeft,
        ["client disconnect before everything was sent to the server"] = ServerClosing.ClientLeft,
        ["client left during its auth_query"] = ServerClosing.ClientLeft,
        ["replication client disconnected"] = ServerClosing.ClientLeft,
        ["replication client was closed"] = ServerClosing.ClientLeft,
        ["client connection killed"] = ServerClosing.ClientKilled,
        ["query timeout"] = ServerClosing.QueryTimeout,
        ["transaction timeout"] = ServerClosing.TransactionTimeout,
        ["idle transaction timeout"] = ServerClosing.IdleTransactionTimeout,
        ["test query failed"] = ServerClosing.CheckFailed,
        ["server did not answer a check or reset query"] = ServerClosing.CheckFailed,
        ["session could not be reset"] = ServerClosing.CheckFailed,
        ["server conn crashed?"] = ServerClosing.ServerClosed,
        ["bad packet from server"] = ServerClosing.Protocol,
        ["bad pkt header"] = ServerClosing.Protocol,
        ["unexpected response"] = ServerClosing.Protocol,
        ["handed over to another process"] = ServerClosing.HandedOver,
        ["shutting down"] = ServerClosing.Shutdown,
    }.ToFrozenDictionary();

    public static ServerClosing Of(string reason) => ByReason.GetValueOrDefault(reason, ServerClosing.Other);
}
