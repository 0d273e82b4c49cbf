using System.Globalization;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using Xunit;

namespace Pooler.IntegrationTests.Console;

/// <summary>Names, order and types of every SHOW table: dashboards and exporters are bound to them.</summary>
public sealed class ColumnsTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    private const string Socket =
        "type:s user:s database:s replication:s state:s addr:s port:i local_addr:s local_port:i connect_time:T request_time:T "
        + "wait:i wait_us:i close_needed:i ptr:s link:s remote_pid:i tls:s application_name:s prepared_statements:i id:i";

    private const string Buffers = " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i";

    // PgBouncer's, with its type letters (src/admin.c, src/stats.c): typed here again, not taken from the code.
    private static readonly (string Name, string Columns)[] Tables =
    [
        ("POOLS", "database:s user:s cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active:i "
            + "sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:s "
            + "load_balance_hosts:s"),
        ("CLIENTS", Socket),
        ("SERVERS", Socket),
        ("SOCKETS", Socket + Buffers),
        ("ACTIVE_SOCKETS", Socket + Buffers),
        ("DATABASES", "name:s host:s port:i database:s force_user:s pool_size:i min_pool_size:i reserve_pool_size:i "
            + "server_lifetime:i pool_mode:s load_balance_hosts:s max_connections:i current_connections:i max_client_connections:i "
            + "current_client_connections:i paused:i disabled:i"),
        ("USERS", "name:s pool_size:s reserve_pool_size:s pool_mode:s max_user_connections:i current_connections:i "
            + "max_user_client_connections:i current_client_connections:i"),
        ("STATS", "database:s total_server_assignment_count:N total_xact_count:N total_query_count:N total_received:N total_sent:N "
            + "total_xact_time:N total_query_time:N total_wait_time:N total_client_parse_count:N total_server_parse_count:N "
            + "total_bind_count:N total_client_login_count:N avg_server_assignment_count:N avg_xact_count:N avg_query_count:N "
            + "avg_recv:N avg_sent:N avg_xact_time:N avg_query_time:N avg_wait_time:N avg_client_parse_count:N "
            + "avg_server_parse_count:N avg_bind_count:N avg_client_login_count:N"),
        ("STATS_TOTALS", "database:s server_assignment_count:N xact_count:N query_count:N bytes_received:N bytes_sent:N xact_time:N "
            + "query_time:N wait_time:N client_parse_count:N server_parse_count:N bind_count:N client_login_count:N"),
        ("STATS_AVERAGES", "database:s server_assignment_count:N xact_count:N query_count:N bytes_received:N bytes_sent:N xact_time:N "
            + "query_time:N wait_time:N avg_client_parse_count:N avg_server_parse_count:N avg_bind_count:N avg_client_login_count:N"),
        ("TOTALS", "name:s value:N"),
        ("LISTS", "list:s items:i"),
        ("CONFIG", "key:s value:s default:s changeable:s"),
        ("STATE", "key:s value:s"),
        ("MEM", "name:s size:i used:i free:i memtotal:i"),
        ("FDS", "fd:i task:s user:s database:s addr:s port:i cancel:q link:i client_encoding:s std_strings:s datestyle:s timezone:s "
            + "password:s scram_client_key:b scram_server_key:b"),
        ("DNS_HOSTS", "hostname:s ttl:q addrs:s"),
        ("DNS_ZONES", "zonename:s serial:q count:i"),
        ("VERSION", "version:s"),
        ("PEERS", "peer_id:i host:s port:i pool_size:i"),
        ("PEER_POOLS", "peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i"),
        ("HOSTS", "database:s host:s port:i address:s state:s role:s target_session_attrs:s last_error:s since:s next_try:s servers:i"),
        ("HELD_SERVERS", "database:s user:s client:s server:s client_id:q client_address:s client_user:s application_name:s remote_pid:i "
            + "state:s held_us:q state_us:q pin:s query:s trace_id:s"),
        ("SLOW_REQUESTS", "time:s kind:s duration_us:q database:s user:s client:s client_address:s application_name:s query:s trace_id:s"),
    ];

    [Fact]
    public async Task Psql_sees_every_table_with_its_columns_in_order()
    {
        await using var pooler = Start();
        await using var client = await pooler.ConnectAsync(await NewDatabaseAsync());
        foreach (var (name, columns) in Tables)
        {
            var psql = new Command(await Tools.PsqlAsync(cancellationToken: Cancelled), "-X", "-A", "-c", $"SHOW {name};");
            foreach (var (key, value) in pooler.Environment("pgbouncer")) psql.Environment[key] = value;
            var header = (await psql.RunCheckedAsync(Cancelled)).Split('\n')[0].TrimEnd('\r');
            Assert.Equal(columns.Split(' ').Select(c => c.Split(':')[0]), header.Split('|'));
        }
    }

    [Fact]
    public async Task Npgsql_sees_the_types_and_reads_every_cell_in_binary()
    {
        await using var pooler = Start();
        await using var client = await pooler.ConnectAsync(await NewDatabaseAsync());
        await using var console = await pooler.ConnectAsync("pgbouncer", "Server Compatibility Mode=NoTypeLoading");
        foreach (var (name, columns) in Tables)
        {
            await using var command = new NpgsqlCommand($"SHOW {name}", console);
            await using var reader = await command.ExecuteReaderAsync(Cancelled);
            var found = Enumerable.Range(0, reader.FieldCount)
                .Select(i => $"{reader.GetName(i)}:{Letter(reader.GetPostgresType(i).OID, reader.GetName(i))}");
            Assert.Equal(columns.Split(' '), found);
            while (await reader.ReadAsync(Cancelled))
                for (var i = 0; i < reader.FieldCount; i++) Assert.NotNull(reader.GetValue(i));
        }
    }

    [Fact]
    public async Task The_rows_that_readers_look_for_by_name_are_there()
    {
        await using var pooler = Start(change: s => s with { DefaultPoolSize = 7 });
        using var console = await ConsoleAsync(pooler);
        async Task<string> NamesAsync(string sql)
        {
            await console.Query(sql).SendAsync();
            return string.Join(' ', (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => m.Cells()[0]));
        }

        Assert.Equal("7", await console.ScalarAsync("SELECT value FROM SHOW CONFIG WHERE key = 'default_pool_size' AND changeable = 'yes'"));
        Assert.Equal("no", await console.ScalarAsync("SELECT changeable FROM SHOW CONFIG WHERE key = 'listen_port'"));
        Assert.Equal(
            "databases users peers pools peer_pools free_clients used_clients login_clients free_servers used_servers dns_names "
            + "dns_zones dns_queries dns_pending", await NamesAsync("SHOW LISTS"));
        string[] counters =
        [
            "server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes", "xact_time", "query_time",
            "wait_time", "ps_client_parse_count", "ps_server_parse_count", "ps_bind_count", "client_login_count",
        ];
        Assert.Equal(
            string.Join(' ', counters.Select(c => "total_" + c).Concat(counters.Select(c => "avg_" + c))), await NamesAsync("SHOW TOTALS"));
        Assert.StartsWith(
            "user_cache credentials_cache db_cache peer_cache peer_pool_cache pool_cache outstanding_request_cache server_cache "
            + "client_cache iobuf_cache var_list_cache server_prepared_statement_cache", await NamesAsync("SHOW MEM"));
        Assert.Equal("pgbouncer", await NamesAsync("SHOW DATABASES"));
        Assert.Equal("pgbouncer", await NamesAsync("SHOW STATS"));
        Assert.Matches(@"^PgBouncer \d+\.\d+\.\d+ \(Pooler ", await NamesAsync("SHOW VERSION"));
    }

    private static string Letter(uint oid, string column) => oid switch
    {
        25 when column is "connect_time" or "request_time" => "T",
        25 => "s",
        23 => "i",
        20 => "q",
        1700 => "N",
        17 => "b",
        _ => oid.ToString(CultureInfo.InvariantCulture),
    };
}
