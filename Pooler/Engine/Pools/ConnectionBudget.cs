using Pooler.Engine.Configuration;

namespace Pooler.Engine.Pools;

/// <summary>
/// The limits that span pools: max_db_connections, max_user_connections and their client counterparts. Taken on the
/// slow path only (connections opening and closing), under one lock.
/// </summary>
public sealed class ConnectionBudget
{
    private readonly Lock _lock = new();

    /// <summary>Reserves one server connection, unless a limit forbids it.</summary>
    /// <returns>Null when reserved, else which limit stands in the way.</returns>
    internal BudgetLimit? TryReserveServer(PoolDatabase database, PoolUser user, PoolerSettings settings)
    {
        lock (_lock)
        {
            var reached = ReachedByServers(database, user, settings);
            if (reached is not null) return reached;
            database.ServerCount++;
            user.ServerCount++;
            return null;
        }
    }

    /// <summary>Whether <see cref="TryReserveServer"/> would be refused.</summary>
    internal bool IsServerLimitReached(PoolDatabase database, PoolUser user, PoolerSettings settings)
    {
        lock (_lock) return ReachedByServers(database, user, settings) is not null;
    }

    /// <summary>Counts a server connection that there is already, limit or not.</summary>
    internal void AddServer(PoolDatabase database, PoolUser user)
    {
        lock (_lock)
        {
            database.ServerCount++;
            user.ServerCount++;
        }
    }

    /// <summary>Counts a client that is logged in already, limit or not.</summary>
    internal void AddClient(PoolDatabase database, PoolUser user)
    {
        lock (_lock)
        {
            database.ClientCount++;
            user.ClientCount++;
        }
    }

    internal void ReleaseServer(PoolDatabase database, PoolUser user)
    {
        lock (_lock)
        {
            database.ServerCount--;
            user.ServerCount--;
        }
    }

    /// <summary>Counts a client in, unless a limit forbids it.</summary>
    internal BudgetLimit? TryAddClient(PoolDatabase database, PoolUser user, PoolerSettings settings)
    {
        lock (_lock)
        {
            var reached = Reached(
                database.ClientCount, database.Settings.MaxDbClientConnections, settings.MaxDbClientConnections,
                user.ClientCount, user.Settings.MaxUserClientConnections, settings.MaxUserClientConnections);
            if (reached is not null) return reached;
            database.ClientCount++;
            user.ClientCount++;
            return null;
        }
    }

    /// <summary>Counts a client of the console in. Administrators are counted, but never turned away.</summary>
    internal BudgetLimit? AddConsoleClient(PoolDatabase console, PoolUser user, PoolerSettings settings, bool unlimited)
    {
        if (!unlimited) return TryAddClient(console, user, settings);
        lock (_lock)
        {
            console.ClientCount++;
            user.ClientCount++;
            return null;
        }
    }

    internal void RemoveClient(PoolDatabase database, PoolUser user, long now)
    {
        lock (_lock)
        {
            user.ClientCount--;
            if (--database.ClientCount == 0) database.UnusedSince = now;
        }
    }

    /// <summary>
    /// Removes a database made from <c>*</c> if neither client nor server counts in it. A client that is counted in
    /// afterwards finds it <see cref="PoolDatabase.Removed"/>.
    /// </summary>
    internal bool TryRemoveUnused(PoolDatabase database)
    {
        lock (_lock)
        {
            if (!database.IsAuto || database.ClientCount > 0 || database.ServerCount > 0) return false;
            database.Removed = true;
            return true;
        }
    }

    private static BudgetLimit? ReachedByServers(PoolDatabase database, PoolUser user, PoolerSettings settings) => Reached(
        database.ServerCount, database.Settings.MaxDbConnections, settings.MaxDbConnections,
        user.ServerCount, user.Settings.MaxUserConnections, settings.MaxUserConnections);

    // An entry of 0 or less means "as the global setting", as in PgBouncer; a global 0 means no limit.
    private static BudgetLimit? Reached(
        int databaseCount, int? ofDatabase, int ofDatabases, int userCount, int? ofUser, int ofUsers)
    {
        var databaseLimit = ofDatabase is > 0 ? ofDatabase.Value : ofDatabases;
        if (databaseLimit > 0 && databaseCount >= databaseLimit) return BudgetLimit.Database;
        var userLimit = ofUser is > 0 ? ofUser.Value : ofUsers;
        return userLimit > 0 && userCount >= userLimit ? BudgetLimit.User : null;
    }
}

/// <summary>Which of the limits that span pools was reached.</summary>
internal enum BudgetLimit
{
    /// <summary>max_db_connections or max_db_client_connections.</summary>
    Database,

    /// <summary>max_user_connections or max_user_client_connections.</summary>
    User,
}
