using System.Collections.Concurrent;
using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;

namespace Pooler.Engine;

/// <summary>All databases, users and pools of the moment, by name. Any thread.</summary>
internal sealed class PoolDirectory(IPoolHost host)
{
    private readonly ConcurrentDictionary<string, PoolDatabase> _databases = new();
    private readonly ConcurrentDictionary<string, PoolUser> _users = new();
    private readonly ConcurrentDictionary<(PoolDatabase, PoolUser), Pool> _pools = new();
    private volatile DatabaseSettings? _fallback;

    // Bytes in a name, as in PgBouncer (MAX_DBNAME) and PostgreSQL (NAMEDATALEN): no server has a database of a longer one.
    private const int LongestName = 63;

    // So long a question may be on its way into the queue of its pool.
    private static readonly TimeSpan ProvisionalLife = TimeSpan.FromSeconds(1);

    /// <summary>All are held (PAUSE without a name): also those that become known meanwhile.</summary>
    public bool HoldsNew { get; set; }

    /// <summary>The admin console as a database: no pool has it, but its clients are counted.</summary>
    public PoolDatabase Console { get; } = new(new DatabaseSettings { Name = EngineCore.ConsoleDatabase }, isAuto: false);

    public IEnumerable<PoolDatabase> Databases => _databases.Values.OrderBy(d => d.Name, StringComparer.Ordinal);

    public IEnumerable<PoolUser> Users => _users.Values.OrderBy(u => u.Name, StringComparer.Ordinal);

    public IEnumerable<Pool> Pools => _pools.Values.Where(p => !p.Database.Removed)
        .OrderBy(p => p.Database.Name, StringComparer.Ordinal).ThenBy(p => p.User.Name, StringComparer.Ordinal);

    /// <summary>All databases, in no order.</summary>
    public IEnumerable<PoolDatabase> DatabasesUnordered => _databases.Select(d => d.Value);

    /// <summary>All pools, in no order, and with those of removed databases that are coming to their end.</summary>
    public IEnumerable<Pool> PoolsUnordered => _pools.Values;

    /// <summary>A user that the configuration knows, or that a forced user or <c>auth_type = any</c> has made known.</summary>
    public PoolUser? FindUser(string name) =>
        _users.TryGetValue(name, out var user) && user.Settings.IsKnown ? user : null;

    /// <summary>A user without an entry of its own.</summary>
    public PoolUser AddUser(string name) =>
        _users.GetOrAdd(name, static n => new PoolUser(new UserSettings { Name = n, IsKnown = false }));

    /// <summary>The database of that name, made from the <c>*</c> entry when there is no other.</summary>
    public PoolDatabase? FindDatabase(string name) => FindDatabase(name, out _);

    /// <summary>
    /// What <see cref="FindDatabase(string)"/> would find, without making it known: for those who have not proved yet who
    /// they are, and could ask for ever new names.
    /// </summary>
    public PoolDatabase? PreviewDatabase(string name) => _databases.TryGetValue(name, out var database) ? database : Make(name);

    /// <summary>The same, known as long as it is used: a question about a login is to be asked there.</summary>
    public PoolDatabase? FindDatabaseForQuestion(string name)
    {
        if (_databases.TryGetValue(name, out var database))
        {
            if (database.IsProvisional) database.UnusedSince = 0;
            return database;
        }
        if (Make(name) is not { } made) return null;
        made.IsProvisional = true;
        return _databases.GetOrAdd(name, made);
    }

    /// <summary>The same; tells whether the database was made just now.</summary>
    public PoolDatabase? FindDatabase(string name, out bool isNew)
    {
        isNew = false;
        if (!_databases.TryGetValue(name, out var database))
        {
            if (Make(name) is not { } made) return null;
            database = _databases.GetOrAdd(name, made);
            isNew = database == made;
        }
        if (database.IsProvisional) (isNew, database.IsProvisional) = (true, false);
        return database;
    }

    private PoolDatabase? Make(string name) => _fallback is { } fallback && Encoding.UTF8.GetByteCount(name) <= LongestName
        ? new PoolDatabase(fallback with { Name = name }, isAuto: true) { HeldWithAll = HoldsNew }
        : null;

    /// <summary>The database of that name, if it is known already.</summary>
    public PoolDatabase? KnownDatabase(string name) => _databases.GetValueOrDefault(name);

    /// <summary>The pool for a client: its servers log in as the database's forced user, else as the client's own.</summary>
    public Pool GetPool(PoolDatabase database, PoolUser loginUser)
    {
        var user = loginUser;
        if (database.Settings.User is { } forced && forced != loginUser.Name) user = AddUser(forced);
        return GetOwnPool(database, user);
    }

    /// <summary>The pool whose servers log in as the given user, whoever is forced upon the database's clients.</summary>
    /// <remarks>It is not forgotten before the caller has had the time to use it.</remarks>
    public Pool GetOwnPool(PoolDatabase database, PoolUser user)
    {
        while (true)
        {
            var pool = _pools.GetOrAdd((database, user), static (key, h) => new Pool(h, key.Item1, key.Item2), host);
            if (pool.TryKeep()) return pool;
            Remove(pool);
        }
    }

    /// <summary>
    /// Makes a new configuration the current one. Servers whose way to the database changed are closed as they come free.
    /// </summary>
    /// <returns>The databases that the configuration has not any more: ending their clients and servers is the caller's part.</returns>
    public IReadOnlyList<PoolDatabase> Apply(PoolerConfiguration configuration)
    {
        foreach (var (name, settings) in configuration.Users)
        {
            var user = _users.GetOrAdd(name, static (_, s) => new PoolUser(s), settings);
            user.Settings = settings;
        }
        foreach (var (name, user) in _users)
            if (!configuration.Users.ContainsKey(name)) user.Settings = new UserSettings { Name = name, IsKnown = false };

        configuration.Databases.TryGetValue("*", out var fallback);
        _fallback = fallback;
        foreach (var (name, settings) in configuration.Databases)
        {
            if (name == "*") continue;
            var database = _databases.GetOrAdd(name, static (_, its) => new PoolDatabase(its.settings, isAuto: false) { HeldWithAll = its.HoldsNew },
                (settings, HoldsNew));
            database.IsAuto = false;
            Replace(database, settings);
        }
        var removed = new List<PoolDatabase>();
        foreach (var (name, database) in _databases)
        {
            if (configuration.Databases.ContainsKey(name)) continue;
            if (!database.IsAuto)
            {
                // Also with a * entry, which the clients then find: it may lead elsewhere.
                database.Removed = true;
                _databases.TryRemove(name, out _);
                removed.Add(database);
            }
            else if (fallback is not null)
            {
                Replace(database, fallback with { Name = name });
            }
        }
        return removed;
    }

    /// <summary>
    /// Makes the pools that have to hold servers although nobody has come yet: those of databases with min_pool_size and a
    /// forced user. Other pools' users are not known before.
    /// </summary>
    public void KeepMinimumPools()
    {
        foreach (var database in _databases.Values)
            if (KeepsMinimum(database)) GetPool(database, AddUser(database.Settings.User!));
    }

    /// <summary>Forgets databases made from <c>*</c> that nobody has used for a while (zero: only provisional ones); returns them.</summary>
    public IEnumerable<PoolDatabase> ForgetUnusedDatabases(TimeSpan idle, long now)
    {
        foreach (var (_, database) in _databases)
        {
            var limit = database.IsProvisional ? ProvisionalLife : idle;
            if (limit <= TimeSpan.Zero) continue;
            if (!database.IsAuto || database.IsHeld || database.ClientCount > 0 || database.ServerCount > 0) continue;
            if (database.UnusedSince == 0) database.UnusedSince = now;
            if (now - database.UnusedSince < limit.Ticks / TimeSpan.TicksPerMicrosecond) continue;
            // Somebody may wait for a server that cannot be logged in to.
            if (_pools.Any(p => p.Key.Item1 == database && !p.Value.IsUnused) || !host.Budget.TryRemoveUnused(database)) continue;
            _databases.TryRemove(new KeyValuePair<string, PoolDatabase>(database.Name, database));
            yield return database;
        }
    }

    /// <summary>
    /// Forgets pools without clients and servers: those of removed databases the next time, others when that has been so for
    /// <paramref name="idle"/> (zero: never). Returns the latter, and for how many microseconds nobody has used them.
    /// </summary>
    public IEnumerable<(Pool Pool, long Idle)> ForgetUnusedPools(TimeSpan idle, long now)
    {
        foreach (var pool in _pools.Values)
        {
            if (!pool.IsUnused)
            {
                pool.UnusedSince = 0;
                continue;
            }
            var since = pool.UnusedSince;
            if (since == 0)
            {
                pool.UnusedSince = now;
                continue;
            }
            if (pool.Database.Removed)
            {
                if (pool.TryForget(since)) Remove(pool);
                continue;
            }
            // A pool that must hold servers is only waiting for them to come back.
            if (idle <= TimeSpan.Zero || now - since < idle.Ticks / TimeSpan.TicksPerMicrosecond || KeepsMinimum(pool.Database)) continue;
            if (!pool.TryForget(since)) continue;
            Remove(pool);
            yield return (pool, now - since);
        }
    }

    private void Remove(Pool pool) =>
        _pools.TryRemove(new KeyValuePair<(PoolDatabase, PoolUser), Pool>((pool.Database, pool.User), pool));

    private bool KeepsMinimum(PoolDatabase database) =>
        database.Settings.User is not null && (database.Settings.MinPoolSize ?? host.Settings.MinPoolSize) > 0;

    private void Replace(PoolDatabase database, DatabaseSettings settings)
    {
        var old = database.Settings;
        database.Settings = settings;
        var sameServer = old.Host == settings.Host && old.Port == settings.Port && old.PortList == settings.PortList
            && old.LoadBalanceHosts == settings.LoadBalanceHosts && old.TargetSessionAttrs == settings.TargetSessionAttrs && old.DbName == settings.DbName
            && old.User == settings.User && old.Password == settings.Password && old.ConnectQuery == settings.ConnectQuery
            && old.AuthDbName == settings.AuthDbName && old.AuthQuery == settings.AuthQuery
            && old.StartupParameters.OrderBy(p => p.Key).SequenceEqual(settings.StartupParameters.OrderBy(p => p.Key));
        if (sameServer) return;
        CloseServers(database, "database configuration changed");
    }

    private void CloseServers(PoolDatabase database, string reason)
    {
        foreach (var pool in _pools.Values)
            if (pool.Database == database) pool.CloseServers(reason, markOthers: true);
    }
}
