using Pooler.Engine.Protocol;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>Why a server connection could not be had.</summary>
internal enum ConnectFailure
{
    /// <summary>Nobody answers there, the name has no address, or the connection broke.</summary>
    Unreachable,

    /// <summary>No login within server_connect_timeout.</summary>
    Timeout,

    /// <summary>The server does not take the user or its password, or pg_hba.conf does not.</summary>
    Authentication,

    /// <summary>The server has no such database.</summary>
    UnknownDatabase,

    /// <summary>The server has as many connections as it takes.</summary>
    TooManyConnections,

    /// <summary>The server starts, stops or recovers.</summary>
    ServerNotReady,

    /// <summary>The server is there, but not what it has to be: TLS, target_session_attrs, the protocol.</summary>
    Unfit,

    /// <summary>Anything else that the server says.</summary>
    Other,
}

/// <summary>Finds the kind of a failure.</summary>
internal static class ConnectFailures
{
    public static ConnectFailure Of(PgError error) => error.SqlState switch
    {
        SqlState.ConnectionFailure when error.LoggedAs == "connect timeout" => ConnectFailure.Timeout,
        SqlState.ConnectionFailure when error.Hint is { } hint && hint.Contains("server_tls_", StringComparison.Ordinal) => ConnectFailure.Unfit,
        SqlState.ConnectionFailure => ConnectFailure.Unreachable,
        SqlState.InvalidAuthorization or SqlState.InvalidPassword or SqlState.ConnectionRejected => ConnectFailure.Authentication,
        SqlState.InvalidCatalogName => ConnectFailure.UnknownDatabase,
        SqlState.TooManyConnections => ConnectFailure.TooManyConnections,
        SqlState.CannotConnectNow or SqlState.AdminShutdown => ConnectFailure.ServerNotReady,
        SqlState.ProtocolViolation => ConnectFailure.Unfit,
        _ => ConnectFailure.Other,
    };
}
