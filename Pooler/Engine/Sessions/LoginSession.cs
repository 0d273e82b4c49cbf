using System.Diagnostics;
using System.Net;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Sessions;

/// <summary>Every state a client can be in before it is logged in.</summary>
internal enum LoginState : byte
{
    /// <summary>Expects an encryption request, a cancel request or a startup packet.</summary>
    Startup,

    /// <summary>An authentication exchange waits for the client.</summary>
    Authenticating,

    /// <summary>An authentication exchange computes on the thread pool.</summary>
    Computing,

    /// <summary>Known, but no server of its pool (for replication: no server of its own) has logged in yet, so there is nothing to tell it.</summary>
    WaitingForWelcome,

    /// <summary>Handed over, or closed.</summary>
    Ended,
}

/// <summary>
/// A client from its first byte until it is logged in; then <see cref="ClientSession"/>, or the console, takes the
/// connection over, so that a long-lived client does not keep what only a login needs.
/// </summary>
internal sealed partial class LoginSession : PoolWaiter, IConnectionHandler, IListed
{
    private readonly LoopContext _context;
    private readonly Connection _connection;
    private readonly long _id;
    private LoginState _state;
    private bool _sslAsked;
    private bool _gssAsked;
    private bool _isAdmitted;
    private StartupPacket? _startup;
    private bool _isNamed;
    private bool _isDatabaseKnown;
    private ClientAuthentication? _authentication;
    private UserQueries? _userQueries;
    private TraceValue? _trace;
    private string? _malformedTrace;
    private PoolUser? _user;
    private Pool? _pool;

    public LoginSession(LoopContext context, Connection connection, long id)
    {
        _context = context;
        _connection = connection;
        _id = id;
        StartedAt = context.Loop.Now;
        (Address, Port) = Describe(connection.RemoteEndPoint, connection.LocalEndPoint);
        Process = connection.Peer?.ProcessId ?? 0;
        context.Logins.Add(this);
    }

    public int ListIndex { get; set; } = -1;

    public long StartedAt { get; }

    public long Id => _id;

    public LoginState State => _state;

    public string? User => _startup?.User;

    /// <summary>The pool whose first server it waits for; null earlier than that.</summary>
    public Pool? Pool => _pool;

    /// <summary>The pool in whose queue it stands: for a first server to learn from, or for one to run auth_query on.</summary>
    public Pool? WaitsIn => _state switch
    {
        LoginState.WaitingForWelcome => _pool,
        LoginState.Computing => _userQueries?.WaitsIn,
        _ => null,
    };

    public string Address { get; }

    public int Port { get; }

    public override EventLoop WaiterLoop => _context.Loop;

    public override bool WaitsForWelcome => true;

    internal override ActivityContext TraceContext =>
        _trace is { Context: var context } && context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded) ? context : default;

    /// <summary>Where its connection is, for display.</summary>
    public Connection Connection => _connection;

    private EngineCore Engine => _context.Engine;

    // Like PgBouncer's: nothing that a client merely claims is in it, but what was looked up.
    public ConnectionName LogName => new(false, _id, _isDatabaseKnown ? _startup!.Database : null, _isNamed ? _startup!.User : null, Address, Port) { Process = Process };

    /// <summary>The process at the other end of a Unix socket; 0 when there is none or nobody knows.</summary>
    public int Process { get; }

    /// <summary>
    /// How SHOW and the log name an address: IP and port, or <c>unix</c> and the port in the socket's name, which only one
    /// end of a connection has.
    /// </summary>
    public static (string Address, int Port) Describe(EndPoint? endPoint, EndPoint? otherEnd) => endPoint switch
    {
        IPEndPoint { Address.IsIPv4MappedToIPv6: true } mapped => (mapped.Address.MapToIPv4().ToString(), mapped.Port),
        IPEndPoint ip => (ip.Address.ToString(), ip.Port),
        _ => ("unix", Math.Max(UnixAddress.PortOf(endPoint), UnixAddress.PortOf(otherEnd))),
    };

    public void OnConnected(Connection connection) => throw new InvalidOperationException("clients connect to us");

    public void OnMoved(Connection connection) => throw new InvalidOperationException("clients stay on their loop");

    public void OnDrained(Connection connection)
    {
    }

    public ReadAnswer OnReadable(Connection connection, Readiness readiness) =>
        _state is LoginState.Startup or LoginState.Authenticating ? ReadAnswer.Read
        : readiness == Readiness.Bytes ? ReadAnswer.Pause
        : ReadAnswer.Close;

    public void OnClosed(Connection connection, Exception? error)
    {
        LogFailedHandshake(error);
        if (_state == LoginState.WaitingForWelcome) Engine.Events.LoginRefusals.Add(LoginRefusal.Abandoned);
        // Whoever leaves before it is in may be a monitoring probe: nothing is logged of it.
        End(_state == LoginState.WaitingForWelcome ? "client unexpected eof" : null);
    }

    public int OnReceived(Connection connection, Span<byte> data)
    {
        var pos = 0;
        while (true)
        {
            var used = _state switch
            {
                LoginState.Startup => ReceiveStartup(data[pos..]),
                LoginState.Authenticating => ReceivePassword(data[pos..]),
                _ => 0,
            };
            if (used == 0) break;
            pos += used;
        }
        // What came in one piece with the end of the login is for whoever has taken the connection over.
        return pos < data.Length && !connection.IsClosed && connection.Handler != this
            ? pos + connection.Handler.OnReceived(connection, data[pos..])
            : pos;
    }

    /// <summary>client_login_timeout, and query_wait_timeout while no server can be had.</summary>
    public void CheckTimeouts(PoolerSettings settings, long now)
    {
        var waits = _state == LoginState.WaitingForWelcome;
        // A replication client waits here for its place in the pool, as others do with their first query.
        var waitsForPlace = waits && _ownServer is not null;
        if (!waitsForPlace && IsOver(settings.ClientLoginTimeout, StartedAt, now))
            TimeOut(Engine.Events.Timeouts, TimeoutKind.ClientLoginTimeout, waits ? ServerDown("client_login_timeout (server down)") : PgError.Fatal(SqlState.ProtocolViolation, "client_login_timeout"));
        else if (waits && !waitsForPlace && IsOver(settings.QueryTimeout, WaitingSince, now))
            TimeOut(_pool!.Events.Timeouts, TimeoutKind.QueryTimeout, ServerDown("query_timeout"));
        else if (waits && IsOver(_user!.Settings.QueryWaitTimeout ?? _pool!.Database.Settings.QueryWaitTimeout ?? settings.QueryWaitTimeout, WaitingSince, now))
            TimeOut(_pool!.Events.Timeouts, TimeoutKind.QueryWaitTimeout, ServerDown("query_wait_timeout"));

        static bool IsOver(TimeSpan limit, long since, long at) =>
            limit > TimeSpan.Zero && at - since > limit.Ticks / TimeSpan.TicksPerMicrosecond;
    }

    private PgError ServerDown(string timeout) => PgError.Fatal(SqlState.ProtocolViolation, timeout,
        detail: _pool!.DescribeFailure(), hint: "No server connection could be opened in time: see SHOW SERVERS and the log.");

    /// <summary>Turns the client away.</summary>
    public void Fail(PgError error) => Fail(error, LoginRefusals.Of(error));

    private void TimeOut(EventCounts<TimeoutKind> timeouts, TimeoutKind kind, PgError error)
    {
        timeouts.Add(kind);
        Fail(error);
    }

    private void Fail(PgError error, LoginRefusal kind)
    {
        if (_state == LoginState.Ended) return;
        Engine.Events.LoginRefusals.Add(kind);
        // The log first: who reads the error may look there for the reason.
        var reason = error.LoggedAs ?? error.Message;
        End(reason);
        if (Engine.Settings.LogPoolerErrors) Engine.Log.PoolerError(LogName, reason);
        Write(w => error.WriteTo(w));
        _connection.CloseAfterSend();
    }

    protected internal override void OnWelcome() => Post(static login =>
    {
        login.Complete();
    });

    protected internal override void OnRefused(PgError error) => _context.Loop.Post(static state =>
    {
        var (login, reason) = ((LoginSession, PgError))state!;
        login.Fail(reason, LoginRefusals.OfRefusal(reason));
    }, (this, error));

    private void Post(Action<LoginSession> action) => _context.Loop.Post(static state =>
    {
        var (login, what) = ((LoginSession, Action<LoginSession>))state!;
        if (login._state != LoginState.Ended) what(login);
    }, (this, action));

    private int ReceivePassword(ReadOnlySpan<byte> data)
    {
        if (data.Length < MessageHeader.Size) return 0;
        var length = MessageHeader.Length(data);
        if (data[0] != Frontend.Password || length < 4 || length > ClientAuthentication.MaxMessageLength + 4)
        {
            // Only a packet without a type begins with a zero: a second startup packet in the middle of an exchange.
            Fail(PgError.Fatal(SqlState.ProtocolViolation, data[0] == 0 ? "client re-sent startup pkt" : "expected a password response"));
            return 0;
        }
        if (data.Length < length + 1) return 0;
        var writer = _context.ToClient;
        writer.Clear();
        After(_authentication!.Receive(data.Slice(MessageHeader.Size, length - 4), writer), writer);
        return length + 1;
    }

    private void Step(Func<MessageWriter, AuthStep> step)
    {
        var writer = _context.ToClient;
        writer.Clear();
        After(step(writer), writer);
    }

    private void After(AuthStep step, MessageWriter writer)
    {
        if (writer.Length > 0) _connection.Send(writer.Written);
        writer.Clear();
        switch (step)
        {
            case AuthStep.Continue:
                _state = LoginState.Authenticating;
                break;
            case AuthStep.Working:
                _state = LoginState.Computing;
                _connection.PauseReading();
                _authentication!.Work!.ContinueWith(static (_, state) => ((LoginSession)state!).Post(static login =>
                {
                    login._connection.ResumeReading();
                    login.Step(login._authentication!.Resume);
                }), this, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                break;
            case AuthStep.Failed:
                var reason = _authentication!.FailureReason ?? "authentication failed";
                if (_authentication.IsRefused) Engine.Log.LoginRefused(LogName, reason);
                else Engine.Log.LoginFailed(LogName, reason);
                if (_authentication.Error!.LoggedAs is "SASL authentication failed") Engine.Log.PasswordFailed(LogName);
                Fail(_authentication.Error!, LoginRefusal.Authentication);
                break;
            case AuthStep.Succeeded:
                OnAuthenticated();
                break;
        }
    }

    private void OnAuthenticated()
    {
        var startup = _startup!;
        if (Engine.RefusalFor(startup.Database) is { } closing)
        {
            Fail(closing);
            return;
        }
        if (_authentication!.Rule is { } rule) Engine.Log.RuleMatched(LogName, rule.Where, rule.Method);
        if (startup.Database == EngineCore.ConsoleDatabase)
        {
            OpenConsole(Engine.ConsoleAccessOf(_authentication.LoginName));
            return;
        }
        var database = FindDatabase(startup.Database);
        if (database is null)
        {
            if (Engine.Settings.LogConnections) Engine.Log.NoDatabase(LogName, startup.Database, startup.User);
            Fail(PgError.Fatal(SqlState.InvalidCatalogName, $"no such database: {startup.Database}",
                hint: "The pooler knows the databases of SHOW DATABASES; a * entry would accept any name."));
            return;
        }
        if (database.Disabled)
        {
            Fail(PgError.Fatal(SqlState.CannotConnectNow, $"database \"{database.Name}\" is disabled",
                hint: "An administrator can allow logins again with ENABLE."));
            return;
        }
        var name = _authentication.LoginName;
        if (Engine.Settings.AuthType == AuthType.Any)
        {
            // Whoever a client says it is, it is the forced user, in counts and statistics too.
            if (database.Settings.User is not { } forced)
            {
                Engine.Log.LoginRefused(LogName, "auth_type=any requires forced user");
                Fail(PgError.Fatal(SqlState.InvalidAuthorization, "bouncer config error"));
                return;
            }
            name = forced;
        }
        if (_user is null || _user.Name != name) _user = Engine.Directory.FindUser(name) ?? Engine.Directory.AddUser(name);
        _pool = Engine.Directory.GetPool(database, _user);
        _pool.Learn(_authentication, _user);
        if (startup.Replication != ReplicationMode.None)
        {
            BeginReplication(_pool);
            return;
        }
        if (_pool.Welcome is not null)
        {
            Complete();
            return;
        }
        WaitForWelcome();
    }

    private void WaitForWelcome()
    {
        _state = LoginState.WaitingForWelcome;
        _connection.PauseReading();
        _pool!.TakeOrEnqueue(this, out var refusal);
        if (refusal is not null) Fail(refusal, LoginRefusals.OfRefusal(refusal));
        // Between the look at the welcome and the queue a first server may have logged in: its welcome went to those
        // that were queued then.
        else if (_pool.Welcome is not null) OnWelcome();
    }

    private void Complete()
    {
        if (_state == LoginState.Ended) return;
        var pool = _pool!;
        // Waiting for the pool's first server is waiting for a server, too.
        if (WaitingSince != 0) pool.StatisticsOf(_context.Loop).Waits.Record(_context.Loop.Now - WaitingSince);
        pool.Abandon(this);
        if (pool.Welcome is not { } welcome)
        {
            // The server that it came from has been closed since, and its like with it.
            WaitForWelcome();
            return;
        }
        if (!CountIn(pool)) return;
        var parameters = RequestedParameters.Apply(Engine, _startup!, welcome.Tracked, Address, Port);

        Admit(pool, welcome, parameters);
        _connection.ResumeReading();
    }

    private PoolDatabase? FindDatabase(string name)
    {
        var database = Engine.Directory.FindDatabase(name, out var isNew);
        if (isNew) Engine.Log.DatabaseRegistered(LogName, name);
        return database;
    }

    /// <summary>Counts the client in. False when it is turned away, or has to wait for another pool.</summary>
    private bool CountIn(Pool pool)
    {
        if (Engine.Budget.TryAddClient(pool.Database, _user!, Engine.Settings) is { } limit)
        {
            Fail(EngineCore.LimitReached(limit));
            return false;
        }
        // Only now: a database that counts a client is not forgotten as unused.
        if (!pool.Database.Removed && pool.TryKeep()) return true;
        Engine.Budget.RemoveClient(pool.Database, _user!, _context.Loop.Now);
        if (pool.Database is { Removed: true, IsAuto: false } || FindDatabase(_startup!.Database) is not { } database)
        {
            Fail(EngineCore.DatabaseRemoved);
            return false;
        }
        // Forgotten as unused meanwhile: what has taken, or takes, its place.
        _pool = Engine.Directory.GetPool(database, _user!);
        _pool.Learn(_authentication!, _user!);
        WaitForWelcome();
        return false;
    }

    /// <summary>Tells the client that it is in, and hands the connection over.</summary>
    private ClientSession Admit(Pool pool, Welcome welcome, SessionParameters parameters)
    {
        var identity = new ClientIdentity(
            _id, pool, _user!, CancelKey.Create(_startup!.Minor, Engine.Settings.PeerId), Engine.TimeProvider.GetUtcNow(), Address, Port)
        {
            Replication = Replication,
            Process = Process,
        };
        Write(writer =>
        {
            writer.AuthenticationOk();
            foreach (var (name, value) in welcome.Parameters) writer.ParameterStatus(name, parameters[name] ?? value);
            identity.CancelKey.WriteTo(writer);
            if (_malformedTrace is { } malformed) (TraceCommand.MalformedError(malformed) with { Severity = "WARNING" }).WriteNoticeTo(writer);
            if (Engine.Settings.LoginNotifyMessage is { Length: > 0 } message) new PgError("NOTICE", "00000", message).WriteNoticeTo(writer);
            writer.ReadyForQuery(TransactionStatus.Idle);
        });
        ClientSession client;
        lock (Engine.Admission)
        {
            HandOver();
            client = new ClientSession(_context, _connection, identity, parameters);
            if (_trace is not null) client.UseTraceAtStart(_trace);
            _connection.Handler = client;
        }
        pool.StatisticsOf(_context.Loop).Logins++;
        // Removed after it was counted in, and too late to be seen by the one who ends the database's clients.
        if (pool.Database.Removed) _context.Loop.Post(static state => ((ClientSession)state!).Kill(EngineCore.DatabaseRemoved), client);
        return client;
    }

    private void OpenConsole(ConsoleAccess access)
    {
        var applicationName = _startup!.Parameters.FirstOrDefault(p => p.Key == "application_name").Value ?? "";
        lock (Engine.Admission)
        {
            if (Engine.CreateConsole(_context, _connection, _id, _startup.User, access, Address, Port, applicationName, out var refusal)
                is { } console)
            {
                HandOver();
                _connection.Handler = console;
            }
            else
            {
                Fail(refusal!);
            }
        }
    }

    private void Write(Action<MessageWriter> write)
    {
        var writer = _context.ToClient;
        writer.Clear();
        write(writer);
        _connection.Send(writer.Written);
        writer.Clear();
    }

    private void HandOver()
    {
        _state = LoginState.Ended;
        _context.Logins.Remove(this);
        if (_isAdmitted) _context.Dismiss();
    }

    /// <param name="reason">Null: there is nothing to log.</param>
    private void End(string? reason)
    {
        if (_state == LoginState.Ended) return;
        if (_state == LoginState.WaitingForWelcome) _pool!.Abandon(this);
        if (_state == LoginState.Computing)
        {
            _authentication!.Abandon();
            _userQueries?.Abandon();
        }
        HandOver();
        if (Engine.Settings.LogDisconnections && reason is not null)
            Engine.Log.ClientClosing(LogName, reason, (_context.Loop.Now - StartedAt) / 1_000_000);
    }
}
