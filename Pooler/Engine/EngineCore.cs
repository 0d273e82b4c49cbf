using System.Net;
using Microsoft.Extensions.Logging;
using Pooler.Engine.Advice;
using Pooler.Engine.Auth;
using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Pooler.Engine.Console;
using Pooler.Engine.Encryption;
using Pooler.Engine.Handover;
using Pooler.Engine.Hosts;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine;

/// <summary>
/// What pools and sessions share: settings, loops, registries, the periodic work. The public face is
/// <see cref="PoolerEngine"/>; what administrators can do is in <see cref="Administration"/>.
/// </summary>
internal sealed class EngineCore : IPoolHost
{
    /// <summary>The database name behind which the console is.</summary>
    public const string ConsoleDatabase = "pgbouncer";

    /// <summary>How the pooler presents itself to PostgreSQL where the client does not say otherwise.</summary>
    public const string ApplicationName = "pooler";

    /// <summary>How often timeouts and limits are looked after, in microseconds: they are that exact, and no more.</summary>
    private const long MaintenancePeriod = 100_000;

    /// <summary>What the clients of a database are told that a reload has taken away.</summary>
    public static readonly PgError DatabaseRemoved = PgError.Fatal(SqlState.AdminShutdown, "database removed",
        hint: "The pooler's configuration does not have this database any more.");

    private readonly LoopContext[] _contexts;
    private volatile PoolerSettings _settings;
    private volatile AccessRules _access;
    private volatile TlsContexts _tls;
    private volatile HashSet<string> _tracked;
    private volatile HashSet<string> _ignored;
    private volatile bool _isSuspended;
    private volatile Departure? _departure;
    private long _lastId;
    private int _isHandingOver;

    public EngineCore(PoolerConfiguration configuration, IReadOnlyList<EventLoop> loops, ILogger logger, TimeProvider timeProvider,
        INameResolver? resolver = null)
    {
        TimeProvider = timeProvider;
        Log = new EngineLog(logger);
        SlowRequests = new SlowRequestLog(Log, timeProvider);
        SlowRequests.Use(configuration.Settings);
        Loops = loops;
        _settings = configuration.Settings;
        _access = configuration.Access;
        _tls = configuration.Tls ?? TlsContexts.Load(_settings);
        _tracked = TrackedNames(_settings);
        _ignored = Names(_settings.IgnoreStartupParameters);
        _contexts = [.. loops.Select(loop => new LoopContext(this, loop))];
        ConsoleStatistics = [.. loops.Select(_ => new PoolStatistics())];
        Directory = new PoolDirectory(this);
        Administration = new Administration(this);
        Statistics = new StatisticsPeriods(this);
        Cancels = new CancelRouter(this);
        Hosts = new HostWatch(this, resolver ?? (_settings.ResolvConf is { Length: > 0 } file
            ? new NameServerResolver(ResolverFile.Load(file)) : new SystemResolver()));
        Tracing = new Tracing(timeProvider);
        Metrics = new PoolerMetrics(this);
        Directory.Apply(configuration);
        Cancels.Peers.Apply(configuration.Peers);
    }

    public PoolerSettings Settings => _settings;

    /// <summary>What new connections use for TLS.</summary>
    public TlsContexts Tls => _tls;

    public TimeProvider TimeProvider { get; }

    public EngineLog Log { get; }

    public IReadOnlyList<EventLoop> Loops { get; }

    public ConnectionBudget Budget { get; } = new();

    public StatementRegistry Statements { get; } = new();

    public PoolDirectory Directory { get; }

    public Administration Administration { get; }

    public HostWatch Hosts { get; }

    public StatisticsPeriods Statistics { get; }

    public SlowRequestLog SlowRequests { get; }

    public Tracing Tracing { get; }

    public PoolerMetrics Metrics { get; }

    public EngineEvents Events { get; } = new();

    /// <summary>What is advised at the moment; set by the engine's composition.</summary>
    public Func<IReadOnlyList<AdviceItem>> Advice { get; set; } = static () => [];

    public CancelRouter Cancels { get; }

    public IReadOnlyList<LoopContext> Contexts => _contexts;

    /// <summary>When the engine started, wall clock.</summary>
    public DateTimeOffset StartedAt { get; private set; }

    /// <summary>Set while new clients are turned away; see <see cref="RefusalFor"/>.</summary>
    public PgError? RefusesLogins { get; set; }

    /// <summary>The end has come for the console, too: it stays open while a shutdown waits.</summary>
    public bool RefusesConsoles { get; set; }

    public PgError? RefusesWaiters { get; set; }

    public bool KeepsMinimum => _departure is null;

    /// <summary>SUSPEND is in force: no timeouts run out.</summary>
    public bool IsSuspended
    {
        get => _isSuspended;
        set => _isSuspended = value;
    }

    /// <summary>Another process is taking over from this one.</summary>
    public bool IsHandingOver => Volatile.Read(ref _isHandingOver) != 0;

    /// <summary>False when another process is at it already.</summary>
    public bool TryBeginHandover() => Interlocked.Exchange(ref _isHandingOver, 1) == 0;

    /// <summary>It has failed.</summary>
    public void EndHandover() => Volatile.Write(ref _isHandingOver, 0);

    /// <summary>A PgBouncer has got the sockets (SHOW FDS): when the suspended process ends now, it must leave them alone.</summary>
    public bool HasShownDescriptors { get; set; }

    /// <summary>Set once another process has taken over: those that could not move yet follow when they can.</summary>
    public Departure? Departure
    {
        get => _departure;
        set => _departure = value;
    }

    /// <summary>
    /// While the process before this one still serves clients: asks it whether a cancel request, which may come with its
    /// connection (else -1), is for one of them. Does not wait; false when it cannot be asked.
    /// </summary>
    public Func<byte[], int, bool>? PassCancelOn { get; set; }

    /// <summary>The number that was given last.</summary>
    public long LastId => Interlocked.Read(ref _lastId);

    /// <summary>Numbers go on where another process has left off. Before any is given.</summary>
    public void StartIdsAfter(long id) => _lastId = id;

    /// <summary>Leaves clients in the listener's backlog, or accepts them again; set by the engine's composition.</summary>
    public Action<bool> HoldAccepting { get; set; } = static _ => { };

    public SocketOptions SocketOptions { get; private set; } = SocketOptions.Default;

    /// <summary>What the console's sessions have done, per loop: its row in SHOW STATS.</summary>
    public PoolStatistics[] ConsoleStatistics { get; }

    /// <summary>Makes the console's handler for an authenticated client; set by the engine's composition.</summary>
    public Func<ConsoleRequest, IConnectionHandler>? ConsoleFactory { get; set; }

    /// <summary>Told the figures of each stats_period, as text; on a loop's thread.</summary>
    public Action<string>? PeriodEnded { get; init; }

    /// <summary>Clients logged in or logging in.</summary>
    public int ClientCount
    {
        get
        {
            // A login that becomes a client meanwhile counts once.
            lock (Admission)
            {
                var count = 0;
                foreach (var context in _contexts) count += context.Clients.Count + context.Logins.Count + context.Consoles.Count + context.Cancels.Count;
                return count;
            }
        }
    }

    /// <summary>Guards the places of max_client_conn.</summary>
    public Lock Admission { get; } = new();

    /// <summary>Places of max_client_conn that are taken: by logged-in clients, and by those that have said who they are.</summary>
    public int AdmittedCount
    {
        get
        {
            var count = 0;
            foreach (var context in _contexts) count += context.Clients.Count + context.AdmittedLogins + context.Consoles.Count;
            return count;
        }
    }

    public long Now => LoopClock.Microseconds(TimeProvider);

    public IEnumerable<ClientSession> Clients => _contexts.SelectMany(c => c.Clients.ToArray());

    public IEnumerable<ConsoleSession> Consoles => _contexts.SelectMany(c => c.Consoles.ToArray());

    public IEnumerable<LoginSession> Logins => _contexts.SelectMany(c => c.Logins.ToArray());

    public IEnumerable<CancelRequest> CancelRequests => _contexts.SelectMany(c => c.Cancels.ToArray());

    public IEnumerable<ServerSession> Servers => Directory.Pools.SelectMany(p => p.Servers).Cast<ServerSession>();

    public LoopContext ContextOf(EventLoop loop) => _contexts[loop.Index];

    public bool CurrentLoopOwns(Connection connection) => connection.Loop.IsCurrent;

    /// <summary>Now when already on the loop's thread, else soon.</summary>
    public void RunOn(EventLoop loop, Action<object?> action, object? state)
    {
        if (loop.IsCurrent) action(state);
        else loop.Post(action, state);
    }

    /// <summary>Ends when every loop has done all that it had been given to do by now.</summary>
    public Task TurnAllLoopsAsync() => Task.WhenAll(Loops.Select(loop =>
    {
        var turned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(static state => ((TaskCompletionSource)state!).SetResult(), turned);
        return turned.Task;
    }));

    /// <summary>Why nobody is let into a database now, if so.</summary>
    public PgError? RefusalFor(string database) =>
        database == ConsoleDatabase && !RefusesConsoles ? null : RefusesLogins;

    /// <summary>Begins the periodic work. Call once, when the loops run.</summary>
    public void Start()
    {
        StartedAt = TimeProvider.GetUtcNow();
        SocketOptions = SocketOptionsOf(_settings);
        foreach (var context in _contexts)
            context.Loop.Post(static state => ((LoopContext)state!).Engine.ScheduleMaintenance((LoopContext)state!), context);
    }

    /// <summary>Makes changed settings the current ones.</summary>
    public void UseSettings(PoolerSettings settings)
    {
        var wanted = _settings.TargetSessionAttrs;
        _settings = settings;
        SlowRequests.Use(settings);
        _tracked = TrackedNames(settings);
        _ignored = Names(settings.IgnoreStartupParameters);
        SocketOptions = SocketOptionsOf(_settings);
        if (wanted != settings.TargetSessionAttrs) Hosts.OnWantedChanged();
    }

    /// <summary>
    /// New connections use this from now on. Servers that were opened otherwise are replaced as they come free: what they
    /// were checked against may not hold any more.
    /// </summary>
    public void UseTls(TlsContexts tls)
    {
        var before = _tls;
        _tls = tls;
        if (before.Servers?.Fingerprint == tls.Servers?.Fingerprint) return;
        foreach (var pool in Directory.Pools) pool.CloseServers("database configuration changed", markOthers: true);
    }

    /// <summary>Takes over a new configuration: its databases and users, and what that means for those who use the old ones.</summary>
    public void Apply(PoolerConfiguration configuration)
    {
        UseSettings(configuration.Settings);
        foreach (var database in Directory.Apply(configuration))
        {
            Log.DatabaseDropped(database.Name);
            EndPools([.. Directory.PoolsUnordered.Where(p => p.Database == database)]);
        }
    }

    /// <summary>Ends all clients and servers of pools whose database is gone.</summary>
    private void EndPools(HashSet<Pool> pools)
    {
        foreach (var client in Clients)
        {
            if (!pools.Contains(client.Pool)) continue;
            RunOn(client.WaiterLoop, static state => ((ClientSession)state!).Kill(DatabaseRemoved), client);
        }
        foreach (var pool in pools)
        {
            pool.RefuseWaiters(DatabaseRemoved);
            pool.CloseServers(DatabaseRemoved.Message, markOthers: true);
        }
    }

    /// <summary>A client was accepted: its first handler.</summary>
    public IConnectionHandler Accept(Connection connection) =>
        new LoginSession(ContextOf(connection.Loop), connection, NextServerId());

    /// <summary>The HBA rules and name maps of the moment.</summary>
    public AccessRules Access
    {
        get => _access;
        set => _access = value;
    }

    public bool IsTracked(string parameter) => _tracked.Contains(parameter);

    public bool IsIgnoredAtStartup(string parameter) => _ignored.Contains(parameter);

    /// <summary>What a user who is who it says may do on the console. With auth_type any everybody may look.</summary>
    public ConsoleAccess ConsoleAccessOf(string user) =>
        IsListed(Settings.AdminUsers, user) ? ConsoleAccess.Admin
        : Settings.AuthType == AuthType.Any || IsListed(Settings.StatsUsers, user) ? ConsoleAccess.Stats
        : ConsoleAccess.None;

    public IConnectionHandler? CreateConsole(
        LoopContext context, Connection connection, long id, string user, ConsoleAccess access, string address, int port,
        string applicationName, out PgError? refusal)
    {
        refusal = null;
        if (access == ConsoleAccess.None)
        {
            refusal = PgError.Fatal(SqlState.InvalidAuthorization, "not allowed",
                hint: "Users of the admin console are listed in admin_users and stats_users.");
            return null;
        }
        if (ConsoleFactory is null)
        {
            refusal = PgError.Fatal(SqlState.FeatureNotSupported, "there is no admin console here");
            return null;
        }
        var account = Directory.AddUser(user);
        if (Budget.AddConsoleClient(Directory.Console, account, Settings, unlimited: access == ConsoleAccess.Admin) is { } limit)
        {
            refusal = LimitReached(limit);
            return null;
        }
        return ConsoleFactory(new ConsoleRequest(context, connection, id, account, access == ConsoleAccess.Admin, address, port, applicationName));
    }

    public ServerCredentials CredentialsFor(Pool pool)
    {
        var settings = pool.Database.Settings;
        // As in PgBouncer the password is the forced user's: without one nobody has it.
        return settings.Password is { } password && settings.User == pool.User.Name
            ? new ServerCredentials(pool.User.Name, Secret.Parse(password), pool.User.Credentials.ScramKeys)
            : pool.Credentials;
    }

    public PooledServer CreateServer(Pool pool, EventLoop loop) =>
        new ServerSession(this, pool, LoopClock.Microseconds(TimeProvider), NextServerId());

    /// <summary>A number for a connection to a server or a peer.</summary>
    public long NextServerId() => Interlocked.Increment(ref _lastId);

    public void EvictIdleServer(Pool pool, bool sameDatabase)
    {
        foreach (var other in Directory.PoolsUnordered)
        {
            if (other == pool || (sameDatabase ? other.Database != pool.Database : other.User != pool.User)) continue;
            if (other.EvictIdle("evicted")) return;
        }
    }

    public void OnReserveTaken(PoolWaiter waiter)
    {
        switch (waiter)
        {
            case ClientSession client:
                Log.ReserveTaken(client.Identity.LogName);
                break;
            case LoginSession login:
                Log.ReserveTaken(login.LogName);
                break;
        }
    }

    public void OnServerClosed(Pool pool)
    {
        // Its place in max_db_connections or max_user_connections may be what another pool's waiters wait for.
        foreach (var other in Directory.PoolsUnordered)
        {
            if (other != pool && (other.Database == pool.Database || other.User == pool.User) && other.WaitingCount > 0)
                other.Grow(Loops[0]);
        }
        Administration.Pending.Check();
    }

    public void OnServerLoggedIn(ServerSession server)
    {
        server.Pool.StatisticsOf(server.Connection!.Loop).ConnectTimes.Record(Now - server.OpenedAt);
        server.NoteConnectSpan(Tracing.ServerConnect(
            server.Pool, server.OpenedFor, server.Id, server.Target, server.BackendPid, server.OpenedAt, Now, error: null));
    }

    public void OnServerConnected(ServerSession server)
    {
        if (!Settings.LogConnections) return;
        if (server.Connection!.LocalEndPoint is IPEndPoint local) Log.ServerConnected(server.LogName, local.ToString());
        else Log.ServerConnected(server.LogName);
    }

    public void OnServerSecured(ServerSession server, TlsInfo tls)
    {
        if (Settings.LogConnections) Log.ServerSecured(server.LogName, tls.Description);
    }

    public void OnServerLoginFailed(ServerSession server, PgError error)
    {
        Tracing.ServerConnect(server.Pool, server.OpenedFor, server.Id, server.Target, backendPid: 0, server.OpenedAt, Now, error);
        Log.ServerLoginFailed(error.Severity, error.Message);
    }

    public void OnServerEnded(ServerSession server, string reason)
    {
        if (Settings.LogDisconnections) Log.ServerClosing(server.LogName, reason, (Now - server.OpenedAt) / 1_000_000);
    }

    public void OnClientEnded(ClientSession client, string reason)
    {
        var identity = client.Identity;
        Budget.RemoveClient(identity.Pool.Database, identity.LoginUser, client.WaiterLoop.Now);
        if (Settings.LogDisconnections)
        {
            var age = TimeProvider.GetUtcNow() - identity.ConnectedAt;
            Log.ClientClosing(identity.LogName, reason, (long)age.TotalSeconds);
        }
        Administration.Pending.Check();
    }

    /// <summary>A client is refused because of max_db_client_connections or max_user_client_connections.</summary>
    public static PgError LimitReached(BudgetLimit limit) => PgError.Fatal(SqlState.TooManyConnections, limit == BudgetLimit.Database
        ? "client connections exceeded (max_db_client_connections)"
        : "client connections exceeded (max_user_client_connections)");

    private static bool IsListed(string list, string name)
    {
        foreach (var range in list.AsSpan().Split(','))
            if (list.AsSpan(range).Trim().SequenceEqual(name)) return true;
        return false;
    }

    private static HashSet<string> Names(string list) => new(
        list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries), StringComparer.OrdinalIgnoreCase);

    private static HashSet<string> TrackedNames(PoolerSettings settings)
    {
        var names = Names(settings.TrackExtraParameters);
        names.UnionWith(SessionParameters.Reported);
        return names;
    }

    public static SocketOptions SocketOptionsOf(PoolerSettings settings) => new()
    {
        KeepAlive = settings.TcpKeepalive,
        KeepIdle = settings.TcpKeepidle,
        KeepInterval = settings.TcpKeepintvl,
        KeepCount = settings.TcpKeepcnt,
        UserTimeout = settings.TcpUserTimeout,
        BufferSize = settings.TcpSocketBuffer,
    };

    private void ScheduleMaintenance(LoopContext context) =>
        context.Loop.Schedule(MaintenancePeriod, static state =>
        {
            var its = (LoopContext)state!;
            // First: whatever goes wrong in this round, there will be a next one.
            its.Engine.ScheduleMaintenance(its);
            its.Engine.Maintain(its);
        }, context);

    private void Maintain(LoopContext context)
    {
        var now = context.Loop.Now;
        var settings = Settings;
        if (IsSuspended)
        {
            if (context.Loop.Index == 0) Administration.OnTick(now);
            return;
        }
        // Backwards: one that times out is replaced by the last, which has had its turn.
        for (var i = context.Clients.Count - 1; i >= 0; i--) context.Clients[i].CheckTimeouts(settings, now);
        for (var i = context.Logins.Count - 1; i >= 0; i--) context.Logins[i].CheckTimeouts(settings, now);
        if (context.Loop.Index != 0) return;
        foreach (var pool in Directory.PoolsUnordered) pool.Maintain(context.Loop);
        Hosts.OnTick(now);
        Directory.KeepMinimumPools();
        foreach (var database in Directory.ForgetUnusedDatabases(settings.AutodbIdleTimeout, now)) Log.DatabaseDropped(database.Name);
        foreach (var (pool, idle) in Directory.ForgetUnusedPools(settings.PoolIdleTimeout, now))
            Log.PoolForgotten(pool.User.Name, pool.Database.Name, idle / 1_000_000);
        Administration.OnTick(now);
        Statistics.OnTick(now);
    }
}

/// <summary>What a client may do on the console.</summary>
internal enum ConsoleAccess
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Look: the SHOW commands (stats_users).</summary>
    Stats,

    /// <summary>Everything (admin_users).</summary>
    Admin,
}

/// <summary>An authenticated client that asked for the console.</summary>
internal sealed record ConsoleRequest(
    LoopContext Context, Connection Connection, long Id, PoolUser User, bool IsAdmin, string Address, int Port,
    string ApplicationName);
