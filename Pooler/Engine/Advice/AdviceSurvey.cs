using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Advice;

/// <summary>Gathers from a running engine what the rules look at.</summary>
/// <param name="engine">The engine.</param>
/// <param name="period">How long an interval of its history is.</param>
internal sealed class AdviceSurvey(PoolerEngine engine, TimeSpan period)
{
    // Failures of logins are over when the pool has not tried again for so many of its pauses.
    private const int FailurePauses = 3;

    private readonly AdviceMemory _memory = new(engine.Core);
    private readonly ServerFacts _facts = new(engine.Core, period);
    private (PoolerConfiguration Of, (string Setting, string Text)[] Issues)? _issues;

    private EngineCore Core => engine.Core;

    /// <summary>The engine as it is now; null while it stands still or leaves.</summary>
    /// <param name="all">The pools of the moment.</param>
    public AdviceInput? Take(IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)> all)
    {
        if (Core.IsSuspended || Core.IsHandingOver || Core.Departure is not null || Core.RefusesLogins is not null) return null;
        var configuration = engine.Configuration;
        // Pools of a database that a RELOAD has taken away or replaced exist until their last client has left: there is nothing to advise.
        var states = all.Where(p => Core.Directory.KnownDatabase(p.Pool.Database.Name) == p.Pool.Database).ToArray();
        Pool[] pools = [.. states.Select(p => p.Pool)];
        _memory.Look(pools);
        var histories = engine.History().ToDictionary(h => (h.Database, h.User), h => h.Intervals);
        var applications = _memory.ApplicationsByPool();
        // Advice goes into the log, over OTLP and onto the page. And no rule asks about servers that are held for less: most are
        // for a millisecond, and each has its query's text made.
        var held = HeldServers.Read(Core, mayShowValues: false, least: period).ToLookup(h => (h.Database, h.User));
        foreach (var (pool, state) in states) AskServer(pool, state, histories.GetValueOrDefault(KeyOf(pool)));
        var servers = ServersOf(configuration, pools);
        return new AdviceInput
        {
            Now = Core.TimeProvider.GetUtcNow(),
            Period = period,
            Configuration = configuration,
            Pools =
            [
                .. states.Select(p => View(
                    p.Pool, p.Snapshot, histories.GetValueOrDefault(KeyOf(p.Pool)) ?? [], [.. held[KeyOf(p.Pool)]], [.. applications[p.Pool]],
                    // None when a RELOAD has moved the database since the servers were gathered.
                    servers.GetValueOrDefault(ServerOf(p.Pool)) ?? new ServerView(), configuration.Settings)),
            ],
            Servers = [.. servers.Values],
            Hosts = engine.Hosts(),
            ClientLimits = [.. ClientLimits(configuration.Settings)],
            FailedLogins = _memory.Refusals(),
            LoopsBusy = _memory.LoopsBusy(),
            Cores = Environment.ProcessorCount,
            PreparedStatements = Core.Statements.Count,
            ConfigurationIssues = IssuesOf(configuration),
        };
    }

    private PoolView View(
        Pool pool, PoolSnapshot state, IReadOnlyList<PoolInterval> intervals, IReadOnlyList<HeldServer> held,
        IReadOnlyList<ApplicationView> applications, ServerView server, PoolerSettings settings)
    {
        var user = pool.User.Settings;
        var database = pool.Database.Settings;
        return new PoolView
        {
            Period = period,
            State = state,
            Intervals = intervals,
            Held = held,
            Events = _memory.EventsOf(pool),
            Applications = applications,
            Server = server,
            Trouble = TroubleOf(pool, settings),
            Size = user.PoolSize is { } ofUser ? OfUser(pool, "pool_size", ofUser)
                : database.PoolSize is { } ofDatabase ? OfDatabase(pool, "pool_size", ofDatabase)
                : new SettingView("default_pool_size", settings.DefaultPoolSize),
            MinSize = database.MinPoolSize is { } least ? OfDatabase(pool, "min_pool_size", least) : new SettingView("min_pool_size", settings.MinPoolSize),
            PoolMode = user.PoolMode is not null ? $"pool_mode of user {pool.User.Name}"
                : database.PoolMode is not null ? $"pool_mode of database {EntryOf(pool)}"
                : "pool_mode",
            ReachedLimit = ReachedLimit(pool, settings),
            QueryWaitTimeout = user.QueryWaitTimeout is null && database.QueryWaitTimeout is { } wait
                ? OfDatabase(pool, "query_wait_timeout", wait.TotalSeconds)
                : Timeout(pool, "query_wait_timeout", user.QueryWaitTimeout, settings.QueryWaitTimeout),
            ServerLifetime = database.ServerLifetime is { } lifetime && lifetime > TimeSpan.Zero
                ? OfDatabase(pool, "server_lifetime", lifetime.TotalSeconds)
                : new SettingView("server_lifetime", settings.ServerLifetime.TotalSeconds),
            IdleTransactionTimeout = Timeout(pool, "idle_transaction_timeout", user.IdleTransactionTimeout, settings.IdleTransactionTimeout),
            QueryTimeout = Timeout(pool, "query_timeout", user.QueryTimeout, settings.QueryTimeout),
            TransactionTimeout = Timeout(pool, "transaction_timeout", user.TransactionTimeout, settings.TransactionTimeout),
        };
    }

    /// <summary>Uses a pool's idle connection to ask its server, when the pool has traffic and nobody waits.</summary>
    private void AskServer(Pool pool, PoolSnapshot state, IReadOnlyList<PoolInterval>? intervals)
    {
        if (intervals is not { Count: >= 2 } || intervals[^1].Counted.Transactions == 0) return;
        if (state.ServersIdle > 0 && state.ClientsWaiting == 0 && !state.IsHeld) _facts.Ask(ServerOf(pool), pool);
    }

    private Dictionary<(string? Host, int Port), ServerView> ServersOf(PoolerConfiguration configuration, Pool[] pools)
    {
        var configured = ConnectionDemand.Of(configuration).ToDictionary(d => (d.Host, d.Port));
        var running = pools.ToLookup(ServerOf);
        return configured.Keys.Union(running.Select(r => r.Key)).ToDictionary(key => key, key =>
        {
            var fact = _facts.Of(key);
            var demand = configured.GetValueOrDefault(key);
            return new ServerView
            {
                Name = $"{key.Host ?? "local socket"}:{key.Port}",
                MaxConnections = fact?.MaxConnections,
                Connections = fact?.Connections,
                Ours = running[key].Sum(p => p.Servers.Length),
                Cores = configuration.Settings.ServerCores is > 0 and var told ? told
                    : ConfigurationAdvice.IsThisMachine(key.Host) ? Environment.ProcessorCount
                    : null,
                Demand = demand is { Connections: null } ? null : DemandOf([.. running[key]], configuration.Settings, demand?.Connections ?? 0),
                OwnLimits =
                [
                    .. (demand?.Databases ?? []).Where(d => d.MaxDbConnections > 0)
                        .Select(d => new SettingView($"max_db_connections of database {d.Name}", d.MaxDbConnections!.Value)),
                ],
                Databases = Math.Max(demand?.Databases.Count ?? 0, running[key].Select(p => p.Database).Distinct().Count()),
            };
        });
    }

    /// <summary>What all pools together may open: those that the configuration names, or those that there are if more.</summary>
    private static int? DemandOf(Pool[] pools, PoolerSettings settings, int configured) =>
        pools.Any(p => p.Size == 0) ? null
        : Math.Max(configured, pools.GroupBy(p => p.Database).Sum(g => Within(g.Sum(p => p.Size + p.ReserveSize), g.Key.Settings, settings)));

    private IEnumerable<ClientLimit> ClientLimits(PoolerSettings settings)
    {
        yield return new ClientLimit(new SettingView("max_client_conn", settings.MaxClientConn), Core.ClientCount, "", "");
        foreach (var database in Core.Directory.Databases)
        {
            var limit = database.Settings.MaxDbClientConnections is > 0 and var own
                ? new SettingView($"max_db_client_connections of database {(database.IsAuto ? "*" : database.Name)}", own)
                : new SettingView("max_db_client_connections", settings.MaxDbClientConnections);
            if (limit.Value > 0) yield return new ClientLimit(limit, database.ClientCount, database.Name, "");
        }
        foreach (var user in Core.Directory.Users)
        {
            var limit = user.Settings.MaxUserClientConnections is > 0 and var own
                ? new SettingView($"max_user_client_connections of user {user.Name}", own)
                : new SettingView("max_user_client_connections", settings.MaxUserClientConnections);
            if (limit.Value > 0) yield return new ClientLimit(limit, user.ClientCount, "", user.Name);
        }
    }

    // Of sizes and cores pool-too-large says more. The files behind the settings are looked at once per configuration.
    private (string, string)[] IssuesOf(PoolerConfiguration configuration)
    {
        if (_issues is { } known && ReferenceEquals(known.Of, configuration)) return known.Issues;
        var issues = ConfigurationAdvice.OnConfiguration(configuration, cores: null, descriptors: null).ToArray();
        _issues = (configuration, issues);
        return issues;
    }

    private LoginTrouble? TroubleOf(Pool pool, PoolerSettings settings)
    {
        if (pool.LastFailure is not { } failure) return null;
        var age = TimeSpan.FromMicroseconds(Math.Max(0, Core.Now - failure.At));
        return age <= settings.ServerLoginRetry * FailurePauses + period
            ? new LoginTrouble(failure.Error.SqlState, failure.Error.Message, age)
            : null;
    }

    private static SettingView? ReachedLimit(Pool pool, PoolerSettings settings)
    {
        if (pool.Servers.Length >= pool.Size && pool.Size > 0) return null;
        var (database, user) = (pool.Database.Settings.MaxDbConnections, pool.User.Settings.MaxUserConnections);
        var ofDatabase = database is > 0 ? OfDatabase(pool, "max_db_connections", database.Value) : new SettingView("max_db_connections", settings.MaxDbConnections);
        if (ofDatabase.Value > 0 && pool.Database.ServerCount >= ofDatabase.Value) return ofDatabase;
        var ofUser = user is > 0 ? OfUser(pool, "max_user_connections", user.Value) : new SettingView("max_user_connections", settings.MaxUserConnections);
        return ofUser.Value > 0 && pool.User.ServerCount >= ofUser.Value ? ofUser : null;
    }

    private static int Within(int count, DatabaseSettings database, PoolerSettings settings)
    {
        var limit = database.MaxDbConnections is > 0 ? database.MaxDbConnections.Value : settings.MaxDbConnections;
        return limit > 0 ? Math.Min(count, limit) : count;
    }

    private static (string Database, string User) KeyOf(Pool pool) => (pool.Database.Name, pool.User.Name);

    private static (string? Host, int Port) ServerOf(Pool pool) => (pool.Database.Settings.Host, pool.Database.Settings.Port);

    // A database made from * has its settings from there.
    private static string EntryOf(Pool pool) => pool.Database.IsAuto ? "*" : pool.Database.Name;

    private static SettingView Timeout(Pool pool, string name, TimeSpan? ofUser, TimeSpan everywhere) =>
        ofUser is { } own ? OfUser(pool, name, own.TotalSeconds) : new SettingView(name, everywhere.TotalSeconds);

    private static SettingView OfUser(Pool pool, string name, double value) => new($"{name} of user {pool.User.Name}", value);

    private static SettingView OfDatabase(Pool pool, string name, double value) => new($"{name} of database {EntryOf(pool)}", value);
}
