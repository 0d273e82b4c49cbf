using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Advice;

/// <summary>Rules about the clients and how they connect.</summary>
internal static class ClientRules
{
    // Fewer logins than that cost nothing worth a word.
    private const double ManyLogins = 5;

    // A client that stays does hundreds; one that connects per request one to three.
    private const int FewTransactions = 5;

    private const double NearlyFull = 0.85;

    // What an application with little traffic needs none the less: Npgsql's default is ten times as many.
    private const int FewConnections = 10;

    // An application that keeps fewer idle connections is not worth a word when nobody waits.
    private const int ManyConnections = 50;

    public static readonly IReadOnlyList<AdviceRule> All =
    [
        new("connect-per-request", FindLogins)
        {
            Sees = "In most of the last half minute clients logged in more than five times a second, and left after fewer than five transactions on average.",
            Matters = "A login costs several round trips and, with SCRAM, more processor time than a hundred transactions. The pooler keeps server connections open, but only the client can keep its connection to the pooler.",
            Remedy = "Use the driver's own pool (Npgsql: Pooling=true, one NpgsqlDataSource; Django: CONN_MAX_AGE above 0, which is harmless here; JDBC: HikariCP). An idle client costs the pooler about 2 KB.",
        },
        new("client-pools-too-large", FindLargePools)
        {
            Sees = "One application (by application_name) has four times as many connections as the pool has servers (twenty at least). Three quarters of them are idle while clients wait or max_client_conn is nearly reached; or clients wait and the pool is as large as the database can serve. Or, with nobody waiting, it has fifty and more, of which at no look of a quarter of an hour a tenth was at work.",
            Matters = "The application's own pool lets more requests in than can be served, so that they queue here instead of there, where their place in line could be shed or counted; and the connections use up max_client_conn.",
            Remedy = "Make the application's pool (Npgsql's Maximum Pool Size, the number of Gunicorn or Celery workers) no larger than what it keeps at work.",
        },
        new("max-client-conn", FindLimits)
        {
            Sees = "85 % of max_client_conn, max_db_client_connections or max_user_client_connections are in use at three looks in a row, or clients have been refused because of it in the last minute.",
            Matters = "The next clients are refused.",
            Remedy = "Raise the limit: an idle client costs about 2 KB and one file descriptor. Or make the applications' pools smaller.",
            Looks = 3,
        },
        new("idle-clients-closed", FindIdleClosed)
        {
            Sees = "In the last minute ten clients and more were closed for client_idle_timeout, and at least half as many have logged in again.",
            Matters = "Their applications still wanted these connections: a request that finds its connection closed fails (Django's OperationalError after a quiet time), or has to connect anew.",
            Remedy = "Let the application give idle connections up first (Npgsql: Connection Idle Lifetime; Django: CONN_MAX_AGE below client_idle_timeout, with CONN_HEALTH_CHECKS), or raise client_idle_timeout.",
        },
        new("client-logins-failing", FindFailedLogins)
        {
            Sees = "Ten clients and more were turned away in the last minute for a wrong name, password or database.",
            Matters = "An application has settings that cannot work, or somebody tries passwords.",
            Remedy = "The log tells name, address and reason of each. Compare the application's connection string (host, port, user, password, database) with the pooler's configuration.",
        },
        new("prepared-statements", FindEvictions)
        {
            Sees = "A fifth of a pool's uses of prepared statements had to prepare them again, once a second at least, and the clients of all pools together hold more distinct ones than a server connection keeps (max_prepared_statements).",
            Matters = "Each of these uses is parsed and planned as if it had not been prepared, with a round trip on top.",
            Remedy = "Raise max_prepared_statements. When the number of statements grows without end, the application puts values into the text: it should use parameters.",
        },
    ];

    private static IEnumerable<Finding> FindLogins(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            static bool IsSo(Telemetry.PoolInterval i) =>
                i.Counted.Logins >= ManyLogins * i.Length.TotalSeconds && i.Counted.Transactions < i.Counted.Logins * FewTransactions;
            if (!pool.MostlyRecently(IsSo)) continue;
            var now = pool.Now;
            if (now.Counted.Logins < 20 || now.Counted.Transactions >= now.Counted.Logins * FewTransactions) continue;
            var application = pool.Applications.Count > 0 ? $"; most connections of the moment: {pool.Applications[0].Text}" : "";
            yield return new Finding(
                AdviceLevel.Info, "Clients connect for each request: logins dominate.",
                $"{AdviceText.Number(now.PerSecond(now.Counted.Logins))} logins a second for {AdviceText.Number(now.PerSecond(now.Counted.Transactions))} transactions{application}",
                "Let the application keep its connections: its driver's pool (Npgsql: Pooling=true), or persistent connections (Django: CONN_MAX_AGE). Behind this pooler idle ones cost nearly nothing.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
            };
        }
    }

    private static IEnumerable<Finding> FindLargePools(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (pool.Capacity == int.MaxValue) continue;
            var limit = input.ClientLimits.FirstOrDefault(l => IsNear(l) && (l.Database.Length == 0 || l.Database == pool.State.Database) && (l.User.Length == 0 || l.User == pool.State.User));
            var isPressed = pool.IsPressed && !HolderRules.AreLong(input, pool);
            var cannotGrow = isPressed && SizeRules.IsAtItsLimit(input, pool);
            foreach (var application in pool.Applications)
            {
                var suggested = Math.Max(Math.Min(application.MostWorking, pool.Capacity), Math.Min(pool.Capacity, FewConnections));
                if (limit is null && !isPressed)
                {
                    if (IsHardlyUsed(application)) yield return HardlyUsed(input, pool, application);
                    continue;
                }
                if (application.Connections < Math.Max(20, pool.Capacity * 4L)) continue;
                // Connections with work to do are not too many while the pool can still grow.
                if (!cannotGrow && application.MostWorking * 4 > application.Connections) continue;
                yield return new Finding(
                    AdviceLevel.Info,
                    $"{application.Text} has {application.Connections} connections to a pool of {pool.Capacity} servers: its own pool is the larger one.",
                    $"at most {application.MostWorking} of them had work in the last {AdviceText.Time(input.Periods(12))}"
                    + (limit is null ? $"; {AdviceText.Count(pool.State.ClientsWaiting, "client waits", "clients wait")}" : $"; {limit.Count} of {limit.Setting.Name} = {limit.Setting.Text} are used"),
                    "Make the application's own pool smaller (Npgsql: Maximum Pool Size; fewer workers or threads elsewhere).")
                {
                    Database = pool.State.Database,
                    User = pool.State.User,
                    Subject = application.Name,
                    Setting = "the application's pool size (Maximum Pool Size)",
                    Current = $"{application.Connections} or more",
                    Suggested = AdviceText.Number(suggested),
                };
            }
        }
    }

    private static bool IsHardlyUsed(ApplicationView application) =>
        application.Connections >= ManyConnections && application.MostWorkingOfLong is { } most && most * 10 < application.Connections;

    private static Finding HardlyUsed(AdviceInput input, PoolView pool, ApplicationView application)
    {
        var most = application.MostWorkingOfLong ?? 0;
        return new Finding(
            AdviceLevel.Info,
            $"{application.Text} keeps {application.Connections} connections and hardly uses them: its own pool is larger than its traffic needs.",
            $"at most {most} of them had work at any look of the last {AdviceText.Time(input.Periods(180))}",
            "Make the application's own pool smaller (Npgsql: Maximum Pool Size, and Minimum Pool Size and Connection Idle Lifetime; fewer workers or threads elsewhere). Nobody waits: there is no hurry.")
        {
            Database = pool.State.Database,
            User = pool.State.User,
            Subject = application.Name,
            Setting = "the application's pool size (Maximum Pool Size)",
            Current = $"{application.Connections} or more",
            Suggested = AdviceText.Number(Math.Max(most, Math.Min(pool.Capacity, FewConnections))),
        };
    }

    private static IEnumerable<Finding> FindLimits(AdviceInput input)
    {
        var refused = input.FailedLogins.GetValueOrDefault(LoginRefusal.ConnectionLimit);
        var near = input.ClientLimits.Where(IsNear).ToArray();
        // Which limit the refusals are due to is not told. When none is near any more it was a burst, most likely at what is nearest.
        if (near.Length == 0 && refused > 0)
            near = [.. input.ClientLimits.Where(l => l.Setting.Value > 0).OrderByDescending(l => l.Count / l.Setting.Value).Take(1)];
        foreach (var limit in near)
        {
            var wanted = Math.Max(limit.Setting.Value * 1.5, limit.Count * 1.5);
            var step = wanted < 100 ? 10 : 100;
            yield return new Finding(
                AdviceLevel.Warning,
                $"{limit.Count} of {limit.Setting.Text} client connections are in use{(refused > 0 ? ", and clients have been refused" : "")}.",
                $"{limit.Setting.Name} = {limit.Setting.Text}, in use {limit.Count} ({AdviceText.Percent(limit.Count / limit.Setting.Value)}){(refused > 0 ? $"; {refused} refused in the last {AdviceText.Time(input.Periods(12))}" : "")}",
                $"Raise {limit.Setting.Name} (an idle client costs about 2 KB; see that the process may open as many files), or make the applications' pools smaller.")
            {
                Database = limit.Database,
                User = limit.User,
                Setting = limit.Setting.Name,
                Current = limit.Setting.Text,
                Suggested = AdviceText.Number(Math.Ceiling(wanted / step) * step),
            };
        }
    }

    private static bool IsNear(ClientLimit limit) => limit.Setting.Value > 0 && limit.Count >= limit.Setting.Value * NearlyFull;

    private static IEnumerable<Finding> FindIdleClosed(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var closed = pool.Events.IdleClientsClosed;
            var back = Figures.Of(pool.Last(12)).Counted.Logins;
            if (closed < 10 || back * 2 < closed) continue;
            var timeout = input.Configuration.Users.GetValueOrDefault(pool.State.User)?.ClientIdleTimeout is { } own
                ? new SettingView($"client_idle_timeout of user {pool.State.User}", own.TotalSeconds)
                : new SettingView("client_idle_timeout", input.Settings.ClientIdleTimeout.TotalSeconds);
            yield return new Finding(
                AdviceLevel.Info, "Applications lose connections to client_idle_timeout that they still want.",
                $"{closed} closed and {back} logins in the last {AdviceText.Time(input.Periods(12))}; {timeout.Name} = {timeout.Text}",
                "Let applications close idle connections first (Npgsql: Connection Idle Lifetime; Django: CONN_MAX_AGE below it), or raise it.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = timeout.Name,
                Current = timeout.Text,
                Suggested = AdviceText.Number(timeout.Value * 2),
            };
        }
    }

    private static IEnumerable<Finding> FindFailedLogins(AdviceInput input)
    {
        foreach (var (reason, what) in new[] { (LoginRefusal.Authentication, "a name or password that is not accepted"), (LoginRefusal.UnknownDatabase, "a database that is not configured") })
        {
            var failed = input.FailedLogins.GetValueOrDefault(reason);
            if (failed < 10) continue;
            var let = input.Pools.Sum(p => Figures.Of(p.Last(12)).Counted.Logins);
            yield return new Finding(
                failed >= let ? AdviceLevel.Warning : AdviceLevel.Info, $"Clients are turned away for {what}.",
                $"{failed} turned away and {let} let in within the last {AdviceText.Time(input.Periods(12))}",
                "The log tells who and from where; compare the application's connection string with the pooler's configuration.")
            {
                Subject = reason.ToString(),
            };
        }
    }

    private static IEnumerable<Finding> FindEvictions(AdviceInput input)
    {
        var most = input.Settings.MaxPreparedStatements;
        if (most == 0 || input.PreparedStatements <= most) yield break;
        foreach (var pool in input.Pools)
        {
            var now = pool.Now;
            var (parses, binds) = (now.Counted.ServerParses, now.Counted.Binds);
            if (parses * 5 < binds || now.PerSecond(parses) < 1 || parses < 50) continue;
            var wanted = Math.Ceiling(input.PreparedStatements * 1.25 / 100) * 100;
            var grows = wanted > MostStatements;
            // Of all pools together, as nobody counts them by pool: no more than twice what there is, then it looks again.
            wanted = Math.Min(wanted, Math.Max(100, most * 2));
            yield return new Finding(
                AdviceLevel.Info, "Prepared statements are dropped from server connections before they are used again.",
                $"{parses} of {binds} uses had to prepare theirs in the last {AdviceText.Time(now.Time)}; clients of all pools together hold {input.PreparedStatements} distinct statements",
                grows ? "So many come of values that are put into the SQL text: use parameters." : "Raise max_prepared_statements; each costs PostgreSQL some kilobytes per server connection.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = grows ? "" : "max_prepared_statements",
                Current = grows ? "" : AdviceText.Number(most),
                Suggested = grows ? "" : AdviceText.Number(wanted),
            };
        }
    }

    // No program is written with so many.
    private const int MostStatements = 5_000;
}
