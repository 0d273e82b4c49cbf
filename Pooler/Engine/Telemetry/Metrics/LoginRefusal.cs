using Pooler.Engine.Protocol;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>Why a client was not let in.</summary>
internal enum LoginRefusal
{
    /// <summary>Unknown user, wrong password or certificate, not allowed by the HBA rules or on the console.</summary>
    Authentication,

    /// <summary>There is no such database.</summary>
    UnknownDatabase,

    /// <summary>max_client_conn, or a limit of the database's or the user's clients.</summary>
    ConnectionLimit,

    /// <summary>The pooler is shutting down, or the database is disabled or was taken away.</summary>
    NotAccepting,

    /// <summary>client_login_timeout.</summary>
    LoginTimeout,

    /// <summary>query_wait_timeout or query_timeout, while no server could be had.</summary>
    WaitTimeout,

    /// <summary>No server to log in to; see the failures of server connections.</summary>
    ServerUnavailable,

    /// <summary>The TLS handshake failed, or the client came without TLS where it is needed.</summary>
    Tls,

    /// <summary>The client left while it waited for a server.</summary>
    Abandoned,

    /// <summary>A message that the protocol, or the pooler's settings, do not allow.</summary>
    Protocol,

    /// <summary>Anything else.</summary>
    Other,
}

/// <summary>Finds the kind of a failure.</summary>
internal static class LoginRefusals
{
    /// <summary>Of what the pooler itself tells the client.</summary>
    public static LoginRefusal Of(PgError error) => error.SqlState switch
    {
        SqlState.ProtocolViolation when error.Message.StartsWith("client_login_timeout", StringComparison.Ordinal) => LoginRefusal.LoginTimeout,
        SqlState.ProtocolViolation when error.Message is "query_wait_timeout" or "query_timeout" => LoginRefusal.WaitTimeout,
        SqlState.ProtocolViolation when error.Message.Contains("SSL", StringComparison.Ordinal) => LoginRefusal.Tls,
        SqlState.ProtocolViolation => LoginRefusal.Protocol,
        SqlState.InvalidAuthorization or SqlState.InvalidPassword => LoginRefusal.Authentication,
        SqlState.InvalidCatalogName => LoginRefusal.UnknownDatabase,
        SqlState.TooManyConnections => LoginRefusal.ConnectionLimit,
        SqlState.CannotConnectNow or SqlState.AdminShutdown => LoginRefusal.NotAccepting,
        _ => LoginRefusal.Other,
    };

    /// <summary>Of what ends the wait for a server: the pooler's own end, or what the server has against it.</summary>
    public static LoginRefusal OfRefusal(PgError error) =>
        error.SqlState == SqlState.AdminShutdown ? LoginRefusal.NotAccepting : LoginRefusal.ServerUnavailable;
}
