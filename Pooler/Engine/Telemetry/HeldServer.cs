namespace Pooler.Engine.Telemetry;

/// <summary>A client that holds a server connection now.</summary>
/// <param name="Database">The pool's database.</param>
/// <param name="User">The pool's user.</param>
/// <param name="ClientId">Column id of SHOW CLIENTS.</param>
/// <param name="Client">Column ptr of SHOW CLIENTS, as in the log and on spans.</param>
/// <param name="Server">Column ptr of SHOW SERVERS.</param>
/// <param name="ClientAddress">Where the client comes from: address:port, or unix.</param>
/// <param name="ClientUser">Whom the client logged in as.</param>
/// <param name="ApplicationName">What it calls itself.</param>
/// <param name="BackendProcess">PostgreSQL's process id of the server connection.</param>
/// <param name="State">active (a request is being answered), idle in transaction, or idle (pinned without a transaction).</param>
/// <param name="HeldFor">Since it was given the server.</param>
/// <param name="StateFor">Since it is in this state.</param>
/// <param name="Pin">Why it keeps the server beyond a transaction (session mode, replication …); null when it does not.</param>
/// <param name="Query">The request of the moment or the last one, its literals replaced unless parameters may be logged.</param>
/// <param name="TraceId">W3C trace id, when its traffic is part of a trace.</param>
public sealed record HeldServer(
    string Database, string User, long ClientId, string Client, string Server, string ClientAddress, string ClientUser,
    string ApplicationName, int BackendProcess, string State, TimeSpan HeldFor, TimeSpan StateFor, string? Pin, string Query, string? TraceId);
