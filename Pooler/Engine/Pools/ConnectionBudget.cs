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
            var databaseLimit = Limit(database.Settings.MaxDbConnections, settings.MaxDbConnections);
            if (databaseLimit > 0 && database.ServerCount >= databaseLimit) return BudgetLimit.Database;
            var userLimit = Limit(user.Settings.MaxUserConnections, settings.MaxUserConnections);
            if (userLimit > 0 && user.ServerCount >= userLimit) return BudgetLimit.User;
            database.ServerCount++;
            user.ServerCount++;
            return null;
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
            var databaseLimit = Limit(database.Settings.MaxDbClientConnections, settings.MaxDbClientConnections);
            if (databaseLimit > 0 && database.ClientCount >= databaseLimit) return BudgetLimit.Database;
            var userLimit = Limit(user.Settings.MaxUserClientConnections, settings.MaxUserClientConnections);
            if (userLimit > 0 && user.ClientCount >= userLimit) return BudgetLimit.User;
            database.ClientCount++;
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

    // An entry of 0 or less means "as the global setting", as in PgBouncer.
    private static int Limit(int? own, int global) => own is > 0 ? own.Value : global;
}

/// <summary>Which of the limits that span pools was reached.</summary>
internal enum BudgetLimit
{
    /// <summary>max_db_connections or max_db_client_connections.</summary>
    Database,

    /// <summary>max_user_connections or max_user_client_connections.</summary>
    User,
}
