namespace Pooler.Engine.Configuration;

/// <summary>How many connections the pools of a configuration may come to hold on one server.</summary>
/// <param name="Host">As the entries of <c>[databases]</c> have it, a list of hosts included; null is the local socket.</param>
/// <param name="Port">Port of the server.</param>
/// <param name="Connections">The sum of the pool sizes within the limits; null when nothing limits them.</param>
/// <param name="IsAtLeast">Whether there can be users or databases that the configuration does not name.</param>
/// <param name="Databases">The entries that lead there.</param>
public sealed record ConnectionDemand(
    string? Host, int Port, int? Connections, bool IsAtLeast, IReadOnlyList<DatabaseSettings> Databases)
{
    /// <summary>The server as people write it.</summary>
    public string Server => $"{Host ?? "local socket"}:{Port}";

    /// <summary>The demand on each server that the configuration names.</summary>
    public static IReadOnlyList<ConnectionDemand> Of(PoolerConfiguration configuration) =>
    [
        .. configuration.Databases.Values.GroupBy(d => (d.Host, d.Port))
            .Select(group => Of(configuration, group.Key.Host, group.Key.Port, [.. group.OrderBy(d => d.Name, StringComparer.Ordinal)])),
    ];

    private static ConnectionDemand Of(PoolerConfiguration configuration, string? host, int port, DatabaseSettings[] databases)
    {
        var settings = configuration.Settings;
        var known = configuration.Users.Values.ToArray();
        var byUser = new Dictionary<string, long>();
        var ofDatabases = 0L;
        foreach (var database in databases)
        {
            var sum = 0L;
            foreach (var user in UsersOf(database, configuration, known))
            {
                var size = PoolSize(settings, database, user);
                sum += size;
                byUser[user.Name] = byUser.GetValueOrDefault(user.Name) + size;
            }
            ofDatabases += Within(sum, database.MaxDbConnections, settings.MaxDbConnections);
        }

        // Both limits hold, so the smaller sum does.
        var ofUsers = byUser.Sum(u => Within(u.Value, configuration.Users.GetValueOrDefault(u.Key)?.MaxUserConnections, settings.MaxUserConnections));
        var connections = Math.Min(ofDatabases, ofUsers);
        var more = databases.Any(d => d.Name == "*" || (d.User is null && (known.Length == 0 || settings.AuthUser is not null || d.AuthUser is not null)));
        return new ConnectionDemand(host, port, connections >= Unlimited ? null : (int)connections, more, databases);
    }

    // Far beyond any server, and small enough to be added up.
    private const long Unlimited = 1_000_000_000;

    private static IEnumerable<UserSettings> UsersOf(DatabaseSettings database, PoolerConfiguration configuration, UserSettings[] known)
    {
        if (database.User is { } forced) return [configuration.Users.GetValueOrDefault(forced) ?? new UserSettings { Name = forced }];
        // Nobody by name: whoever comes, it is one at least.
        return known.Length > 0 ? known : [new UserSettings { Name = "" }];
    }

    private static long PoolSize(PoolerSettings settings, DatabaseSettings database, UserSettings user)
    {
        var size = user.PoolSize ?? database.PoolSize ?? settings.DefaultPoolSize;
        return size == 0 ? Unlimited : (long)size + (user.ReservePoolSize ?? database.ReservePoolSize ?? settings.ReservePoolSize);
    }

    private static long Within(long count, int? own, int global)
    {
        var limit = own is > 0 ? own.Value : global;
        return limit > 0 ? Math.Min(count, limit) : count;
    }
}
