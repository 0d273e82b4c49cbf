using System.Globalization;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;

namespace Pooler.Engine.Console;

/// <summary>SHOW POOLS, DATABASES and USERS.</summary>
internal sealed class PoolRows(AdminConsole console)
{
    /// <summary>What PgBouncer gives its console for a pool; nothing here depends on it.</summary>
    private const int ConsolePoolSize = 2;

    private EngineCore Core => console.Core;

    private PoolerSettings Settings => console.Core.Settings;

    public IEnumerable<object?[]> Pools()
    {
        var pools = Core.Directory.Pools.ToDictionary(p => (p.Database.Name, p.User.Name));
        var rows = new List<object?[]>();
        foreach (var snapshot in EngineSnapshot.Take(Core).Pools)
        {
            if (!pools.TryGetValue((snapshot.Database, snapshot.User), out var pool)) continue;
            var cancels = CancelCounts.Of(Core.Cancels.DeliveriesOf(pool));
            rows.Add(
            [
                snapshot.Database, snapshot.User, snapshot.ClientsActive, snapshot.ClientsWaiting,
                cancels.Active, cancels.Waiting, snapshot.ServersActive, cancels.Active, snapshot.ServersBeingCanceled, snapshot.ServersIdle,
                snapshot.ServersUsed, snapshot.ServersTested, snapshot.ServersLogin + cancels.Connecting,
                (int)(snapshot.MaxWait / 1_000_000), (int)(snapshot.MaxWait % 1_000_000),
                Word(pool.Mode), LoadBalance(pool.Database.Settings),
            ]);
        }
        rows.Add(
        [
            EngineCore.ConsoleDatabase, EngineCore.ConsoleDatabase, Core.Consoles.Count(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            Word(PoolMode.Statement), null,
        ]);
        return rows.OrderBy(r => (string)r[0]!, StringComparer.Ordinal).ThenBy(r => (string)r[1]!, StringComparer.Ordinal);
    }

    public IEnumerable<object?[]> Databases() =>
        Core.Directory.Databases.Where(d => d.IsListed).Select(Database).Append(ConsoleDatabase()).OrderBy(r => (string)r[0]!, StringComparer.Ordinal);

    public IEnumerable<object?[]> Users()
    {
        var users = Core.Directory.Users.ToArray();
        var rows = users.Select(User);
        // PgBouncer's console logs in as a user of that name, and shows it.
        if (users.All(u => u.Name != EngineCore.ConsoleDatabase))
            rows = rows.Append([EngineCore.ConsoleDatabase, "", "", null, Settings.MaxUserConnections, 0, Settings.MaxUserClientConnections, 0]);
        return rows.OrderBy(r => (string)r[0]!, StringComparer.Ordinal);
    }

    public static string Word(PoolMode mode) => mode switch
    {
        PoolMode.Session => "session",
        PoolMode.Statement => "statement",
        _ => "transaction",
    };

    private object?[] Database(PoolDatabase database)
    {
        var own = database.Settings;
        var lifetime = own.ServerLifetime is { } set && set > TimeSpan.Zero ? set : Settings.ServerLifetime;
        return
        [
            database.Name, own.Host, own.Port, database.ServerDatabaseName, own.User,
            own.PoolSize ?? Settings.DefaultPoolSize, own.MinPoolSize ?? Settings.MinPoolSize,
            own.ReservePoolSize ?? Settings.ReservePoolSize, (int)lifetime.TotalSeconds,
            own.PoolMode is { } mode ? Word(mode) : null, LoadBalance(own),
            Limit(own.MaxDbConnections, Settings.MaxDbConnections), database.ServerCount,
            Limit(own.MaxDbClientConnections, Settings.MaxDbClientConnections), database.ClientCount,
            database.Paused ? 1 : 0, database.Disabled ? 1 : 0,
        ];
    }

    private object?[] ConsoleDatabase() =>
    [
        EngineCore.ConsoleDatabase, null, Settings.ListenPort, EngineCore.ConsoleDatabase, EngineCore.ConsoleDatabase,
        ConsolePoolSize, 0, 0, (int)Settings.ServerLifetime.TotalSeconds, Word(PoolMode.Statement), null,
        Settings.MaxDbConnections, 0, Settings.MaxDbClientConnections, Core.Directory.Console.ClientCount, 0, 0,
    ];

    private object?[] User(PoolUser user)
    {
        var own = user.Settings;
        return
        [
            user.Name, Size(own.PoolSize), Size(own.ReservePoolSize), own.PoolMode is { } mode ? Word(mode) : null,
            Limit(own.MaxUserConnections, Settings.MaxUserConnections), user.ServerCount,
            Limit(own.MaxUserClientConnections, Settings.MaxUserClientConnections), user.ClientCount,
        ];
    }

    // Text, right-aligned to nine characters, empty when unset: so it is upstream.
    private static string Size(int? size) => size?.ToString(CultureInfo.InvariantCulture).PadLeft(9) ?? "";

    private static int Limit(int? own, int global) => own is > 0 ? own.Value : global;

    // Only of interest, and only shown, where there is more than one host.
    private static string? LoadBalance(DatabaseSettings database) =>
        database.Host?.Contains(',') == true ? database.LoadBalanceHosts ?? "round-robin" : null;
}
