using System.Buffers.Binary;
using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>What a client says first: who it is, what it wants, and what it would like to have set.</summary>
internal sealed partial class LoginSession
{
    // PgBouncer's limit (MAX_USERNAME), in bytes.
    private const int LongestName = 127;

    private int ReceiveStartup(ReadOnlySpan<byte> data)
    {
        if (BeginsDirectTls(data)) return data.Length;
        if (data is [Frontend.Password, ..])
        {
            // As a length it would be two thousand million bytes.
            Fail(PgError.Fatal(SqlState.ProtocolViolation, "client password pkt before startup packet"));
            return 0;
        }
        if (data.Length < 4) return 0;
        var length = BinaryPrimitives.ReadInt32BigEndian(data);
        if (StartupPacket.CheckLength(length) is { } wrong)
        {
            Fail(wrong);
            return 0;
        }
        if (data.Length < length) return 0;
        var packet = StartupPacket.Parse(data[4..length]);
        switch (packet.Kind)
        {
            case StartupKind.Invalid:
                Fail(packet.Error!);
                return 0;
            case StartupKind.SslRequest when _connection.Tls is not null:
                Fail(PgError.Fatal(SqlState.ProtocolViolation, "SSL req inside SSL"));
                return 0;
            case StartupKind.SslRequest when !_sslAsked:
                return AnswerSslRequest(bytesFollow: data.Length > length) ? length : 0;
            case StartupKind.GssEncryptionRequest when !_gssAsked:
                return AnswerGssRequest(bytesFollow: data.Length > length) ? length : 0;
            case StartupKind.CancelRequest:
                End(null);
                Engine.Cancels.Accept(_context, _connection, _id, CancelKey.Join(packet.CancelProcessId, packet.CancelKey.Span));
                return length;
            case StartupKind.Startup:
                _startup = packet;
                if (LacksTls)
                {
                    Fail(PgError.Fatal(SqlState.ProtocolViolation, "SSL required"));
                    return 0;
                }
                Begin(packet);
                return length;
            default:
                Fail(PgError.Fatal(SqlState.ProtocolViolation, "encryption was already refused"));
                return 0;
        }
    }

    private void Begin(StartupPacket startup)
    {
        var settings = Engine.Settings;
        if (Engine.RefusalFor(startup.Database) is { } refusal)
        {
            Fail(refusal);
            return;
        }
        if (RequestedParameters.FindUnsupported(Engine, startup) is { } unsupported)
        {
            Fail(unsupported);
            return;
        }
        if (RequestedParameters.FindTrace(Engine, startup) is { Length: > 0 } trace)
        {
            // Not worth turning a client away.
            if (TraceParent.TryRead(trace, out var context)) _trace = new TraceValue(trace, context);
            else _malformedTrace = trace;
        }
        var isConsole = startup.Database == EngineCore.ConsoleDatabase;
        // The console is where one would look what is going on.
        if (!_context.TryAdmit(isConsole ? int.MaxValue : settings.MaxClientConn))
        {
            Fail(PgError.Fatal(SqlState.TooManyConnections, "no more connections allowed (max_client_conn)",
                hint: $"max_client_conn is {settings.MaxClientConn}."));
            return;
        }
        _isAdmitted = _isNamed = true;
        if (startup.NeedsNegotiation) Write(w => w.NegotiateProtocolVersion(startup.Minor, startup.ProtocolOptions));
        if (isConsole && IsOwner(startup))
        {
            Engine.Log.OwnerAccess(LogName);
            _isDatabaseKnown = true;
            if (settings.LogConnections) LogAttempt(startup);
            OpenConsole(ConsoleAccess.Admin);
            return;
        }
        if (Encoding.UTF8.GetByteCount(startup.User) > LongestName)
        {
            Fail(PgError.Fatal(SqlState.InvalidAuthorization, "username too long"));
            return;
        }
        _user = Engine.Directory.FindUser(startup.User);
        var database = isConsole ? null : Engine.Directory.PreviewDatabase(startup.Database);
        _userQueries = isConsole || database is { Removed: false } ? UserQueries.For(Engine, _context.Loop, database, LogName) : null;
        var isPossible = _user is not null || _userQueries is not null || settings.AuthType is not (AuthType.Trust or AuthType.Plain or AuthType.Md5 or AuthType.ScramSha256);
        _isDatabaseKnown = isPossible && (isConsole || database is { Removed: false });
        if (settings.LogConnections)
        {
            if (!isPossible) Engine.Log.NoSuchUser(LogName with { User = null }, startup.User);
            LogAttempt(startup);
        }
        _authentication = ClientAuthentication.Create(new AuthenticationRequest
        {
            UserName = startup.User,
            Database = startup.Database,
            Replication = startup.Replication,
            Method = settings.AuthType,
            UserIsKnown = _user is not null,
            Secret = _user?.Secret,
            Tls = _connection.Tls,
            RemoteEndPoint = _connection.RemoteEndPoint,
            LocalEndPoint = _connection.LocalEndPoint,
            Peer = _connection.Peer,
            Settings = settings,
            DatabaseSettings = database?.Settings,
            Access = Engine.Access,
            IsQueried = _user?.Settings.Secret is null,
            UserQueries = _userQueries,
        });
        _state = LoginState.Authenticating;
        Step(_authentication.Start);
    }

    private void LogAttempt(StartupPacket startup) => Engine.Log.LoginAttempt(
        LogName, startup.Database, startup.User, _connection.Tls?.Description ?? "no", startup.Replication.StartupValue());

    /// <summary>Whoever runs the pooler may administer it over the Unix socket without further proof.</summary>
    private bool IsOwner(StartupPacket startup) =>
        startup.User == EngineCore.ConsoleDatabase && _connection.Peer is { } peer && peer.UserId == SystemUsers.OwnId;
}
