using Microsoft.Extensions.Logging;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// What the engine writes to the log. Texts and levels are PgBouncer's wherever it has a line for the matter, so that log
/// parsers go on working.
/// </summary>
internal sealed partial class EngineLog(ILogger logger)
{
    [LoggerMessage(1, LogLevel.Information, "{Connection} login attempt: db={Database} user={User} tls={Tls} replication={Replication}", EventName = "login_attempt")]
    public partial void LoginAttempt(ConnectionName connection, string database, string user, string tls, string replication);

    [LoggerMessage(2, LogLevel.Information, "{Connection} closing because: {Reason} (age={Age}s)", EventName = "client_closing")]
    public partial void ClientClosing(ConnectionName connection, string reason, long age);

    [LoggerMessage(3, LogLevel.Warning, "{Connection} pooler error: {Error}", EventName = "pooler_error")]
    public partial void PoolerError(ConnectionName connection, string error);

    [LoggerMessage(4, LogLevel.Information, "{Connection} new connection to server (from {From})", EventName = "server_connected")]
    public partial void ServerConnected(ConnectionName connection, string from);

    [LoggerMessage(5, LogLevel.Information, "{Connection} closing because: {Reason} (age={Age}s)", EventName = "server_closing")]
    public partial void ServerClosing(ConnectionName connection, string reason, long age);

    [LoggerMessage(6, LogLevel.Warning, "server login failed: {Severity} {Error}", EventName = "server_login_failed")]
    public partial void ServerLoginFailed(string severity, string error);

    [LoggerMessage(7, LogLevel.Information, "listening on {Address}", EventName = "listening")]
    public partial void Listening(string address);

    [LoggerMessage(8, LogLevel.Information, "stats: {Figures}", EventName = "stats")]
    public partial void Statistics(PeriodFigures figures);

    [LoggerMessage(9, LogLevel.Information, "{Command} command issued", EventName = "command")]
    public partial void Command(string command);

    [LoggerMessage(10, LogLevel.Debug, "{Connection} login failed: {Reason}", EventName = "login_failed")]
    public partial void LoginFailed(ConnectionName connection, string reason);

    [LoggerMessage(25, LogLevel.Warning, "{Connection} TLS handshake error: {Error}", EventName = "tls_handshake_failed")]
    public partial void TlsHandshakeFailed(ConnectionName connection, string error);

    [LoggerMessage(26, LogLevel.Information, "{Connection} SSL established: {Tls}", EventName = "server_secured")]
    public partial void ServerSecured(ConnectionName connection, string tls);

    [LoggerMessage(27, LogLevel.Error, "TLS setup failed: {Setting}: {Error}", EventName = "tls_setup_failed")]
    public partial void TlsSetupFailed(string setting, string error);

    [LoggerMessage(11, LogLevel.Warning, "cannot listen on {Address}: {Error}", EventName = "cannot_listen")]
    public partial void CannotListen(string address, string error);

    [LoggerMessage(12, LogLevel.Information, "socket passed from service manager (fd {Descriptor}): {Address}", EventName = "socket_passed")]
    public partial void SocketPassed(long descriptor, string address);

    [LoggerMessage(13, LogLevel.Warning, "sockets passed from service manager, {Setting} ignored", EventName = "setting_ignored")]
    public partial void IgnoredForPassedSockets(string setting);

    [LoggerMessage(14, LogLevel.Warning, "not in effect: {Error}", EventName = "socket_option_failed")]
    public partial void SocketOptionFailed(string error);

    [LoggerMessage(15, LogLevel.Information, "{Connection} no such user: {Name}", EventName = "no_such_user")]
    public partial void NoSuchUser(ConnectionName connection, string name);

    [LoggerMessage(16, LogLevel.Error, "{Connection} password authentication failed", EventName = "password_failed")]
    public partial void PasswordFailed(ConnectionName connection);

    [LoggerMessage(17, LogLevel.Information, "{Connection} login failed: db={Database} user={User}", EventName = "no_such_database")]
    public partial void NoDatabase(ConnectionName connection, string database, string user);

    [LoggerMessage(18, LogLevel.Warning, "{Connection} got packet '{Type}' from server when not linked", EventName = "unexpected_packet")]
    public partial void UnexpectedPacket(ConnectionName connection, char type);

    [LoggerMessage(19, LogLevel.Information, "{Connections} connections dropped, exiting", EventName = "drained")]
    public partial void Drained(string connections);

    [LoggerMessage(20, LogLevel.Error, "{Error}", EventName = "command_refused")]
    public partial void CommandRefused(string error);

    [LoggerMessage(21, LogLevel.Information, "{Connection} new connection to server", EventName = "server_connected_locally")]
    public partial void ServerConnected(ConnectionName connection);

    [LoggerMessage(22, LogLevel.Error, "figures could not be recorded", EventName = "telemetry_failed")]
    public partial void TelemetryFailed(Exception exception);

    [LoggerMessage(30, LogLevel.Warning, "DNS lookup failed: {Name}: {Error}", EventName = "lookup_failed")]
    public partial void LookupFailed(string name, string error);

    [LoggerMessage(31, LogLevel.Information, "zone '{Zone}' serial changed: old={Old} new={New}", EventName = "zone_changed")]
    public partial void ZoneChanged(string zone, uint old, uint @new);

    [LoggerMessage(32, LogLevel.Warning, "zone serials cannot be checked: {Error}", EventName = "zones_unknown")]
    public partial void ZonesUnknown(string error);

    [LoggerMessage(33, LogLevel.Information, "{Database}: host {Address} is passed over: {Objection}", EventName = "host_unfit")]
    public partial void HostUnfit(string database, string address, string objection);

    [LoggerMessage(34, LogLevel.Information, "{Database}: host {Address} is {Role} now", EventName = "host_role")]
    public partial void HostRole(string database, string address, string role);

    [LoggerMessage(40, LogLevel.Warning, "{Connection} {Reason}", EventName = "login_refused")]
    public partial void LoginRefused(ConnectionName connection, string reason);

    [LoggerMessage(41, LogLevel.Debug, "{Connection} HBA Line {Line} is matched: {Method}", EventName = "hba_matched")]
    public partial void RuleMatched(ConnectionName connection, string line, AuthType method);

    [LoggerMessage(42, LogLevel.Information, "{Connection} pgbouncer access from unix socket", EventName = "owner_access")]
    public partial void OwnerAccess(ConnectionName connection);

    [LoggerMessage(43, LogLevel.Warning, "{Issue}", EventName = "configuration_issue")]
    public partial void ConfigurationIssue(string issue);

    [LoggerMessage(70, LogLevel.Warning, "dropping database '{Database}' as it does not exist anymore or inactive auto-database", EventName = "database_dropped")]
    public partial void DatabaseDropped(string database);

    [LoggerMessage(71, LogLevel.Information, "cleaning up idle pool for user {User} on db {Database} because: pool idle timeout (age= {Age}s)", EventName = "pool_forgotten")]
    public partial void PoolForgotten(string user, string database, long age);

    [LoggerMessage(72, LogLevel.Information, "{Connection} registered new auto-database: {Database}", EventName = "database_registered")]
    public partial void DatabaseRegistered(ConnectionName connection, string database);

    [LoggerMessage(73, LogLevel.Warning, "{Connection} taking connection from reserve_pool", EventName = "reserve_taken")]
    public partial void ReserveTaken(ConnectionName connection);
}
