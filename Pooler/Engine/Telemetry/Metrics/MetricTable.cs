using Pooler.Engine.Advice;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;
using static Pooler.Engine.Telemetry.Metrics.Metric;
using static Pooler.Engine.Telemetry.Metrics.MetricKind;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>
/// All metrics, each declared once: the meter, <c>/metrics</c> and docs/metrics.md come from this table. Names follow
/// OpenTelemetry's semantic conventions for connection pools of database clients where they fit (the pooler is a client of
/// PostgreSQL), and are <c>pooler.*</c> elsewhere. What concerns traffic is counted by the pools per loop and only read
/// here.
/// </summary>
internal static class MetricTable
{
    private static readonly MetricLabel State = new("db.client.connection.state", "state");
    private static readonly MetricLabel ClientState = new("pooler.client.state", "state", ["linked", "idle", "waiting"]);
    private static readonly MetricLabel Pin = new("pooler.pin.reason", "reason");
    private static readonly MetricLabel Failure = new("error.type", "reason");
    private static readonly MetricLabel Closing = new("pooler.server.close.reason", "reason");
    private static readonly MetricLabel Timeout = new("pooler.timeout.kind", "kind");
    private static readonly MetricLabel Result = new("pooler.cancel.result", "result");
    private static readonly MetricLabel Database = new("pooler.database", "database");
    private static readonly MetricLabel User = new("pooler.user", "user");
    private static readonly MetricLabel Loop = new("pooler.loop", "loop");
    private static readonly MetricLabel Namespace = new("db.namespace", "database");
    private static readonly MetricLabel Host = new("pooler.host.name", "host");
    private static readonly MetricLabel Address = new("server.address", "address");
    private static readonly MetricLabel Port = new("server.port", "port");
    private static readonly MetricLabel HostState = new("pooler.host.state", "state", ["untried", "up", "down", "unfit"]);
    private static readonly MetricLabel Role = new("pooler.host.role", "role", ["primary", "standby", "unknown"]);

    private static readonly MetricLabel Rule = new("pooler.advice.rule", "rule", [.. AdviceRules.All.Select(r => r.Name)]);
    private static readonly MetricLabel Level = new("pooler.advice.level", "level", ["warning", "info"]);

    /// <summary>In the order of the documentation.</summary>
    public static readonly IReadOnlyList<Metric> All =
    [
        PerPool(Define("db.client.connection.count", UpDownCounter, "{connection}",
                "Server connections: used by a client, idle, unchecked (idle for longer than server_check_delay), testing (a check or reset query), login (connecting or logging in), canceling (kept back until a cancel request has arrived).",
                "pooler_server_connections"),
            State with { Values = ["used", "idle", "unchecked", "testing", "login", "canceling"] },
            static (_, p) =>
            [
                ("used", p.ServersActive), ("idle", p.ServersIdle), ("unchecked", p.ServersUsed), ("testing", p.ServersTested),
                ("login", p.ServersLogin), ("canceling", p.ServersBeingCanceled),
            ]),
        PerPool(Define("db.client.connection.max", UpDownCounter, "{connection}", "Server connections allowed (pool_size); 0 is no limit.", "pooler_server_connections_max"),
            static (_, p) => p.Size),
        PerPool(Define("pooler.server.connections.min", UpDownCounter, "{connection}", "Server connections kept open (min_pool_size)."), static (pool, _) => pool.MinSize),
        PerPool(Define("pooler.server.connections.reserve", UpDownCounter, "{connection}", "Server connections allowed beyond that once a client has waited for reserve_pool_timeout."),
            static (_, p) => p.Reserve),
        PerPool(Define("pooler.pool.paused", Gauge, "1", "1 while no server is given out (PAUSE, KILL), else 0."), static (_, p) => p.IsHeld ? 1 : 0),
        PerPool(Define("pooler.client.connections", UpDownCounter, "{connection}",
                "Client connections: linked to a server, idle without one, or waiting for one, be it at login."),
            ClientState,
            static (_, p) => [("linked", p.ClientsActive - p.ClientsIdle), ("idle", p.ClientsIdle), ("waiting", p.ClientsWaiting)]),
        PerPool(Define("db.client.connection.pending_requests", UpDownCounter, "{request}", "Clients waiting for a server connection.", OnlyOtlp),
            static (_, p) => p.ClientsWaiting),
        PerPool(Define("pooler.wait.oldest", Gauge, "s", "How long the client that waits longest has waited."), static (_, p) => p.MaxWait / 1e6),

        PerPool(Define("pooler.pins", UpDownCounter, "{connection}", "Clients that keep a server connection beyond a transaction, by what makes them."),
            Pin with { Values = [.. PinReasons.All.Select(LabelOf)] },
            static (pool, _) => Pins(pool)),

        Times(Define("db.client.connection.wait_time", Histogram, "s", "How long clients waited for a server connection that they got, 0 for those that had not to wait.", "pooler_wait_duration_seconds"),
            static (_, p) => p.Waits),
        Times(Define("pooler.query.duration", Histogram, "s", "How long queries (simple) and batches (extended) took."), static (_, p) => p.Queries),
        Times(Define("pooler.transaction.duration", Histogram, "s", "How long transactions took."), static (_, p) => p.Transactions),
        Times(Define("db.client.connection.create_time", Histogram, "s", "How long it took to open a server connection and log in, of those that succeeded.", "pooler_server_connect_duration_seconds"),
            static (pool, _) => pool.ConnectTimes),

        Traffic("pooler.transactions", "{transaction}", "Transactions ended.", static t => t.Transactions),
        Traffic("pooler.queries", "{query}", "Queries (simple) and batches (extended) ended.", static t => t.Queries),
        Traffic("pooler.client.received", "By", "Bytes from clients.", static t => t.BytesReceived),
        Traffic("pooler.client.sent", "By", "Bytes to clients.", static t => t.BytesSent),
        Traffic("pooler.client.logins", "{login}", "Clients let in.", static t => t.Logins),
        Traffic("pooler.server.assignments", "{assignment}", "Times a client was given a server connection.", static t => t.ServerAssignments),
        Traffic("pooler.statements.client_parses", "{statement}", "Named statements prepared by clients.", static t => t.ClientParses),
        Traffic("pooler.statements.binds", "{statement}", "Named statements bound by clients.", static t => t.Binds),
        Traffic("pooler.statements.server_parses", "{statement}", "Named statements prepared on server connections, which did not have them.", static t => t.ServerParses),
        PerPool(Define("pooler.statements.cache_hits", Counter, "{statement}", "Times a client's named statement was on the server connection already."),
            static (pool, _) => pool.StatementHits),
        Of(Define("pooler.statements.known", UpDownCounter, "{statement}", "Distinct prepared statements known."), static r => r.Core.Statements.Count),

        PerPool(Define("pooler.server.connect.failures", Counter, "{failure}", "Server connections that could not be had, of all hosts of the database."), Failure,
            static e => e.ConnectFailures),
        PerPool(Define("pooler.server.closings", Counter, "{connection}", "Server connections closed that had been logged in."), Closing, static e => e.Closings),
        new Metric(
            Define("pooler.timeouts", Counter, "{timeout}", "Clients whose request, or who themselves, were ended by a timeout; client_login_timeout has no pool.") with
            {
                Labels = [.. OfPool, Timeout with { Values = [.. EventCounts<TimeoutKind>.Kinds.Select(k => k.Name)] }],
            }, Timeouts),
        PerPool(Define("db.client.connection.timeouts", Counter, "{timeout}", "Clients that gave up waiting for a server connection (query_wait_timeout).", OnlyOtlp),
            static (pool, _) => pool.Events.Timeouts[TimeoutKind.QueryWaitTimeout]),
        Counts(Define("pooler.client.login.failures", Counter, "{failure}", "Clients that were not let in. Whoever connects and says nothing is not counted."), Failure,
            static e => e.LoginRefusals),
        Counts(Define("pooler.cancel.requests", Counter, "{request}", "Cancel requests received, by what became of them."), Result, static e => e.Cancels),

        Of(Define("pooler.clients", UpDownCounter, "{connection}", "Client connections of all pools and the console, with those that log in."), static r => r.Core.ClientCount),
        Of(Define("pooler.clients.max", UpDownCounter, "{connection}", "Client connections allowed (max_client_conn)."), static r => r.Core.Settings.MaxClientConn),
        Of(Define("pooler.servers", UpDownCounter, "{connection}", "Server connections of all pools, open or opening."), static r => r.Core.Directory.Databases.Sum(d => d.ServerCount)),
        PerDatabase("pooler.database.servers", "Server connections of the database's pools.", static (d, _) => d.ServerCount),
        PerDatabase("pooler.database.servers.max", "Server connections allowed for the database (max_db_connections); missing without a limit.",
            static (d, c) => LimitOf(d.Settings.MaxDbConnections, c.Settings.MaxDbConnections)),
        PerDatabase("pooler.database.clients", "Clients of the database.", static (d, _) => d.ClientCount),
        PerDatabase("pooler.database.clients.max", "Clients allowed for the database (max_db_client_connections); missing without a limit.",
            static (d, c) => LimitOf(d.Settings.MaxDbClientConnections, c.Settings.MaxDbClientConnections)),
        PerUser("pooler.user.servers", "Server connections that are logged in as the user.", static (u, _) => u.ServerCount),
        PerUser("pooler.user.servers.max", "Server connections allowed for the user (max_user_connections); missing without a limit.",
            static (u, c) => LimitOf(u.Settings.MaxUserConnections, c.Settings.MaxUserConnections)),
        PerUser("pooler.user.clients", "Clients logged in as the user.", static (u, _) => u.ClientCount),
        PerUser("pooler.user.clients.max", "Clients allowed for the user (max_user_client_connections); missing without a limit.",
            static (u, c) => LimitOf(u.Settings.MaxUserClientConnections, c.Settings.MaxUserClientConnections)),

        new Metric(
            Define("pooler.host.up", Gauge, "1", "1 for each address of a database's hosts that can be used, 0 for one that is down or does not fit.") with
            {
                Labels = [Namespace, Host, Address, Port, HostState, Role],
            },
            static r => r.Hosts.Select(h => Sample(h.IsUsable ? 1 : 0,
                new(Namespace, h.Database), new(Host, h.Host), new(Address, h.Address ?? h.Host), new(Port, $"{h.Port}"), new(HostState, h.State), new(Role, h.Role ?? "unknown")))),

        new Metric(
            Define("pooler.advice", Gauge, "1", "How many pieces of advice there are, see advice.md; empty labels stand for all databases and users.") with
            {
                Labels = [Rule, Level, Database, User],
            },
            static r => r.Core.Advice().CountBy(a => (a.Rule, a.Level, a.Database, a.User)).Select(a => Sample(
                a.Value, new(Rule, a.Key.Rule), new(Level, a.Key.Level), new(Database, a.Key.Database), new(User, a.Key.User)))),

        new Metric(
            Define("pooler.loop.busy", Counter, "s", "Time an event loop spent on work rather than waiting for it; near 1 a second there is no more to be had of it.") with { Labels = [Loop] },
            static r => r.Core.Loops.Select(l => Sample(l.BusyTime / 1e6, new KeyValuePair<MetricLabel, string>(Loop, $"{l.Index}")))),
        new Metric(
            Define("pooler.loop.lag", Histogram, "s", "How late an event loop's timers run, several times a second: what else is ready had to wait as long.") with { Labels = [Loop] },
            static r => r.Core.Loops.Select(l =>
            {
                var lag = TimeDistribution.Of([l.Lag], zeros: 0);
                return new MetricSample([new(Loop, $"{l.Index}")], lag.Sum / 1e6, lag) { Source = l };
            })),

        // System.Runtime's meter exports these by itself.
        Of(Define(null, Counter, "By", "Managed memory allocated since the start; does not grow with transactions once warmed up.", "pooler_allocated_bytes_total"),
            static _ => GC.GetTotalAllocatedBytes()),
        Of(Define(null, Counter, "s", "Processor time of the process.", "process_cpu_seconds_total"), static _ => Environment.CpuUsage.TotalTime.TotalSeconds),
        Of(Define(null, Gauge, "By", "Memory of the process that is in the machine's.", "process_resident_memory_bytes"), static _ => Environment.WorkingSet),
        Of(Define(null, Gauge, "s", "When the engine started, since the epoch.", "process_start_time_seconds"), static r => r.Core.StartedAt.ToUnixTimeMilliseconds() / 1000.0),
    ];

    private const string OnlyOtlp = "";

    private static MetricDefinition Define(string? name, MetricKind kind, string unit, string description, string? prometheusName = null) => new(
        name, prometheusName is OnlyOtlp ? null : prometheusName ?? MetricDefinition.PrometheusNameOf(name!, unit, kind), kind, unit, description, []);

    private static Metric Traffic(string name, string unit, string description, Func<PoolTotals, long> value) =>
        PerPool(Define(name, Counter, unit, description), (_, p) => value(p.Totals));

    private static IEnumerable<(string Reason, double Clients)> Pins(Pool pool)
    {
        var pins = pool.Servers.Cast<ServerSession>().Select(s => s.Client?.Pin).OfType<string>().CountBy(p => p).ToDictionary();
        return PinReasons.All.Select(reason => (LabelOf(reason), (double)pins.GetValueOrDefault(reason)));
    }

    // As all other labels are written; SHOW HELD_SERVERS has words.
    private static string LabelOf(string pinReason) => pinReason.Replace(' ', '_').ToLowerInvariant();

    private static IEnumerable<MetricSample> Timeouts(MetricReading reading)
    {
        foreach (var (kind, name) in EventCounts<TimeoutKind>.Kinds)
        {
            var by = new KeyValuePair<MetricLabel, string>(Timeout, name);
            if (kind == TimeoutKind.ClientLoginTimeout)
            {
                yield return Sample(reading.Core.Events.Timeouts[kind], by);
                continue;
            }
            foreach (var (pool, _) in reading.Pools) yield return new MetricSample(Labels(pool, by), pool.Events.Timeouts[kind]);
        }
    }

    // An entry of 0 or less means "as the global setting"; a global 0 means no limit.
    private static double? LimitOf(int? own, int global) => own is > 0 ? own : global > 0 ? global : null;

    /// <summary>Of each database that SHOW DATABASES has.</summary>
    private static Metric PerDatabase(string name, string description, Func<PoolDatabase, EngineCore, double?> value) => new(
        Define(name, UpDownCounter, "{connection}", description) with { Labels = [Database] },
        r => from database in r.Core.Directory.Databases
             where database.IsListed
             let count = value(database, r.Core)
             where count is not null
             select Sample(count.Value, new KeyValuePair<MetricLabel, string>(Database, database.Name)));

    /// <summary>Of each user that has connections now: the others may be thousands.</summary>
    private static Metric PerUser(string name, string description, Func<PoolUser, EngineCore, double?> value) => new(
        Define(name, UpDownCounter, "{connection}", description) with { Labels = [User] },
        r => from user in r.Core.Directory.Users
             where user.ServerCount > 0 || user.ClientCount > 0
             let count = value(user, r.Core)
             where count is not null
             select Sample(count.Value, new KeyValuePair<MetricLabel, string>(User, user.Name)));
}
