using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// What the engine writes to the log. Texts follow PgBouncer's where it has one, so that log parsers go on working:
/// <c>C-</c> and <c>S-</c> number clients and servers as the console does, then database/user@address:port.
/// </summary>
internal sealed partial class EngineLog(ILogger logger)
{
    [LoggerMessage(1, LogLevel.Information, "C-{Id}: {Name} login attempt: db={Database} user={User} tls=no")]
    public partial void LoginAttempt(long id, string name, string database, string user);

    [LoggerMessage(2, LogLevel.Information, "C-{Id}: {Name} closing because: {Reason} (age={Age}s)")]
    public partial void ClientClosing(long id, string name, string reason, long age);

    [LoggerMessage(3, LogLevel.Warning, "C-{Id}: {Name} pooler error: {Error}")]
    public partial void PoolerError(long id, string name, string error);

    [LoggerMessage(4, LogLevel.Information, "S-{Id}: {Name} new connection to server (from {Local})")]
    public partial void ServerConnected(long id, string name, string local);

    [LoggerMessage(5, LogLevel.Information, "S-{Id}: {Name} closing because: {Reason} (age={Age}s)")]
    public partial void ServerClosing(long id, string name, string reason, long age);

    [LoggerMessage(6, LogLevel.Warning, "S-{Id}: {Name} server login failed: {Error}")]
    public partial void ServerLoginFailed(long id, string name, string error);

    [LoggerMessage(7, LogLevel.Information, "listening on {EndPoint}")]
    public partial void Listening(string endPoint);

    [LoggerMessage(8, LogLevel.Information,
        "stats: {Transactions} xacts/s, {Queries} queries/s, {ClientParses} client parses/s, {ServerParses} server parses/s, "
        + "{Binds} binds/s, in {BytesIn} B/s, out {BytesOut} B/s, xact {TransactionTime} us, query {QueryTime} us, wait {WaitTime} us")]
    public partial void Statistics(
        long transactions, long queries, long clientParses, long serverParses, long binds, long bytesIn, long bytesOut,
        long transactionTime, long queryTime, long waitTime);

    [LoggerMessage(9, LogLevel.Information, "{Command} command issued")]
    public partial void Command(string command);

    [LoggerMessage(10, LogLevel.Warning, "C-{Id}: {Name} login failed: {Reason}")]
    public partial void LoginFailed(long id, string name, string reason);
}
