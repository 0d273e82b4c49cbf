using System.Net;
using System.Net.Sockets;
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

    private readonly List<KeyValuePair<string, string>> _reportedAtLogin = [];
    private LoopTimer? _loginTimer;
    private ServerAuthentication? _authentication;
    private PgError? _loginError;
    private bool _connectQuerySent;

    protected internal override void BeginLogin(EventLoop loop)
    {
        var settings = Pool.Database.Settings;
        var host = PickHost(settings.Host ?? _engine.Settings.UnixSocketDir);
        if (host.StartsWith('/'))
        {
            try
            {
                Connect(loop, new UnixDomainSocketEndPoint($"{host.TrimEnd('/')}/.s.PGSQL.{settings.Port}"));
            }
            catch (ArgumentException e)
            {
                FailResolving(loop, host, e);
            }
        }
        else if (IPAddress.TryParse(host, out var address))
        {
            Connect(loop, new IPEndPoint(address, settings.Port));
        }
        else
        {
            // The resolver blocks, so it runs on the thread pool.
            _ = ResolveAsync(loop, host, settings.Port);
        }
    }

    private async Task ResolveAsync(EventLoop loop, string host, int port)
    {
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host).ConfigureAwait(false);
            if (addresses.Length == 0) throw new SocketException((int)SocketError.HostNotFound);
            // "localhost" often has an IPv6 address that nobody listens on: take IPv4 first, as connecting tries one only.
            var address = Array.Find(addresses, a => a.AddressFamily == AddressFamily.InterNetwork) ?? addresses[0];
            Connect(loop, new IPEndPoint(address, port));
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            FailResolving(loop, host, e);
        }
    }

    private void FailResolving(EventLoop loop, string host, Exception e)
    {
        var error = PgError.Fatal(SqlState.ConnectionFailure, $"could not translate host name \"{host}\" to address: {e.Message}",
            hint: $"Check the host of database \"{Pool.Database.Name}\".");
        // Posted, also on the loop itself: the pool is in the middle of growing.
        loop.Post(static state =>
        {
            var (server, failure) = ((ServerSession, PgError))state!;
            server.FailLogin(failure);
        }, (this, error));
    }

    private void Connect(EventLoop loop, EndPoint target)
    {
        Target = target;
        _engine.RunOn(loop, static state =>
        {
            var (server, onLoop) = ((ServerSession, EventLoop))state!;
            if (server._finished) return;
            server.Connection = onLoop.Connect(server.Target!, server._engine.SocketOptions, server);
            var limit = server._engine.Settings.ServerConnectTimeout;
            if (limit > TimeSpan.Zero)
                server._loginTimer = onLoop.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, OnLoginTimeout, server);
        }, (this, loop));
    }

    private static void OnLoginTimeout(object? state)
    {
        var server = (ServerSession)state!;
        server.FailLogin(PgError.Fatal(SqlState.ConnectionFailure, $"connect timeout: no login to server {server.Target} within server_connect_timeout"));
    }

    public void OnConnected(Connection connection)
    {
        _authentication = new ServerAuthentication(_engine.CredentialsFor(Pool));
        var writer = Context.ToServer;
        writer.Clear();
        writer.StartupMessage(Pool.User.Name, Pool.Database.ServerDatabaseName, StartupParameters());
        _authentication.Start(writer);
        connection.Send(writer.Written);
        writer.Clear();
    }

    private int ReceiveLogin(Span<byte> data)
    {
        var pos = 0;
        while (!_finished && State == ServerState.Login && data.Length - pos >= MessageHeader.Size)
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
        return _finished || (State != ServerState.Login && OwnStartup is null) ? data.Length : pos;
    }

    private void OnLoginMessage(byte type, ReadOnlySpan<byte> body)
    {
        var reader = new MessageReader(body);
        switch (type)
        {
            case Backend.Authentication when _authentication is not null:
                Authenticate(body);
                break;
            case Backend.ParameterStatus:
                if (reader.TryReadCString(out var name) && reader.TryReadCString(out var value))
                    _reportedAtLogin.Add(new(Encoding.UTF8.GetString(name), Encoding.UTF8.GetString(value)));
                break;
            case Backend.BackendKeyData:
                if (reader.TryReadInt32(out var pid)) (BackendPid, BackendKey) = (pid, reader.Rest.ToArray());
                break;
            case Backend.ErrorResponse:
                _loginError = ErrorFields.Read(body);
                // Also a failed connect_query: the ReadyForQuery that would follow is not waited for.
                FailLogin(_loginError with { Severity = "FATAL" });
                break;
            case Backend.ReadyForQuery:
                OnLoginReady();
                break;
            case Backend.NoticeResponse or Backend.NegotiateProtocolVersion:
                break;
            default:
                if (!_connectQuerySent)
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
            case AuthStep.Working:
                Connection!.PauseReading();
                _authentication!.Work!.ContinueWith(
                    static (_, state) => ((ServerSession)state!).PostResume(), this, CancellationToken.None,
                    TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                break;
        }
    }

    private void PostResume() => Loop.Post(static state =>
    {
        var server = (ServerSession)state!;
        if (server._finished) return;
        var writer = server.Context.ToServer;
        writer.Clear();
        server.Continue(server._authentication!.Resume(writer), writer);
        if (!server._finished) server.Connection!.ResumeReading();
    }, this);

    private void OnLoginReady()
    {
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

    private void FailLogin(PgError error)
    {
        if (_finished) return;
        if (Connection is { IsClosed: false } connection) connection.Close();
        if (KeepsToOneHost) Pool.Database.NextHostTurn();
        _engine.OnServerLoginFailed(this, error);
        // What the server has against a replication connection is its client's affair.
        if (OwnStartup is not null && _loginError is not null)
            error = error with { Message = "login failed", Detail = $"The server said: {error.Message}" };
        Finish(error.Message, error);
    }

    /// <summary>
    /// One of a list of hosts: in turn, or with <c>load_balance_hosts = disable</c> the same one until it fails.
    /// </summary>
    private string PickHost(string hosts)
    {
        if (!hosts.Contains(',')) return hosts.Trim();
        var list = hosts.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (list.Length == 0) return hosts;
        var database = Pool.Database;
        var turn = KeepsToOneHost ? database.HostTurn : database.NextHostTurn();
        return list[(int)((uint)turn % list.Length)];
    }

    private bool KeepsToOneHost => Pool.Database.Settings.LoadBalanceHosts == "disable";
}
