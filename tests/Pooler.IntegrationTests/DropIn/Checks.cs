using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using Pooler.Engine.Protocol;
using Pooler.IntegrationTests.Process;
using Testing;

namespace Pooler.IntegrationTests.DropIn;

/// <summary>What people, programs and monitoring do to a pooler, and how it answers.</summary>
internal sealed partial class Checks(Deployment deployment, PoolerProgram program, Observations seen, CancellationToken cancelled)
{
    private const string WhoAmI = "SELECT session_user || ' in ' || current_database()";

    private readonly IPEndPoint _endPoint = new(IPAddress.Loopback, deployment.Port);

    public async Task RunAsync()
    {
        await ProcessAsync();
        await LoginsAsync();
        await HbaAsync();
        await UnixSocketAsync();
        await SslModesAsync();
        await SessionsAsync();
        await TransactionsAsync();
        await RightsAsync();
        await CommandsAsync();
        await TablesAsync();
        await ExporterAsync();
        await PauseAsync();
        await SignalsAsync();
    }

    private async Task ProcessAsync()
    {
        await Eventually.TrueAsync(() => File.Exists(deployment["pgbouncer.pid"]), cancellationToken: cancelled);
        seen.Add("pidfile", File.ReadAllText(deployment["pgbouncer.pid"]).Replace($"{program.Id}", "PID", StringComparison.Ordinal));
        seen.Add("socket", File.Exists(deployment[$".s.PGSQL.{deployment.Port}"]) ? "there" : "missing");
    }

    private async Task LoginsAsync()
    {
        foreach (var user in new[] { Deployment.Scram, Deployment.Md5, Deployment.Plain, Deployment.LookedUp })
        {
            await LoginAsync($"{user} with its password", user, Deployment.Password);
            await LoginAsync($"{user} with another", user, "something else");
            await LoginAsync($"{user} over TLS", user, Deployment.Password, more: "SSL Mode=VerifyFull");
        }
        await LoginAsync("unknown user", "drop_nobody", Deployment.Password);
        foreach (var database in new[] { "forced", "small", "tuned", "dashed-name.2", "missing", Deployment.Database })
            await LoginAsync($"database {database}", Deployment.Plain, Deployment.Password, database);
        await LoginAsync("a database nobody knows", Deployment.Plain, Deployment.Password, "drop_unknown");
    }

    private async Task HbaAsync()
    {
        await LoginAsync("banned", Deployment.Banned, Deployment.Password);
        await LoginAsync("banned over TLS", Deployment.Banned, Deployment.Password, more: "SSL Mode=Require");
        await LoginAsync("no line", Deployment.Owner, Deployment.Password);
        await LoginAsync("no line for this database", Deployment.Scram, Deployment.Password, "dashed-name.2");
        await LoginAsync("address and mask", Deployment.Scram, Deployment.Password, "reports");
        await LoginAsync("an unknown user with a line", "nobody_at_all", Deployment.Password, "small");
        await LoginAsync("hostnossl reject, without TLS", Deployment.Plain, Deployment.Password, "forced", "SSL Mode=Disable");
        await LoginAsync("hostnossl reject, with TLS", Deployment.Plain, Deployment.Password, "forced", "SSL Mode=Require");
        await LoginAsync("cert without TLS", Deployment.Certified, Deployment.Password);
        await LoginAsync("cert without a certificate", Deployment.Certified, Deployment.Password, more: "SSL Mode=Require");
        var certificate = $"SSL Mode=Require;SSL Certificate={deployment["client.crt"]};SSL Key={deployment["client.key"]}";
        await LoginAsync("cert", Deployment.Certified, Deployment.Password, more: certificate);
        await LoginAsync("cert of somebody else", Deployment.Plain, "something else", more: certificate);
    }

    private async Task UnixSocketAsync()
    {
        seen.Add("psql over the Unix socket", await PsqlAsync($"host={deployment.Directory} dbname=app user={Deployment.Plain}", Deployment.Password, WhoAmI));
        seen.Add("the same, wrong password", await PsqlAsync($"host={deployment.Directory} dbname=app user={Deployment.Plain}", "wrong", WhoAmI));
        seen.Add("pgbouncer over the Unix socket as another user of the machine",
            await PsqlAsync($"host={deployment.Directory} dbname=pgbouncer user=pgbouncer", "wrong", "SHOW VERSION"));
    }

    private async Task SslModesAsync()
    {
        foreach (var mode in new[] { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" })
        {
            var address = $"host=localhost hostaddr=127.0.0.1 user={Deployment.Plain} sslmode={mode} sslrootcert={deployment["ca.crt"]}";
            seen.Add($"sslmode={mode}", await PsqlAsync($"{address} dbname=app", Deployment.Password, WhoAmI));
        }
        foreach (var version in new[] { "TLSv1.2", "TLSv1.3" })
        {
            await using var client = await OpenAsync(Deployment.Scram, more: "SSL Mode=Require", before: version);
            using var console = await ConsoleAsync(Deployment.Monitor);
            var (columns, rows) = await ShowAsync(console, "CLIENTS");
            var tls = rows.Single(r => r[columns["user"]] == Deployment.Scram)[columns["tls"]]!;
            // Which suite is first in TLS 1.2 is OpenSSL's affair.
            seen.Add($"tls of SHOW CLIENTS, {version}", version == "TLSv1.2" ? tls.Split('/')[0] : tls);
            (columns, rows) = await ShowAsync(console, "SERVERS");
            seen.Add($"tls of SHOW SERVERS, {version}", string.Join(' ', rows.Select(r => r[columns["tls"]]).Distinct()));
        }
    }

    private async Task SessionsAsync()
    {
        await using (var client = await OpenAsync(Deployment.Scram, more: "Application Name=shop;SSL Mode=Disable"))
        {
            seen.Add("TLS to the server", await ScalarAsync(client, "SELECT ssl || ' ' || version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
            seen.Add("application_name", await ScalarAsync(client, "SHOW application_name"));
            seen.Add("server_version of the client", client.PostgreSqlVersion.ToString());
        }
        await using (var client = await OpenAsync(Deployment.Md5, "forced"))
        {
            seen.Add("forced user", await ScalarAsync(client, WhoAmI));
            seen.Add("connect_query", await ScalarAsync(client, "SHOW work_mem"));
        }
        await using (var client = await OpenAsync(Deployment.Scram, "tuned"))
            foreach (var name in new[] { "client_encoding", "datestyle", "timezone", "application_name" })
                seen.Add($"{name} of database tuned", await ScalarAsync(client, $"SHOW {name}"));

        // Kept for each client, though they share a server.
        await using var first = await OpenAsync(Deployment.Md5, "small");
        await using var second = await OpenAsync(Deployment.Md5, "small");
        await ScalarAsync(first, "SET timezone = 'Asia/Tokyo'");
        await ScalarAsync(second, "SET datestyle = 'SQL, DMY'");
        foreach (var (name, client) in new[] { ("first", first), ("second", second) })
            seen.Add($"SET of two clients, {name}", await ScalarAsync(client, "SELECT concat_ws(', ', current_setting('timezone'), current_setting('datestyle'))"));

        using var raw = await RawLoginAsync("startup parameters that are ignored", ("extra_float_digits", "3"), ("geqo", "off"));
    }

    private async Task TransactionsAsync()
    {
        await using var first = await OpenAsync(Deployment.Md5, "small");
        await using var second = await OpenAsync(Deployment.Md5, "small");
        var server = await ScalarAsync(first, "SELECT pg_backend_pid()");
        seen.Add("two clients, one server", server == await ScalarAsync(second, "SELECT pg_backend_pid()") ? "same" : "different");

        await ScalarAsync(first, "BEGIN");
        var waiting = ScalarAsync(second, "SELECT 'the second'");
        using var console = await ConsoleAsync(Deployment.Monitor);
        await Eventually.TrueAsync(async () =>
        {
            var (columns, rows) = await ShowAsync(console, "POOLS");
            return rows.Any(r => r[columns["database"]] == "small" && r[columns["cl_waiting"]] == "1");
        }, cancellationToken: cancelled);
        var (names, pools) = await ShowAsync(console, "POOLS");
        var pool = pools.First(r => r[names["database"]] == "small" && r[names["cl_waiting"]] == "1");
        string[] counts = ["user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login", "pool_mode"];
        seen.Add("SHOW POOLS with one in a transaction and one waiting", string.Join(' ', counts.Select(c => $"{c}={pool[names[c]]}")));
        seen.Add("the first, in its transaction", await ScalarAsync(first, "SELECT txid_current_if_assigned() IS NULL"));
        await ScalarAsync(first, "COMMIT");
        seen.Add("the waiting one", await waiting);

        seen.Add("an error", await ScalarAsync(first, "SELECT 1/0"));
        await ScalarAsync(first, "BEGIN");
        await ScalarAsync(first, "SELECT 1/0");
        seen.Add("after an error in a transaction", await ScalarAsync(first, "SELECT 1"));
        seen.Add("ROLLBACK", await ScalarAsync(first, "ROLLBACK"));

        // [users] says session for this one: the server is its own until it leaves.
        await using var session = await OpenAsync(Deployment.Plain);
        server = await ScalarAsync(session, "SELECT pg_backend_pid()");
        await ScalarAsync(session, "CREATE TEMP TABLE mine (x int)");
        seen.Add("a session", await ScalarAsync(session, "SELECT count(*) FROM mine"));
    }

    private async Task RightsAsync()
    {
        foreach (var user in new[] { Deployment.Admin, Deployment.Monitor, Deployment.Plain })
        {
            using var console = await RawClient.ConnectAsync(_endPoint);
            await console.Startup("pgbouncer", user).SendAsync();
            var login = await console.ReadToReadyAsync();
            seen.Add($"{user}: console", Words(login));
            if (login[^1].Type != 'Z') continue;
            foreach (var name in new[] { "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "is_superuser", "server_encoding" })
                seen.Add($"{user}: console parameter {name}", console.Parameters.GetValueOrDefault(name, "missing"));
            foreach (var command in new[] { "SHOW POOLS", "SHOW FDS", "RELOAD", "SET verbose = 0", "DISABLE idle", "ENABLE idle", "NONSENSE" })
                seen.Add($"{user}: {command}", Words(await AskAsync(console, command), rows: false));
        }
    }

    private async Task CommandsAsync()
    {
        using var console = await ConsoleAsync(Deployment.Admin);
        foreach (var command in new[]
        {
            "SHOW", "SHOW NOTHING", "SHOW client_encoding", "SHOW datestyle", "SHOW timezone", "SHOW standard_conforming_strings", "show version extra",
            "SET default_pool_size = 11", "SET default_pool_size TO 10", "SET default_pool_size = 'many'", "SET no_such_setting = 1", "SET listen_port = 1",
            "SET pool_mode = 'sometimes'", "SET verbose", "SET",
            "SET client_encoding = 'UTF8'", "PAUSE no_such", "RESUME no_such", "RESUME", "RESUME idle", "DISABLE no_such", "ENABLE no_such", "DISABLE", "ENABLE", "KILL no_such", "RESUME no_such", "RECONNECT no_such",
            "PAUSE idle", "PAUSE idle", "RESUME idle", "DISABLE idle", "ENABLE idle", "KILL idle", "RESUME idle", "RECONNECT idle", "WAIT_CLOSE idle", "RECONNECT", "WAIT_CLOSE",
            "RELOAD", "SHUTDOWN nonsense", "", ";", "pause;", "resume;", "PAUSE pgbouncer", "BEGIN",
        })
            seen.Add($"console: {command}", Words(await AskAsync(console, command)));

        foreach (var (before, after) in new[] { ("DISABLE idle", "ENABLE idle"), ("KILL idle", "RESUME idle") })
        {
            await AskAsync(console, before);
            if (before.StartsWith("DISABLE", StringComparison.Ordinal)) await LoginAsync($"after {before}", Deployment.Plain, Deployment.Password, "idle");
            await AskAsync(console, after);
            await LoginAsync($"after {after}", Deployment.Plain, Deployment.Password, "idle");
        }
    }

    private async Task TablesAsync()
    {
        using var console = await ConsoleAsync(Deployment.Admin);
        foreach (var table in new[]
        {
            "CLIENTS", "CONFIG", "DATABASES", "LISTS", "POOLS", "SERVERS", "SOCKETS", "ACTIVE_SOCKETS", "STATS", "STATS_TOTALS", "STATS_AVERAGES",
            "USERS", "VERSION", "TOTALS", "MEM", "DNS_HOSTS", "DNS_ZONES", "FDS",
        })
        {
            var messages = await AskAsync(console, $"SHOW {table}");
            foreach (var (name, type) in Columns(messages)) seen.Add($"SHOW {table}, {name}", $"{type}");
            seen.Add($"SHOW {table}, tag", string.Join(' ', messages.Where(m => m.Type == 'C').Select(m => m.Text)));
        }
        var (columns, rows) = await ShowAsync(console, "CONFIG");
        foreach (var row in rows)
        {
            seen.Add($"CONFIG {row[0]}, value", row[columns["value"]] ?? "NULL");
            seen.Add($"CONFIG {row[0]}, changeable", row[columns["changeable"]] ?? "NULL");
        }

        await RowsAsync(console, "DATABASES", ["name", "host", "port", "database", "force_user", "pool_size", "min_pool_size", "pool_mode", "max_connections", "paused", "disabled"], "name");
        await RowsAsync(console, "USERS", ["name", "pool_mode"], "name");
        await RowsAsync(console, "POOLS", ["database", "user", "pool_mode"], "database", "user");
        await RowsAsync(console, "STATS", ["database"], "database");
        await RowsAsync(console, "LISTS", ["list", "items"], "list");
    }

    /// <summary>As Prometheus exporters read the console: with psycopg2, by the names of columns; numbers become metrics.</summary>
    private async Task ExporterAsync()
    {
        const string script = """
            import sys, psycopg2
            connection = psycopg2.connect(host='127.0.0.1', port=int(sys.argv[1]), user=sys.argv[2], dbname='pgbouncer')
            connection.set_session(autocommit=True)
            cursor = connection.cursor()
            for table in ('STATS', 'POOLS', 'DATABASES', 'LISTS', 'USERS'):
                cursor.execute('SHOW %s;' % table)
                names = [column.name for column in cursor.description]
                for cells in cursor.fetchall():
                    row = dict(zip(names, cells))
                    labels = [row[n] for n in ('database', 'user', 'name', 'list') if isinstance(row.get(n), str)]
                    for name, value in row.items():
                        if not isinstance(value, str) and value is not None:
                            print(table, *labels, name, 'counts' if value >= 0 else value, sep='/')
            """;
        var python = new Command(await Tools.PythonWithPsycopg2Async(cancellationToken: cancelled), "-c", script, $"{deployment.Port}", Deployment.Monitor);
        foreach (var metric in (await python.RunCheckedAsync(cancelled)).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var end = metric.LastIndexOf('/');
            seen.Add($"metric {metric[..end]}", metric[(end + 1)..]);
        }
    }

    private async Task PauseAsync()
    {
        using var console = await ConsoleAsync(Deployment.Admin);
        await using var client = await OpenAsync(Deployment.Scram);
        await ScalarAsync(client, "SELECT 1");
        seen.Add("PAUSE app", Words(await AskAsync(console, "PAUSE app")));
        var waiting = ScalarAsync(client, "SELECT 'paused'");
        var (columns, rows) = await ShowAsync(console, "DATABASES");
        seen.Add("paused of SHOW DATABASES", string.Join(' ', rows.Where(r => r[columns["paused"]] == "1").Select(r => r[0])));
        seen.Add("SHOW SERVERS of a paused database", (await ShowAsync(console, "SERVERS") is var (names, servers) ? servers.Count(r => r[names["database"]] == "app") : 0).ToString());
        seen.Add("answered while paused", waiting.IsCompleted.ToString());
        seen.Add("RESUME app", Words(await AskAsync(console, "RESUME app")));
        seen.Add("after RESUME app", await waiting);
    }

    private async Task SignalsAsync()
    {
        const int hup = 1, term = 15, usr1 = 10, usr2 = 12;
        File.WriteAllText(deployment["pgbouncer.ini"], File.ReadAllText(deployment["pgbouncer.ini"]).Replace("default_pool_size = 10", "default_pool_size = 12", StringComparison.Ordinal));
        File.AppendAllText(deployment["userlist.txt"], $"\"{Deployment.Owner}\" \"new\"\n");
        // As logrotate does it.
        File.Move(deployment["pgbouncer.log"], deployment["pgbouncer.log.1"]);
        program.Signal(hup);
        using var console = await ConsoleAsync(Deployment.Admin);
        await Eventually.TrueAsync(
            async () => await ShowAsync(console, "CONFIG") is var (_, rows) && rows.Single(r => r[0] == "default_pool_size")[1] == "12", cancellationToken: cancelled);
        seen.Add("HUP", "reads the files again");
        await Eventually.TrueAsync(() => File.Exists(deployment["pgbouncer.log"]), cancellationToken: cancelled);
        foreach (var (signal, line) in new[] { (usr1, "got SIGUSR1, pausing all activity"), (usr2, "got SIGUSR2, continuing from PAUSE") })
        {
            program.Signal(signal);
            await program.LineAsync(line);
        }
        await LoginAsync("after USR1 and USR2", Deployment.Scram, Deployment.Password);
        await console.Terminate().SendAsync();
        console.Dispose();

        program.Signal(term);
        // 1.18 leaves at once, from 1.23 on TERM waits for clients, of which there are none.
        seen.Add("TERM", $"exit code {await program.ExitAsync()}");
        foreach (var log in new[] { "pgbouncer.log.1", "pgbouncer.log" })
            seen.Add(log, string.Join(", ", File.ReadLines(deployment[log]).Select(l => Prefix().IsMatch(l) ? "prefix" : l).Distinct()));
        seen.Add("pidfile after the end", File.Exists(deployment["pgbouncer.pid"]) ? "there" : "gone");
        seen.Add("socket after the end", File.Exists(deployment[$".s.PGSQL.{deployment.Port}"]) ? "there" : "gone");
    }

    private async Task LoginAsync(string what, string user, string? password, string database = "app", string more = "SSL Mode=Disable")
    {
        await using var client = new NpgsqlConnection(deployment.Address(user, password, database, more));
        try
        {
            await client.OpenAsync(cancelled);
        }
        catch (NpgsqlException e)
        {
            seen.Add($"login: {what}", Words(e));
            return;
        }
        seen.Add($"login: {what}", await ScalarAsync(client, WhoAmI));
    }

    private async Task<NpgsqlConnection> OpenAsync(string user, string database = "app", string more = "SSL Mode=Disable", string? before = null)
    {
        var client = new NpgsqlConnection(deployment.Address(user, Deployment.Password, database, more));
        if (before is not null)
            client.SslClientAuthenticationOptionsCallback = o =>
                o.EnabledSslProtocols = before == "TLSv1.2" ? System.Security.Authentication.SslProtocols.Tls12 : System.Security.Authentication.SslProtocols.Tls13;
        await client.OpenAsync(cancelled);
        return client;
    }

    private async Task<RawClient?> RawLoginAsync(string what, params (string, string)[] parameters)
    {
        var client = await RawClient.ConnectAsync(_endPoint);
        await client.Startup("pgbouncer", Deployment.Admin, parameters).SendAsync();
        seen.Add(what, Words(await client.ReadToReadyAsync()));
        return client;
    }

    private async Task<RawClient> ConsoleAsync(string user) => await RawClient.LoginAsync(_endPoint, "pgbouncer", user);

    private async Task<string> ScalarAsync(NpgsqlConnection client, string sql)
    {
        try
        {
            await using var command = new NpgsqlCommand(sql, client);
            return Convert.ToString(await command.ExecuteScalarAsync(cancelled), System.Globalization.CultureInfo.InvariantCulture) ?? "nothing";
        }
        catch (Exception e) when (e is NpgsqlException or InvalidOperationException)
        {
            return Words(e);
        }
    }

    private async Task<string> PsqlAsync(string conninfo, string password, string sql)
    {
        var command = new Command(
            await Tools.PsqlAsync(cancellationToken: cancelled), $"{conninfo} port={deployment.Port} connect_timeout=60", "-X", "-w", "-t", "-A", "-c", sql);
        command.Environment["PGPASSWORD"] = password;
        command.Environment["HOME"] = deployment.Directory;
        var result = await command.RunAsync(cancelled);
        return $"{result.ExitCode} {result.AllOutput}";
    }

    private static async Task<List<RawMessage>> AskAsync(RawClient console, string command)
    {
        await console.Query(command).SendAsync();
        return await console.ReadToReadyAsync();
    }

    private static async Task<(Dictionary<string, int> Columns, List<string?[]> Rows)> ShowAsync(RawClient console, string table)
    {
        var messages = await AskAsync(console, $"SHOW {table}");
        return (Columns(messages).Select((c, i) => (c.Name, i)).ToDictionary(c => c.Name, c => c.i), [.. messages.Where(m => m.Type == 'D').Select(m => m.Cells())]);
    }

    private async Task RowsAsync(RawClient console, string table, string[] cells, params string[] keys)
    {
        var (columns, rows) = await ShowAsync(console, table);
        foreach (var row in rows)
            seen.Add($"{table} {string.Join('/', keys.Select(k => row[columns[k]]))}", string.Join(' ', cells.Select(c => $"{c}={row[columns[c]] ?? "NULL"}")));
    }

    private static List<(string Name, int Type)> Columns(List<RawMessage> messages)
    {
        var columns = new List<(string, int)>();
        foreach (var message in messages.Where(m => m.Type == 'T'))
        {
            var reader = new MessageReader(message.Body);
            reader.TryReadInt16(out var count);
            for (var i = 0; i < count; i++)
            {
                reader.TryReadCString(out var name);
                reader.TryReadBytes(6, out _);
                reader.TryReadInt32(out var type);
                reader.TryReadBytes(8, out _);
                columns.Add((Encoding.UTF8.GetString(name), type));
            }
        }
        return columns;
    }

    [GeneratedRegex(@"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] (LOG|WARNING|ERROR|FATAL|DEBUG|NOISE) ")]
    private static partial Regex Prefix();

    private static string Words(Exception e) => e is PostgresException error ? $"{error.Severity} {error.SqlState} {error.MessageText}" : "connection lost";

    private static string Words(List<RawMessage> messages, bool rows = true) => string.Join(' ', messages.Where(m => m.Type is not ('S' or 'K' or 'R')).Select(m => m.Type switch
    {
        'E' or 'N' => $"{m.Field('S')} {m.Field('C')} {m.Field('M')}",
        'T' => rows ? $"T({string.Join(' ', Columns([m]).Select(c => c.Name))})" : "T",
        'D' => rows ? m.ToString() : "",
        _ => m.ToString(),
    }).Where(w => w.Length > 0));
}
