using System.Diagnostics.CodeAnalysis;

namespace Pooler.Engine.Console;

/// <summary>One of the console's tables: SHOW and SELECT … FROM SHOW read it.</summary>
/// <param name="Name">The word after SHOW.</param>
/// <param name="Columns">Its columns: PgBouncer's, in its order; our own would come after them.</param>
/// <param name="Rows">Its rows of the moment. Any thread.</param>
internal sealed record ShowTable(string Name, ConsoleColumn[] Columns, Func<IEnumerable<object?[]>> Rows)
{
    /// <summary>Not for stats_users.</summary>
    public bool AdminOnly { get; init; }

    /// <summary>The table as it is now.</summary>
    public ConsoleTable Read()
    {
        var rows = Rows().ToArray();
        foreach (var row in rows) System.Diagnostics.Debug.Assert(row.Length == Columns.Length, Name);
        return new ConsoleTable(Columns, rows);
    }
}

/// <summary>All tables by name. Columns and types: PgBouncer's src/admin.c and src/stats.c.</summary>
internal sealed class ShowCatalog
{
    private const string SocketLetters = "ssssssisiTTiiississii";

    private const string SocketColumns =
        "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us "
        + "close_needed ptr link remote_pid tls application_name prepared_statements id";

    private const string BufferColumns = " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";

    private const string Counters =
        "server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time ";

    private readonly Dictionary<string, ShowTable> _byName = new(StringComparer.OrdinalIgnoreCase);

    public ShowCatalog(AdminConsole console) : this(TablesOf(console))
    {
    }

    /// <summary>A catalog of any tables.</summary>
    public ShowCatalog(IReadOnlyList<ShowTable> tables)
    {
        Tables = tables;
        foreach (var table in tables) _byName.Add(table.Name, table);
    }

    /// <summary>All tables, in PgBouncer's order.</summary>
    public IReadOnlyList<ShowTable> Tables { get; }

    public bool TryFind(string name, [NotNullWhen(true)] out ShowTable? table) => _byName.TryGetValue(name, out table);

    private static ShowTable[] TablesOf(AdminConsole console)
    {
        var pools = new PoolRows(console);
        var sockets = new SocketRows(console);
        var statistics = new StatisticsRows(console);
        var process = new ProcessRows(console);
        var hosts = new HostRows(console);
        var activity = new ActivityRows(console);
        var advice = new AdviceRows(console);
        return
        [
            Table("clients", SocketLetters, SocketColumns, sockets.Clients),
            Table("config", "ssss", "key value default changeable", process.Config),
            Table("databases", "ssissiiiissiiiiii",
                "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode "
                + "load_balance_hosts max_connections current_connections max_client_connections "
                + "current_client_connections paused disabled", pools.Databases),
            Table(DescriptorRows.TableName, "issssiqisssssbb",
                "fd task user database addr port cancel link client_encoding std_strings datestyle timezone password "
                + "scram_client_key scram_server_key", new DescriptorRows(console).Rows) with { AdminOnly = true },
            Table("lists", "si", "list items", process.Lists),
            Table("peers", "isii", "peer_id host port pool_size", process.Peers),
            Table("peer_pools", "iiiii", "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login", process.PeerPools),
            Table("pools", "ssiiiiiiiiiiiiiss",
                "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel "
                + "sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts", pools.Pools),
            Table("servers", SocketLetters, SocketColumns, sockets.Servers),
            Table("sockets", SocketLetters + "iiiiiii", SocketColumns + BufferColumns, sockets.Sockets),
            Table("active_sockets", SocketLetters + "iiiiiii", SocketColumns + BufferColumns, sockets.ActiveSockets),
            Table("stats", "s" + new string('N', 24),
                "database total_server_assignment_count total_xact_count total_query_count total_received total_sent "
                + "total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count "
                + "total_bind_count total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count "
                + "avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count "
                + "avg_server_parse_count avg_bind_count avg_client_login_count", statistics.Stats),
            Table("stats_totals", "s" + new string('N', 12),
                "database " + Counters + "client_parse_count server_parse_count bind_count client_login_count", statistics.Totals),
            // The last four names keep a prefix that the others have not: so it is upstream.
            Table("stats_averages", "s" + new string('N', 12),
                "database " + Counters + "avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count",
                statistics.Averages),
            Table("users", "ssssiiii",
                "name pool_size reserve_pool_size pool_mode max_user_connections current_connections "
                + "max_user_client_connections current_client_connections", pools.Users),
            Table("version", "s", "version", static () => [[ConsoleParameters.Version]]),
            Table("totals", "sN", "name value", statistics.Sum),
            Table("mem", "siiii", "name size used free memtotal", process.Memory),
            Table("dns_hosts", "sqs", "hostname ttl addrs", hosts.DnsNames),
            Table("dns_zones", "sqi", "zonename serial count", hosts.DnsZones),
            Table("state", "ss", "key value", process.State),
            // Our own.
            Table("hosts", "ssisssssTTi", "database host port address state role target_session_attrs last_error since next_try servers", hosts.Hosts),
            Table("held_servers", "ssssqsssisqqsss",
                "database user client server client_id client_address client_user application_name remote_pid state held_us state_us "
                + "pin query trace_id", activity.HeldServers),
            Table("slow_requests", "Tsqsssssss",
                "time kind duration_us database user client client_address application_name query trace_id", activity.SlowRequests),
            Table("advice", "ssssssssssT", "rule level database user finding evidence setting current suggested remedy since", advice.Advice),
        ];
    }

    private static ShowTable Table(string name, string letters, string columns, Func<IEnumerable<object?[]>> rows) =>
        new(name, ConsoleColumn.List(letters, columns), rows);
}
