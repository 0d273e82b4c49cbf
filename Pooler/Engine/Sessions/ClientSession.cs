using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Sessions;

/// <summary>Every state a logged-in client can be in.</summary>
internal enum ClientState : byte
{
    /// <summary>Has no server and wants none.</summary>
    Idle,

    /// <summary>Queued for a server; its bytes are not read.</summary>
    Waiting,

    /// <summary>Linked to a server.</summary>
    Active,

    /// <summary>Closed.</summary>
    Closed,
}

/// <summary>
/// A logged-in client: decides when it needs a server, forwards its messages and gives the server back. A state machine
/// driven by its connection's loop; it never waits and does no I/O but through <see cref="Connection"/>.
/// </summary>
/// <remarks>
/// The file's parts: this one holds the life cycle, ClientSession.Requests.cs what is forwarded to the server,
/// ClientSession.Statements.cs the prepared statements, ClientSession.Tracing.cs the spans.
/// </remarks>
internal sealed partial class ClientSession : PoolWaiter, IConnectionHandler, IListed
{
    private readonly LoopContext _context;
    private readonly SessionParameters _startupParameters;

    /// <summary>As of the login: a mode that changed under it would hand its session's state to others.</summary>
    private readonly PoolMode _mode;

    private ServerSession? _server;
    private volatile ClientState _state;
    private long _requestStart;
    private long _transactionStart;
    private bool _notifiedOfWait;

    /// <summary>The server has gone in the middle of a message: nothing can follow but the end.</summary>
    private bool _isCutShort;
    private long _waitedBefore;

    public ClientSession(LoopContext context, Connection connection, ClientIdentity identity, SessionParameters parameters)
    {
        _context = context;
        Connection = connection;
        Identity = identity;
        Parameters = _startupParameters = parameters;
        LastActivity = context.Loop.Now;
        // A replication connection's server is its own until the end.
        _mode = IsReplication ? PoolMode.Session : identity.Pool.Mode;
        _tracksStatements = _mode != PoolMode.Session && context.Engine.Settings.MaxPreparedStatements > 0;
        context.Clients.Add(this);
        if (context.Engine.IsSuspended) connection.Hold();
        identity.Pool.AddClient();
        context.Engine.Departure?.Offer(this);
    }

    public Connection Connection { get; }

    /// <summary>Who it is and what it may use; shared with nobody, fixed for the session.</summary>
    public ClientIdentity Identity { get; }

    public Pool Pool => Identity.Pool;

    public ClientState State => _state;

    private bool IsReplication => Identity.Replication != ReplicationMode.None;

    /// <summary>The server it is linked to. Other threads may read it for display only.</summary>
    public ServerSession? Server => _server;

    /// <summary>Its own values of the tracked parameters.</summary>
    public SessionParameters Parameters { get; set; }

    /// <summary>When it last sent or was answered, in loop microseconds.</summary>
    public long LastActivity { get; private set; }

    /// <summary>When the request in flight began, in loop microseconds; 0 without one.</summary>
    public long RequestStart => _requestStart;

    public int PreparedStatementCount => _statements?.Count ?? 0;

    public int ListIndex { get; set; } = -1;

    public override EventLoop WaiterLoop => _context.Loop;

    public override bool WaitsForWelcome => false;

    private PoolStatistics Statistics => Pool.StatisticsOf(_context.Loop);

    public void OnConnected(Connection connection) => throw new InvalidOperationException("clients connect to us");

    public void OnMoved(Connection connection) => throw new InvalidOperationException("clients stay on their loop");

    public ReadAnswer OnReadable(Connection connection, Readiness readiness)
    {
        switch (_state)
        {
            case ClientState.Active when _awaitsAnswers:
                return readiness == Readiness.Broken ? ReadAnswer.Close : ReadAnswer.Pause;
            case ClientState.Active:
                // Stopped because the server does not take more: a mere half-close is found again behind the bytes.
                return readiness == Readiness.EndOfStream && _server!.Connection!.HasPendingOutput ? ReadAnswer.Pause : ReadAnswer.Read;
            case ClientState.Idle:
                // Before reading, so that in the usual case the bytes go from the receive buffer straight to a server.
                // Without one at hand the bytes are read nevertheless: a client that only says goodbye must neither
                // queue nor cause a server to be opened.
                if (readiness == Readiness.Bytes && !connection.HasKeptInput && Pool.TryTake(_context.Loop) is ServerSession server)
                    LinkAtOnce(server);
                return ReadAnswer.Read;
            case ClientState.Waiting:
                // Nobody would read the answer to what a client that has gone was waiting to send.
                return readiness == Readiness.Bytes ? ReadAnswer.Pause : ReadAnswer.Close;
            default:
                return ReadAnswer.Pause;
        }
    }

    public int OnReceived(Connection connection, Span<byte> data)
    {
        LastActivity = _context.Loop.Now;
        if (_server is null)
        {
            if (_state != ClientState.Idle) return 0;
            var skipped = SkipWhatNeedsNoServer(data);
            if (_state != ClientState.Idle || skipped == data.Length) return skipped;
            if (data.Length - skipped < MessageHeader.Size || _owesAnswers) return skipped;
            if (!FindServer(data[skipped..])) return skipped;
            return skipped + ForwardRequests(data[skipped..]);
        }
        return ForwardRequests(data);
    }

    public void OnDrained(Connection connection)
    {
        if (_server is { } server) server.Connection!.ResumeReading();
        if (!_owesAnswers) return;
        _owesAnswers = false;
        if (_state != ClientState.Waiting && !_awaitsAnswers) connection.ResumeReading();
    }

    public void OnClosed(Connection connection, Exception? error) =>
        End("client unexpected eof", byPeer: true);

    /// <summary>A server of the pool is this client's now; it was waiting.</summary>
    protected internal override void OnGranted(PooledServer server)
    {
        var waited = _context.Loop.Now - WaitingSince;
        Statistics.Waits.Record(waited);
        Statistics.AwaitedAssignments++;
        TraceWait((ServerSession)server, error: null, reason: null);
        NoteWaitEnded(waited, server);
        WaitingSince = 0;
        _notifiedOfWait = false;
        Link((ServerSession)server);
        Connection.ResumeReading();
    }

    protected internal override void OnWelcome() => throw new InvalidOperationException("already logged in");

    protected internal override void OnRefused(PgError error) =>
        _context.Loop.Post(static state =>
        {
            var (client, reason) = ((ClientSession, PgError))state!;
            if (client._state == ClientState.Waiting) client.Fail(reason);
        }, (this, error));

    /// <summary>Begins on a server that was opened for this client alone.</summary>
    public void BeginOn(ServerSession server)
    {
        Statistics.AwaitedAssignments++;
        Link(server);
    }

    /// <summary>
    /// Tells the client why, then closes it and whatever it holds. The message follows what was already sent.
    /// </summary>
    public void Fail(PgError error)
    {
        if (_state == ClientState.Closed) return;
        if (!_isCutShort && _server is not { OwesRestOfMessage: true })
        {
            var writer = _context.ToClient;
            writer.Clear();
            error.WriteTo(writer);
            Connection.Send(writer.Written);
            writer.Clear();
        }
        var reason = error.LoggedAs ?? error.Message;
        End(reason, byPeer: false, error);
        if (_context.Engine.Settings.LogPoolerErrors) _context.Engine.Log.PoolerError(Identity.LogName, reason);
    }

    /// <summary>The server it was linked to is gone.</summary>
    public void OnServerLost(PgError? error)
    {
        NoteRequestBroken();
        _isCutShort = _server is { OwesRestOfMessage: true };
        _server = null;
        // Without an error of ours the server has already told the client its own.
        if (error is null) End("server conn crashed?", byPeer: false);
        else Fail(error);
    }

    /// <summary>
    /// The server has answered everything up to a ReadyForQuery.
    /// </summary>
    /// <param name="transactionStatus">As the server said.</param>
    /// <param name="moreOutstanding">Requests that were sent after the answered one wait for their answers.</param>
    /// <param name="unexpected">
    /// Nothing that was known to be sent is answered by it: the client may have sent a Sync that was taken for one that
    /// COPY ignores, and this is its answer.
    /// </param>
    /// <param name="traced">What tracing wants to know of the request.</param>
    public void OnReady(byte transactionStatus, bool moreOutstanding, bool unexpected, TracedRequest? traced)
    {
        var now = _context.Loop.Now;
        if (IsWorthTracing(now)) TraceReady(traced, transactionStatus, now);
        var statistics = Statistics;
        LastActivity = now;
        _copyingIn = _copyDataSent = false;
        if (unexpected) _inBatch = false;
        // The beginning of another batch may be on its way already.
        moreOutstanding |= _inBatch;
        StopAwaitingAnswers();
        statistics.Queries++;
        NoteRequestEnded(now, moreOutstanding);
        // What it is asked next need not be part of the same.
        if (_traceParent is not null && !moreOutstanding && _trace?.Transaction is null) _traceParent = null;
        if (_requestStart != 0) statistics.QueryTimes.Record(now - _requestStart);
        _requestStart = moreOutstanding ? now : 0;
        if (transactionStatus == TransactionStatus.Idle)
        {
            statistics.Transactions++;
            if (_transactionStart != 0) statistics.TransactionTimes.Record(now - _transactionStart);
            _transactionStart = moreOutstanding ? now : 0;
        }
        else if (_mode == PoolMode.Statement)
        {
            Fail(PgError.Fatal("08P01", "transaction blocks not allowed in statement pooling mode",
                hint: "Use pool_mode = transaction or session for this database."));
        }
    }

    /// <summary>The server has answered a query of ours that followed the client's last one.</summary>
    public void OnOwnQueryDone()
    {
        if (_server!.Outstanding.Count == 0 && !_inBatch) _requestStart = _transactionStart = 0;
        StopAwaitingAnswers();
    }

    /// <summary>Gives the server back when the pool mode says so and nothing is in flight. Called after each batch of answers.</summary>
    public void ReleaseServerIfDone()
    {
        if (!IsDoneWithServer) return;
        var server = _server!;
        Unlink();
        server.ReleaseToPool(endOfSession: false);
        _context.Engine.Departure?.Offer(this);
    }

    /// <summary>Whether the server is to go back to the pool: the pool mode says so and nothing is in flight.</summary>
    public bool IsDoneWithServer =>
        _server is { } server && IsQuiet(server) && server.TransactionStatus == TransactionStatus.Idle && _mode != PoolMode.Session;

    /// <summary>Done with it as well, but nobody else is to get it.</summary>
    public void LeaveServer(string reason)
    {
        var server = _server!;
        Unlink();
        server.Abort(reason);
        _context.Engine.Departure?.Offer(this);
    }

    /// <summary>Timeouts, checked a few times a second for every client of the loop.</summary>
    public void CheckTimeouts(PoolerSettings settings, long now)
    {
        // As in PgBouncer: what concerns the work follows the user that the servers know, what concerns the client its own.
        var user = Identity.LoginUser.Settings;
        var worker = Pool.User.Settings;
        switch (_state)
        {
            case ClientState.Waiting:
                CheckWait(settings, user, now);
                break;
            case ClientState.Active when IsReplication:
                // It streams for weeks on end: limits of queries and transactions are not meant for it, and waiting for its
                // end would not do where servers are to be replaced.
                if (_server!.CloseNeeded) FailWithServer(PgError.Fatal(SqlState.AdminShutdown, "database configuration changed"));
                break;
            case ClientState.Active when _requestStart != 0:
                if (IsOver(worker.QueryTimeout ?? settings.QueryTimeout, _requestStart, now))
                    TimeOutWithServer(TimeoutKind.QueryTimeout, PgError.Fatal("57014", "query timeout", hint: "Raise query_timeout, or make the query faster."));
                else CheckTransaction(settings, worker, now);
                break;
            case ClientState.Active when HoldsServerToBeClosed(settings):
                FailWithServer(PgError.Fatal(SqlState.AdminShutdown, "database configuration changed",
                    hint: "The server connection that the client held was to be replaced (server_fast_close)."));
                break;
            case ClientState.Active:
                if (_transactionStart != 0 && IsOver(worker.IdleTransactionTimeout ?? settings.IdleTransactionTimeout, LastActivity, now))
                    TimeOutWithServer(TimeoutKind.IdleTransactionTimeout, PgError.Fatal("25P03", "idle transaction timeout", hint: "Commit sooner, or raise idle_transaction_timeout."));
                else CheckTransaction(settings, worker, now);
                break;
            case ClientState.Idle:
                if (IsOver(user.ClientIdleTimeout ?? settings.ClientIdleTimeout, LastActivity, now))
                    TimeOut(TimeoutKind.ClientIdleTimeout, PgError.Fatal("57P05", "client_idle_timeout"));
                break;
        }
    }

    /// <summary>Closes the client because an administrator says so. On its loop's thread.</summary>
    public void Kill(PgError error)
    {
        if (_server is { } server)
        {
            TraceEnd(error, "client connection killed");
            Unlink();
            server.Abort("client connection killed");
        }
        Fail(error);
    }

    /// <summary>
    /// In session mode nothing but the session's end lets go of a server, and another one would not know the session's
    /// state: with server_fast_close both end together, between transactions.
    /// </summary>
    private bool HoldsServerToBeClosed(PoolerSettings settings) =>
        settings.ServerFastClose && _mode == PoolMode.Session && _server is { CloseNeeded: true } server
        && IsQuiet(server) && server.TransactionStatus == TransactionStatus.Idle;

    private static bool IsOver(TimeSpan limit, long since, long now) =>
        limit > TimeSpan.Zero && now - since > limit.Ticks / TimeSpan.TicksPerMicrosecond;

    private void TimeOut(TimeoutKind kind, PgError error)
    {
        Pool.Events.Timeouts.Add(kind);
        Fail(error);
    }

    private void TimeOutWithServer(TimeoutKind kind, PgError error)
    {
        Pool.Events.Timeouts.Add(kind);
        FailWithServer(error);
    }

    private void CheckTransaction(PoolerSettings settings, UserSettings user, long now)
    {
        if (_transactionStart != 0 && IsOver(user.TransactionTimeout ?? settings.TransactionTimeout, _transactionStart, now))
            TimeOutWithServer(TimeoutKind.TransactionTimeout, PgError.Fatal("25P04", "transaction timeout", hint: "Use shorter transactions, or raise transaction_timeout."));
    }

    private void CheckWait(PoolerSettings settings, UserSettings user, long now)
    {
        var limit = user.QueryWaitTimeout ?? Pool.Database.Settings.QueryWaitTimeout ?? settings.QueryWaitTimeout;
        if (IsOver(settings.QueryTimeout, WaitingSince, now))
        {
            // PgBouncer counts the wait as part of the query, by the global limit only.
            TimeOut(TimeoutKind.QueryTimeout, PgError.Fatal(SqlState.ProtocolViolation, "query_timeout", hint: "The query waited for a server connection for this long."));
        }
        else if (IsOver(limit, WaitingSince, now))
        {
            TimeOut(TimeoutKind.QueryWaitTimeout, PgError.Fatal(SqlState.ProtocolViolation, "query_wait_timeout",
                detail: Pool.DescribeFailure() ?? $"No server connection of pool {Pool.Database.Name}/{Pool.User.Name} came free in time.",
                hint: "The pool is too small for its load, or transactions hold servers for too long: see SHOW POOLS and SHOW SERVERS."));
        }
        else if (!_notifiedOfWait && settings.QueryWaitNotify > 0
            && now - WaitingSince > settings.QueryWaitNotify * 1_000_000L)
        {
            _notifiedOfWait = true;
            var writer = _context.ToClient;
            writer.Clear();
            new PgError("NOTICE", "00000", "No server connection available in postgres backend, client being queued")
                .WriteNoticeTo(writer);
            Connection.Send(writer.Written);
            writer.Clear();
        }
    }

    /// <summary>The request itself is at fault, so its server goes down with it: it may be running for hours yet.</summary>
    public void FailWithServer(PgError error)
    {
        if (_server is { } server)
        {
            TraceEnd(error, error.Message);
            Unlink();
            server.Abort(error.Message);
        }
        Fail(error);
    }

    private bool FindServer(ReadOnlySpan<byte> request)
    {
        TraceBeforeWait(request);
        var server = Pool.TakeOrEnqueue(this, out var refusal);
        if (server is not null)
        {
            LinkAtOnce((ServerSession)server);
            return true;
        }
        if (refusal is not null)
        {
            Fail(refusal);
            return false;
        }
        _state = ClientState.Waiting;
        // What it waited for in another process counts.
        WaitingSince -= _waitedBefore;
        _waitedBefore = 0;
        Connection.PauseReading();
        return false;
    }

    private void Link(ServerSession server)
    {
        _server = server;
        _state = ClientState.Active;
        server.LinkTo(this);
    }

    private void LinkAtOnce(ServerSession server)
    {
        Statistics.ImmediateAssignments++;
        Link(server);
    }

    private void Unlink()
    {
        NoteRequestBroken();
        var server = _server!;
        _isCutShort = server.OwesRestOfMessage;
        _server = null;
        _state = ClientState.Idle;
        _requestStart = _transactionStart = 0;
        _traceParent = null;
        _setup = null;
        _awaitsAnswers = false;
        server.Unlink();
        // It may have been stopped because this very server did not take its bytes.
        if (!_owesAnswers) Connection.ResumeReading();
    }

    // A setup that has not been sent needs no answer.
    private bool IsQuiet(ServerSession server) => server.Outstanding.Count == 0 && !_inBatch && _passing == 0;

    private void End(string reason, bool byPeer, PgError? error = null)
    {
        if (_state == ClientState.Closed) return;
        var was = _state;
        if (was == ClientState.Waiting)
        {
            TraceWait(server: null, error, reason);
            NoteWaitBroken();
            Pool.Abandon(this);
        }
        TraceEnd(error, reason);
        NoteRequestBroken();
        if (_server is { } server)
        {
            var quiet = IsQuiet(server);
            _server = null;
            server.Unlink();
            // A server that still works for this client, is in the middle of telling it something, or holds half of a batch, cannot be used by the next one.
            if (IsReplication) server.CloseWithClient(quiet);
            else if (quiet && !server.OwesRestOfMessage) server.ReleaseToPool(endOfSession: _mode == PoolMode.Session);
            else server.Abort(server.Outstanding.Count > 0 || quiet ? "client disconnected with query in progress" : "client disconnect before everything was sent to the server");
        }
        _state = ClientState.Closed;
        _context.Clients.Remove(this);
        Pool.RemoveClient();
        ForgetAllStatements();
        if (!byPeer) Connection.CloseAfterSend();
        _context.Engine.OnClientEnded(this, reason);
    }
}
