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

    private EngineCore Core => engine.Core;

    /// <summary>The engine as it is now; null while it stands still or leaves.</summary>
    public AdviceInput? Take()
    {
        if (Core.IsSuspended || Core.IsHandingOver || Core.Departure is not null || Core.RefusesLogins is not null) return null;
        var configuration = engine.Configuration;
        var states = engine.Snapshot().Pools.ToDictionary(p => (p.Database, p.User));
        var histories = engine.History().ToDictionary(h => (h.Database, h.User));
        var held = engine.HeldServers().ToLookup(h => (h.Database, h.User));
        var pools = Core.Directory.Pools.Where(p => states.ContainsKey((p.Database.Name, p.User.Name))).ToArray();
        var demands = DemandsOf(configuration, pools);
        return new AdviceInput
        {
            Now = Core.TimeProvider.GetUtcNow(),
            Period = period,
            Configuration = configuration,
            Pools =
            [
                .. pools.Select(pool =>
                {
                    var key = (pool.Database.Name, pool.User.Name);
                    return View(pool, states[key], histories.GetValueOrDefault(key)?.Intervals ?? [], [.. held[key]], demands, configuration.Settings);
                }),
            ],
        };
    }

    private PoolView View(
        Pool pool, PoolSnapshot state, IReadOnlyList<PoolInterval> intervals, IReadOnlyList<HeldServer> held,
        Dictionary<(string? Host, int Port), int?> demands, PoolerSettings settings)
    {
        var user = pool.User.Settings;
        var database = pool.Database.Settings;
        return new PoolView
        {
            Period = period,
            State = state,
            Intervals = intervals,
            Held = held,
            Size = user.PoolSize is { } ofUser ? OfUser(pool, "pool_size", ofUser)
                : database.PoolSize is { } ofDatabase ? OfDatabase(pool, "pool_size", ofDatabase)
                : new SettingView("default_pool_size", settings.DefaultPoolSize),
            ReachedLimit = ReachedLimit(pool, settings),
            Server = new ServerView
            {
                Name = $"{database.Host ?? "local socket"}:{database.Port}",
                Cores = ConfigurationAdvice.IsThisMachine(database.Host) ? Environment.ProcessorCount : null,
                Demand = demands.GetValueOrDefault((database.Host, database.Port)),
            },
            Trouble = TroubleOf(pool, settings),
            IdleTransactionTimeout = Timeout(pool, "idle_transaction_timeout", user.IdleTransactionTimeout, settings.IdleTransactionTimeout),
            QueryTimeout = Timeout(pool, "query_timeout", user.QueryTimeout, settings.QueryTimeout),
            TransactionTimeout = Timeout(pool, "transaction_timeout", user.TransactionTimeout, settings.TransactionTimeout),
        };
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

    /// <summary>What all pools together may open on each server: those of the configuration, or those that there are if more.</summary>
    private static Dictionary<(string? Host, int Port), int?> DemandsOf(PoolerConfiguration configuration, Pool[] pools)
    {
        var demands = ConnectionDemand.Of(configuration).ToDictionary(d => (d.Host, d.Port), d => d.Connections);
        foreach (var server in pools.GroupBy(p => (p.Database.Settings.Host, p.Database.Settings.Port)))
        {
            if (demands.TryGetValue(server.Key, out var known) && known is null) continue;
            if (server.Any(p => p.Size == 0)) demands[server.Key] = known;
            else demands[server.Key] = Math.Max(known ?? 0, server.GroupBy(p => p.Database).Sum(g => Within(g.Sum(p => p.Size + p.ReserveSize), g.Key.Settings, configuration.Settings)));
        }
        return demands;
    }

    private static int Within(int count, DatabaseSettings database, PoolerSettings settings)
    {
        var limit = database.MaxDbConnections is > 0 ? database.MaxDbConnections.Value : settings.MaxDbConnections;
        return limit > 0 ? Math.Min(count, limit) : count;
    }

    private static SettingView Timeout(Pool pool, string name, TimeSpan? ofUser, TimeSpan everywhere) =>
        ofUser is { } own ? OfUser(pool, name, own.TotalSeconds) : new SettingView(name, everywhere.TotalSeconds);

    private static SettingView OfUser(Pool pool, string name, double value) => new($"{name} of user {pool.User.Name}", value);

    // A database made from * has its settings from there.
    private static SettingView OfDatabase(Pool pool, string name, double value) => new($"{name} of database {(pool.Database.IsAuto ? "*" : pool.Database.Name)}", value);
}
