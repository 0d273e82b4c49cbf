using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Advice;

/// <summary>Rules about the PostgreSQL servers and the connections to them.</summary>
internal static class ServerRules
{
    // From here on the next program that connects may be the one too many.
    private const double NearlyFull = 0.85;

    public static readonly IReadOnlyList<AdviceRule> All =
    [
        new("server-logins-failing", FindFailing)
        {
            Sees = "The last login of a pool's servers has failed, and so has no login since.",
            Matters = "With no server left clients get the error; with some left the pool is smaller than it should be.",
            Remedy = "Depends on the error, which is told with it: a wrong password or database is corrected in the configuration; at max_connections look who else is connected, and lower pool sizes; an unreachable server needs help itself.",
            Looks = 2,
        },
        new("host-down", FindHostsDown)
        {
            Sees = "One of several hosts of a database is down, for longer than an interval (5 s).",
            Matters = "The others carry its load, and there is one less to fail over to.",
            Remedy = "Bring it back, or take it out of host=.",
            Looks = 2,
        },
        new("max-connections", FindOverMax)
        {
            Sees = "The pools together may open more than 70 % of a server's max_connections.",
            Matters = "The rest is needed by whoever does not come through the pooler: migrations, backups, replication, administrators. Beyond 100 % clients get PostgreSQL's \"sorry, too many clients already\".",
            Remedy = "Bound each database by max_db_connections (its own goes before the global one), make pools smaller, or raise max_connections in PostgreSQL. It is a warning while 70 % are in use indeed.",
        },
        new("server-nearly-full", FindNearlyFull)
        {
            Sees = "85 % of a server's max_connections are in use, most of them not by this pooler.",
            Matters = "Somebody connects past the pooler. Soon the pooler's own logins will be refused.",
            Remedy = "SELECT usename, application_name, client_addr, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 tells who; point them at the pooler.",
        },
        new("server-lifetime", FindLifetime)
        {
            Sees = "A quarter of a pool's servers (three at least) were closed for server_lifetime within one interval (5 s), or half of them within a minute.",
            Matters = "Clients wait for new logins, and what PostgreSQL had cached per connection is lost, again and again.",
            Remedy = "Raise server_lifetime: an hour is usual. The pooler spreads the ends over the lifetime where the pool has a size.",
        },
    ];

    private static IEnumerable<Finding> FindFailing(AdviceInput input)
    {
        foreach (var failing in input.Pools.Where(p => p.Trouble is not null).GroupBy(p => (p.Server.Name, p.Trouble!.SqlState)))
        {
            var pools = failing.ToArray();
            var (state, trouble) = (pools[0].State, pools.MinBy(p => p.Trouble!.Age)!.Trouble!);
            var waiting = pools.Sum(p => p.State.ClientsWaiting);
            var left = pools.Sum(p => p.State.Servers - p.State.ServersLogin);
            yield return new Finding(
                AdviceLevel.Warning,
                $"Server connections cannot be opened at {failing.Key.Name}: {trouble.Message}",
                $"last tried {AdviceText.Time(trouble.Age)} ago; {AdviceText.Count(left, "server connection is", "server connections are")} left, {AdviceText.Count(waiting, "client waits", "clients wait")}"
                + (pools.Length > 1 ? $"; pools {string.Join(", ", pools.Take(5).Select(p => $"{p.State.Database}/{p.State.User}"))}{(pools.Length > 5 ? " …" : "")}" : ""),
                RemedyFor(trouble.SqlState))
            {
                Database = pools.Length == 1 ? state.Database : "",
                User = pools.Length == 1 ? state.User : "",
                Subject = $"{failing.Key.Name} {trouble.SqlState}",
            };
        }
    }

    private static string RemedyFor(string sqlState) => sqlState switch
    {
        SqlState.TooManyConnections => "See who is connected (pg_stat_activity by application_name): what does not need a connection of its own should come through the pooler; then compare the pool sizes with max_connections.",
        SqlState.InvalidPassword or SqlState.InvalidAuthorization => "Compare user and password with auth_file, [users], the database's entry or DATABASES_PASSWORD, and with the server's pg_hba.conf.",
        SqlState.InvalidCatalogName => "Compare dbname in [databases] (DATABASES_DBNAME) with the databases of the server.",
        SqlState.ConnectionFailure => "See whether the server runs and can be reached from here: host and port in [databases], firewall, server_tls_sslmode.",
        SqlState.CannotConnectNow or SqlState.AdminShutdown => "The server starts or stops; clients wait until it is there.",
        _ => "The error says what the server has against it.",
    };

    private static IEnumerable<Finding> FindHostsDown(AdviceInput input)
    {
        foreach (var database in input.Hosts.GroupBy(h => h.Database))
        {
            // With a single one it is the logins that fail.
            if (database.Count() < 2) continue;
            foreach (var host in database)
            {
                if (host.State != "down" || host.Since is not { } since || input.Now - since < input.Period) continue;
                var address = host.Address is { } ip && ip != host.Host ? $"{host.Host} ({ip})" : host.Host;
                yield return new Finding(
                    AdviceLevel.Warning, $"Host {address}:{host.Port} is down; {AdviceText.Count(database.Count(h => h.IsUsable), "other can", "others can")} be used.",
                    $"down for {AdviceText.Time(input.Now - since)}: {host.LastError ?? "no answer"}", "Bring it back, or take it out of host=.")
                {
                    Database = host.Database,
                    Subject = $"{host.Host} {host.Address} {host.Port}",
                };
            }
        }
    }

    private static IEnumerable<Finding> FindOverMax(AdviceInput input)
    {
        foreach (var server in input.Servers)
        {
            if (server.MaxConnections is not { } max) continue;
            var most = (int)(max * ConfigurationAdvice.MostOfServer);
            if (server.Demand is { } demand && demand <= most) continue;
            var share = Math.Max(1, most / Math.Max(1, server.Databases));
            // The global limit is of those databases only that have none of their own.
            var limit = server.OwnLimits.Count >= server.Databases
                ? server.OwnLimits.MaxBy(l => l.Value)!
                : new SettingView("max_db_connections", input.Settings.MaxDbConnections);
            yield return new Finding(
                (server.Demand is null || server.Demand > max) && server.Connections >= most ? AdviceLevel.Warning : AdviceLevel.Info,
                $"The pools may open {(server.Demand is { } number ? AdviceText.Number(number) : "any number of")} server connections at {server.Name}, more than {AdviceText.Percent(ConfigurationAdvice.MostOfServer)} of its max_connections.",
                $"max_connections = {max}{(server.Connections is { } used ? $", {used} in use" : "")}; {AdviceText.Count(server.Databases, "database", "databases")}; {server.Ours} open by this pooler now",
                $"Bound each database by max_db_connections{(server.OwnLimits.Count > 0 ? " (those with one of their own by that)" : "")}, lower the pools' sizes, or raise max_connections of the server.")
            {
                Subject = server.Name,
                Setting = limit.Name,
                Current = limit.Text,
                Suggested = AdviceText.Number(share),
            };
        }
    }

    private static IEnumerable<Finding> FindNearlyFull(AdviceInput input)
    {
        foreach (var server in input.Servers)
        {
            if (server.MaxConnections is not { } max || server.Connections is not { } used || used < max * NearlyFull || server.Ours * 2 >= used) continue;
            yield return new Finding(
                AdviceLevel.Warning, $"{used} of {max} connections of {server.Name} are in use, {used - server.Ours} of them not by this pooler.",
                $"max_connections = {max}, in use {used}, by this pooler {server.Ours}",
                "Find out who connects past the pooler: SELECT usename, application_name, client_addr, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC.")
            {
                Subject = server.Name,
            };
        }
    }

    private static IEnumerable<Finding> FindLifetime(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var ends = pool.Events.LifetimeEnds;
            if (ends.Count == 0) continue;
            var size = Math.Max(1, pool.State.Size > 0 ? pool.State.Size : pool.State.Servers);
            var (most, sum) = (ends.Max(), ends.Sum());
            if (most < Math.Max(3, size * 0.25) && sum < Math.Max(3, size * 0.5)) continue;
            var longer = pool.ServerLifetime.Value >= 3600 ? pool.ServerLifetime.Value * 2 : 3600;
            yield return new Finding(
                AdviceLevel.Info, "Server connections are replaced in bursts because of server_lifetime.",
                $"{sum} of {pool.State.Servers} in the last {AdviceText.Time(input.Periods(ends.Count))}, {most} of them within {AdviceText.Time(input.Period)}",
                $"Raise {pool.ServerLifetime.Name}.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = pool.ServerLifetime.Name,
                Current = pool.ServerLifetime.Text,
                Suggested = AdviceText.Number(longer),
            };
        }
    }
}
