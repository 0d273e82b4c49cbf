using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Sessions;

/// <summary>
/// A connection to a PostgreSQL backend: forwards its answers to the client it is linked to, and knows when the client
/// is done with it. Its states are <see cref="ServerState"/>.
/// </summary>
/// <remarks>
/// The file's parts: this one holds the life cycle, ServerSession.Hosts.cs where it connects to, ServerSession.Login.cs how
/// it gets ready, ServerSession.Responses.cs what it answers to clients, ServerSession.Query.cs queries whose answer the
/// pooler itself wants, ServerSession.Housekeeping.cs the queries the pool runs on it by itself,
/// ServerSession.Replication.cs what differs when it was opened for one client alone.
/// </remarks>
internal sealed partial class ServerSession : PooledServer, IConnectionHandler
{
    private readonly EngineCore _engine;
    private ClientSession? _client;
    private bool _openingDone;
    private readonly List<CancelDelivery> _cancels = [];

    public ServerSession(EngineCore engine, Pool pool, long openedAt, long id) : base(pool, openedAt)
    {
        _engine = engine;
        Id = id;
        ConnectedAt = engine.TimeProvider.GetUtcNow();
    }

    /// <summary>Unique in this process, from 1; in logs and SHOW SERVERS.</summary>
    public long Id { get; }

    /// <summary>Wall clock of its opening.</summary>
    public DateTimeOffset ConnectedAt { get; }

    /// <summary>The client it is linked to. Other threads may read it for display only.</summary>
    public ClientSession? Client => _client;

    /// <summary>Process id of the backend; 0 until it has logged in.</summary>
    public int BackendPid { get; private set; }

    /// <summary>With <see cref="BackendPid"/> what a cancel request needs.</summary>
    public byte[] BackendKey { get; private set; } = [];

    /// <summary>As of the last ReadyForQuery.</summary>
    public byte TransactionStatus { get; private set; } = Protocol.TransactionStatus.Idle;

    /// <summary>Tracked parameters as they are on this server.</summary>
    public SessionParameters Parameters { get; private set; } = SessionParameters.Empty;

    /// <summary>Tracked parameters as the server reported them at its start: what a reset goes back to.</summary>
    public SessionParameters ParametersAtLogin => _reported;

    /// <summary>What it told at its login, for the one client that it was opened for.</summary>
    public Welcome? OwnWelcome { get; private set; }

    /// <summary>What is still to be answered.</summary>
    public OutstandingQueue Outstanding { get; } = new();

    /// <summary>What it has prepared for clients.</summary>
    public ServerStatements Statements { get; } = new();

    /// <summary>When it was last given to a client, in loop microseconds.</summary>
    public long LinkedAt { get; private set; }

    /// <summary>Whether it can be asked to cancel: the backend has told how.</summary>
    public bool CanBeCanceled => BackendKey.Length > 0;

    /// <summary>Whether the parameters of its client are being restored: the client's own request has not its turn yet.</summary>
    public bool IsRestoringParameters => Swallowing;

    /// <summary>How log lines name it.</summary>
    public ConnectionName LogName
    {
        get
        {
            var (address, port) = Target is null ? ("(bad-af)", 0) : LoginSession.Describe(Target, null);
            return new ConnectionName(true, Id, Pool.Database.Name, Pool.User.Name, address, port);
        }
    }

    private EventLoop Loop => Connection?.Loop ?? _loginLoop!;

    private LoopContext Context => _engine.ContextOf(Loop);

    private static readonly PgError ServerCrashed = PgError.Fatal(
        SqlState.ConnectionFailure, "server closed the connection unexpectedly",
        hint: "The statement or transaction in progress was not confirmed. Reconnect and try again.") with { LoggedAs = "server conn crashed?" };

    public ReadAnswer OnReadable(Connection connection, Readiness readiness)
    {
        switch (State)
        {
            // Stopped because the client does not take more: a server that has ended is read to its end when the client
            // has caught up, not into memory.
            case ServerState.Active when readiness == Readiness.EndOfStream && _client is { Connection.HasPendingOutput: true }:
                return ReadAnswer.Pause;
            // Only its own loop changes these, and the loop drops the answer if it has lost the connection meanwhile.
            case ServerState.Active or ServerState.Login or ServerState.Testing or ServerState.BeingCanceled
                or ServerState.Claimed:
                return ReadAnswer.Read;
            case ServerState.Idle:
                return _engine.CurrentLoopOwns(connection) && Pool.Claim(this, connection.Loop)
                    ? ReadAnswer.Read
                    : ReadAnswer.NotMine;
            default:
                return ReadAnswer.NotMine;
        }
    }

    public int OnReceived(Connection connection, Span<byte> data)
    {
        switch (State)
        {
            case ServerState.Active:
                return _query is null ? ForwardResponses(data) : ReceiveQuery(data);
            case ServerState.Login:
                return ReceiveLogin(connection, data);
            case ServerState.Testing or ServerState.BeingCanceled or ServerState.Claimed:
                return ReceiveUnlinked(data);
            default:
                return data.Length;
        }
    }

    public void OnDrained(Connection connection)
    {
        if (_client is { } client) client.Connection.ResumeReading();
    }

    public void OnMoved(Connection connection) => Pool.CompleteGrant(this);

    public void OnClosed(Connection connection, Exception? error)
    {
        if (State == ServerState.Login)
        {
            FailLogin(HandshakeError(error) ?? PgError.Fatal(SqlState.ConnectionFailure,
                error is null
                    ? $"server {Target} closed the connection during login"
                    : $"could not connect to server {Target}: {error.Message}",
                hint: "Is PostgreSQL running there, and does it accept TCP/IP connections from this host?") with { LoggedAs = error is null ? "server conn crashed?" : "connect failed" });
            return;
        }
        var client = _client;
        client?.TraceEnd(ServerCrashed, "server closed the connection unexpectedly");
        _client = null;
        Finish("server conn crashed?", failure: null);
        client?.OnServerLost(_toldFatal ? null : ServerCrashed);
    }

    /// <summary>Begins to work for a client, on the loop of both.</summary>
    public void LinkTo(ClientSession client)
    {
        _client = client;
        _servedClient = true;
        _toldFatal = OwesRestOfMessage = false;
        ForgetAnswers();
        LinkedAt = Loop.Now;
        if (!ReferenceEquals(Parameters, client.Parameters)) client.PrepareSetup(Parameters.ChangesTo(client.Parameters));
    }

    /// <summary>The client has let go; what becomes of the server is the caller's next call.</summary>
    public void Unlink() => _client = null;

    /// <summary>
    /// Back to the pool, after whatever must run first to make it clean. Nothing may be in flight.
    /// </summary>
    /// <param name="endOfSession">A client in session mode is leaving, rather than ending a transaction.</param>
    public void ReleaseToPool(bool endOfSession)
    {
        if (OwnStartup is not null)
        {
            Close(OwnerLeft);
            return;
        }
        // It may have been stopped because the client did not take its bytes; a paused connection cannot change loops.
        Connection!.ResumeReading();
        WithdrawCancels();
        if (_cancels.Count > 0)
        {
            // A cancel request that arrives late would hit the next client's query.
            State = ServerState.BeingCanceled;
            _endOfSession = endOfSession;
            return;
        }
        var settings = _engine.Settings;
        var inTransaction = TransactionStatus != Protocol.TransactionStatus.Idle;
        var resets = settings.ServerResetQuery.Length > 0
            && (settings.ServerResetQueryAlways || endOfSession);
        if (inTransaction) RunOwnQuery("ROLLBACK", thenReset: resets);
        else if (resets) RunOwnQuery(settings.ServerResetQuery, thenReset: false);
        else GiveBack();
    }

    /// <summary>A cancel request for it is on its way; once sent, and until <see cref="OnCancelEnded"/>, it meets no other client.</summary>
    public void OnCancelBegun(CancelDelivery cancel) => _cancels.Add(cancel);

    /// <summary>The backend's postmaster has taken the cancel request, or it failed.</summary>
    public void OnCancelEnded(CancelDelivery cancel)
    {
        _cancels.Remove(cancel);
        if (_cancels.Count == 0 && State == ServerState.BeingCanceled) ReleaseToPool(_endOfSession);
    }

    private bool _endOfSession;

    /// <summary>Closes it now. On its loop's thread, unlinked.</summary>
    public void Close(string reason)
    {
        if (Connection is { IsClosed: false } connection)
        {
            if (_openingDone && (Outstanding.Count == 0 || _streams))
            {
                // So that the backend does not log a lost connection.
                ReadOnlySpan<byte> terminate = [Frontend.Terminate, 0, 0, 0, 4];
                connection.Send(terminate);
            }
            connection.Close();
        }
        Finish(reason, failure: null);
    }

    /// <summary>
    /// Closes it while it works for nobody any more. The query is cancelled, or its backend would go on beside the one
    /// that takes its place: PostgreSQL notices a closed connection only when it has something to say.
    /// </summary>
    public void Abort(string reason)
    {
        if (Connection is { IsClosed: false } && CanBeCanceled) CancelDelivery.ToAbandoned(Context, this);
        Close(reason);
    }

    protected internal override void CloseFromPool(string reason)
    {
        // One that is opened for a client is looked after by that client's loop already before it has a connection.
        if (Connection is null) Close(reason);
        else
        {
            _engine.RunOn(Loop, static state =>
            {
                var (server, why) = ((ServerSession, string))state!;
                server.Close(why);
            }, (this, reason));
        }
    }

    /// <summary>What they were to cancel is over: those that are not sent yet would hit something else.</summary>
    private void WithdrawCancels()
    {
        for (var i = _cancels.Count - 1; i >= 0; i--) _cancels[i].Withdraw("not sending cancel request for client that is now idle");
    }

    // While its host's name is looked up there is no loop yet to do it on; it is closed when it has logged in then.
    protected internal override void AbandonLogin(string reason)
    {
        if (Connection is not { } connection) return;
        _engine.RunOn(connection.Loop, static state =>
        {
            var (server, why) = ((ServerSession, string))state!;
            if (server.State == ServerState.Login) server.Close(why);
        }, (this, reason));
    }

    private void GiveBack()
    {
        if (Pool.Release(this) is { } reason) Close(reason);
    }

    private void Finish(string reason, PgError? failure)
    {
        if (_finished) return;
        _finished = true;
        _loginTimer?.Cancel();
        // A client's Close that will not be answered now still holds its statement.
        for (var i = 0; i < Outstanding.Count; i++)
            if (Outstanding[i] is { Kind: RequestKind.Close, Statement: { } statement }) _engine.Statements.Release(statement);
        Outstanding.Clear();
        WithdrawCancels();
        if (_openingDone) Pool.Events.Closings.Add(ServerClosings.Of(reason));
        _engine.OnServerEnded(this, reason);
        Pool.OnClosed(this, wasOpening: !_openingDone, failure);
        EndQuery(reason);
    }

    private bool _finished;
}
