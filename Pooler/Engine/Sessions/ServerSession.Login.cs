using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>From opening to the first ReadyForQuery.</summary>
internal sealed partial class ServerSession
{
    /// <summary>No message of a login is longer: a hostile or confused peer must not make us buffer more.</summary>
    private const int LongestLoginMessage = 64 * 1024;

    /// <summary>All that a server may report at its login: it is kept, and told to every client.</summary>
    private const int MostReported = 1024 * 1024;

    private readonly List<KeyValuePair<string, string>> _reportedAtLogin = [];
    private ServerAuthentication? _authentication;
    private bool _connectQuerySent;
    private bool _isLetIn;
    private int _reportedBytes;

    public void OnConnected(Connection connection)
    {
        if (!_encryptionSettled) _engine.OnServerConnected(this);
        NoteAnswer();
        if (!IsEncryptionSettled(connection)) return;
        _authentication = new ServerAuthentication(
            _engine.CredentialsFor(Pool), connection.Tls?.EndPointBinding ?? default,
            Pool.Database.Settings.ChannelBinding ?? _engine.Settings.ServerChannelBinding);
        var writer = Context.ToServer;
        writer.Clear();
        writer.StartupMessage(Pool.User.Name, Pool.Database.ServerDatabaseName, StartupParameters());
        _authentication.Start(writer);
        connection.Send(writer.Written);
        writer.Clear();
    }

    private int ReceiveLogin(Connection connection, Span<byte> data)
    {
        if (_encryption is not null) return ReceiveEncryptionAnswer(data);
        var pos = 0;
        while (IsLoginOf(connection) && data.Length - pos >= MessageHeader.Size)
        {
            var length = MessageHeader.Length(data[pos..]);
            if (length is < 4 or > LongestLoginMessage)
            {
                FailLogin(PgError.Fatal(SqlState.ProtocolViolation, $"server {Target} does not speak the PostgreSQL protocol"));
                break;
            }
            if (data.Length - pos < length + 1) break;
            OnLoginMessage(data[pos], data.Slice(pos + MessageHeader.Size, length - 4));
            pos += length + 1;
        }
        // After a failure, and after the release that ends a login, nothing of the connection may be touched any more.
        return !_finished && Connection == connection && (State == ServerState.Login || OwnStartup is not null) ? pos : data.Length;
    }

    private bool IsLoginOf(Connection connection) => !_finished && State == ServerState.Login && Connection == connection;

    private void OnLoginMessage(byte type, ReadOnlySpan<byte> body)
    {
        var reader = new MessageReader(body);
        switch (type)
        {
            case Backend.Authentication when _authentication is not null:
                Authenticate(body);
                break;
            case Backend.ParameterStatus:
                _reportedBytes += body.Length;
                if (_reportedBytes > MostReported) FailLogin(PgError.Fatal(SqlState.ProtocolViolation, $"server {Target} reports too many parameters"));
                else if (reader.TryReadCString(out var name) && reader.TryReadCString(out var value))
                    _reportedAtLogin.Add(new(Encoding.UTF8.GetString(name), Encoding.UTF8.GetString(value)));
                break;
            case Backend.BackendKeyData:
                // Of any other length it could not be shown to anybody.
                if (reader.TryReadInt32(out var pid) && StartupPacket.IsCancelKeyLength(reader.Rest.Length))
                    (BackendPid, BackendKey) = (pid, reader.Rest.ToArray());
                break;
            case Backend.ErrorResponse:
                // Also a failed connect_query: the ReadyForQuery that would follow is not waited for.
                _serverRefused = true;
                FailLogin(ErrorFields.Read(body) with { Severity = "FATAL" });
                break;
            // SCRAM must have been brought to its end: a server that does not know the password could leave that out.
            case Backend.ReadyForQuery when _isLetIn && body.Length == 1:
                OnLoginReady();
                break;
            case Backend.ReadyForQuery:
                FailLogin(PgError.Fatal(SqlState.ProtocolViolation, $"unexpected message from server {Target} during login"));
                break;
            case Backend.NoticeResponse or Backend.NegotiateProtocolVersion:
                break;
            case Backend.DataRow when _questionSent:
                OnAnswer(body);
                break;
            default:
                if (!_connectQuerySent && !_questionSent)
                    FailLogin(PgError.Fatal(SqlState.ProtocolViolation, $"unexpected message from server {Target} during login"));
                break;
        }
    }

    private void Authenticate(ReadOnlySpan<byte> body)
    {
        var writer = Context.ToServer;
        writer.Clear();
        Continue(_authentication!.Receive(body, writer), writer);
    }

    private void Continue(AuthStep step, MessageWriter writer)
    {
        if (writer.Length > 0) Connection!.Send(writer.Written);
        writer.Clear();
        switch (step)
        {
            case AuthStep.Failed:
                FailLogin(_authentication!.Error!);
                break;
            case AuthStep.Succeeded:
                _isLetIn = true;
                break;
            case AuthStep.Working:
                Connection!.PauseReading();
                _authentication!.Work!.ContinueWith(
                    static (_, state) =>
                    {
                        var (server, authentication) = ((ServerSession, ServerAuthentication))state!;
                        server.PostResume(authentication);
                    }, (this, _authentication), CancellationToken.None,
                    TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                break;
        }
    }

    private void PostResume(ServerAuthentication authentication) => _loginLoop!.Post(static state =>
    {
        var (server, resumed) = ((ServerSession, ServerAuthentication))state!;
        // The attempt may be over, and another host's turn.
        if (server._finished || server._authentication != resumed) return;
        var writer = server.Context.ToServer;
        writer.Clear();
        server.Continue(resumed.Resume(writer), writer);
        if (server._authentication == resumed) server.Connection!.ResumeReading();
    }, (this, authentication));

    private void OnLoginReady()
    {
        if (!_connectQuerySent && !IsFit()) return;
        // Physical replication takes no SQL.
        if (Pool.Database.Settings.ConnectQuery is { Length: > 0 } query && !_connectQuerySent
            && OwnStartup is not { Replication: ReplicationMode.Physical })
        {
            _connectQuerySent = true;
            var writer = Context.ToServer;
            writer.Clear();
            writer.Query(query);
            Connection!.Send(writer.Written);
            writer.Clear();
            return;
        }
        var tracked = SessionParameters.Empty;
        foreach (var (name, value) in _reportedAtLogin)
            if (_engine.IsTracked(name)) tracked = tracked.With(name, value);
        Parameters = tracked;
        _reported = tracked;
        var welcome = new Welcome([.. _reportedAtLogin], tracked);
        _reportedAtLogin.Clear();
        _authentication = null;
        _loginTimer?.Cancel();
        _openingDone = true;
        _walk = null;
        if (OwnStartup is not null)
        {
            OnOwnServerReady(welcome);
            return;
        }
        State = ServerState.Testing;
        _engine.OnServerLoggedIn(this);
        var loop = Loop;
        Pool.OnLoggedIn(welcome);
        GiveBack();
        // Only so many open at once: the next may begin.
        Pool.Grow(loop);
    }
}
