using System.Globalization;
using Pooler.Engine;
using Pooler.Engine.Pools;

namespace Pooler.Server.Http;

/// <summary>
/// Writes the engine's figures as Prometheus metrics: counts under the names of SHOW POOLS' columns, counters with the
/// units that Prometheus asks for (seconds, bytes).
/// </summary>
internal static class EngineMetrics
{
    private static readonly (string Name, string Help, Func<PoolSnapshot, double> Value)[] Gauges =
    [
        ("pooler_clients_active", "Clients linked to a server connection, or idle.", p => p.ClientsActive),
        ("pooler_clients_waiting", "Clients waiting for a server connection.", p => p.ClientsWaiting),
        ("pooler_servers_active", "Server connections linked to a client.", p => p.ServersActive),
        ("pooler_servers_idle", "Server connections ready for a client.", p => p.ServersIdle),
        ("pooler_servers_used", "Server connections idle for longer than server_check_delay.", p => p.ServersUsed),
        ("pooler_servers_tested", "Server connections running a check or reset query.", p => p.ServersTested),
        ("pooler_servers_login", "Server connections logging in.", p => p.ServersLogin),
        ("pooler_servers_being_canceled", "Server connections kept back until a cancel request has arrived.", p => p.ServersBeingCanceled),
        ("pooler_pool_size", "Server connections allowed.", p => p.Size),
        ("pooler_maxwait_seconds", "How long the oldest waiting client has waited.", p => p.MaxWait / 1e6),
    ];

    private static readonly (string Name, string Help, Func<PoolTotals, double> Value)[] Counters =
    [
        ("pooler_server_assignments_total", "Times a client was given a server connection.", t => t.ServerAssignments),
        ("pooler_transactions_total", "Transactions ended.", t => t.Transactions),
        ("pooler_queries_total", "Queries ended.", t => t.Queries),
        ("pooler_received_bytes_total", "Bytes from clients.", t => t.BytesReceived),
        ("pooler_sent_bytes_total", "Bytes to clients.", t => t.BytesSent),
        ("pooler_transaction_seconds_total", "Time in transactions.", t => t.TransactionTime / 1e6),
        ("pooler_query_seconds_total", "Time in queries.", t => t.QueryTime / 1e6),
        ("pooler_wait_seconds_total", "Time clients waited for a server connection.", t => t.WaitTime / 1e6),
        ("pooler_client_parses_total", "Named statements prepared by clients.", t => t.ClientParses),
        ("pooler_server_parses_total", "Named statements prepared on servers.", t => t.ServerParses),
        ("pooler_binds_total", "Prepared statements bound by clients.", t => t.Binds),
        ("pooler_client_logins_total", "Client logins.", t => t.Logins),
    ];

    public static string Write(EngineSnapshot snapshot, IReadOnlyList<HostSnapshot> hosts)
    {
        var text = new PrometheusText();
        text.Metric("pooler_clients", "gauge", "Clients logged in or logging in.").Sample("pooler_clients", snapshot.Clients);
        text.Metric("pooler_clients_max", "gauge", "Clients allowed (max_client_conn).").Sample("pooler_clients_max", snapshot.MaxClients);
        text.Metric("pooler_prepared_statements", "gauge", "Distinct prepared statements known.").Sample("pooler_prepared_statements", snapshot.PreparedStatements);
        text.Metric("pooler_allocated_bytes_total", "counter", "Managed memory allocated since the start; does not grow with transactions once warmed up.")
            .Sample("pooler_allocated_bytes_total", GC.GetTotalAllocatedBytes());
        text.Metric("pooler_host_up", "gauge", "1 for an address of a database's hosts that can be used, 0 for one that is down or does not fit.");
        foreach (var host in hosts)
        {
            text.Sample("pooler_host_up", host.IsUsable ? 1 : 0,
                ("database", host.Database), ("host", host.Host), ("port", host.Port.ToString(CultureInfo.InvariantCulture)),
                ("address", host.Address ?? ""), ("state", host.State), ("role", host.Role ?? ""));
        }
        if (snapshot.Pools.Count == 0) return text.ToString();

        foreach (var (name, help, value) in Gauges) Write(name, "gauge", help, value);
        foreach (var (name, help, value) in Counters) Write(name, "counter", help, pool => value(pool.Totals));
        return text.ToString();

        void Write(string name, string type, string help, Func<PoolSnapshot, double> value)
        {
            text.Metric(name, type, help);
            foreach (var pool in snapshot.Pools) text.Sample(name, value(pool), ("database", pool.Database), ("user", pool.User));
        }
    }
}
