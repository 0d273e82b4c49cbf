using System.Globalization;
using Npgsql;
using Pooler.IntegrationTests.Process;
using Pooler.IntegrationTests.Tls;
using Testing;

namespace Pooler.IntegrationTests.DropIn;

/// <summary>
/// The directory of a PgBouncer that somebody has run for years, in words that PgBouncer 1.18 knows: over forty settings,
/// TLS on both sides, an included file, HBA rules, and users with secrets of every kind.
/// </summary>
internal sealed class Deployment : IDisposable
{
    public const string Admin = "drop_admin";
    public const string Monitor = "drop_monitor";

    /// <summary>In the list with a SCRAM secret, an MD5 secret and a plain password.</summary>
    public const string Scram = "drop_scram", Md5 = TlsPostgres.Md5User, Plain = "drop_plain";

    /// <summary>Not in the list, but on the server.</summary>
    public const string LookedUp = "drop_looked_up";

    /// <summary>Who looks users up, and the forced user of databases.</summary>
    public const string Lookup = "drop_lookup", Owner = "drop_owner";

    /// <summary>Has a client certificate.</summary>
    public const string Certified = "drop_certified";

    /// <summary>Has a HBA line that refuses it.</summary>
    public const string Banned = "drop_banned";

    public const string Password = "it's \"secret\"";
    public const string Database = "drop_app";

    private static readonly string[] _users = [Scram, Md5, Plain, LookedUp, Lookup, Owner, Certified, Banned, Admin, Monitor];

    private readonly ThrowawayDirectory _directory = new();
    private readonly TlsPostgres _postgres;

    private Deployment(TlsPostgres postgres) => _postgres = postgres;

    public string Directory => _directory.Path;

    public int Port { get; } = PoolerProgram.FreePort();

    public string this[string name] => Path.Combine(_directory.Path, name);

    public static async Task<Deployment> CreateAsync(TlsPostgres postgres, CancellationToken cancelled)
    {
        var deployment = new Deployment(postgres);
        await deployment.PrepareServerAsync(cancelled);
        return deployment;
    }

    /// <summary>A connection string of Npgsql's.</summary>
    public string Address(string user, string? password, string database = "app", string more = "") => new NpgsqlConnectionStringBuilder(more)
    {
        Host = more.Contains("Verify", StringComparison.Ordinal) ? "localhost" : "127.0.0.1", Port = Port, Username = user, Password = password, Database = database, Pooling = false, Timeout = 60, CommandTimeout = 60,
        NoResetOnClose = true, ["Server Compatibility Mode"] = "NoTypeLoading",
            // One attempt: the second would hear how the first went.
            ["Gss Encryption Mode"] = "Disable",
        RootCertificate = more.Contains("Verify", StringComparison.Ordinal) ? this["ca.crt"] : null,
    }.ConnectionString;

    public void Dispose() => _directory.Dispose();

    private async Task PrepareServerAsync(CancellationToken cancelled)
    {
        var literal = Password.Replace("'", "''", StringComparison.Ordinal);
        foreach (var user in _users)
        {
            var method = user == Md5 ? "md5" : "scram-sha-256";
            await _postgres.Server.ExecuteAsync($"SET password_encryption = '{method}'; CREATE USER {user} PASSWORD '{literal}'", cancellationToken: cancelled);
        }
        await _postgres.Server.CreateDatabaseAsync(Database, cancelled);
        await _postgres.Server.ExecuteAsync(
            $"""
            CREATE FUNCTION user_secret(name text) RETURNS TABLE (usename name, passwd text) LANGUAGE sql SECURITY DEFINER
              AS 'SELECT usename, passwd FROM pg_shadow WHERE usename = name';
            REVOKE ALL ON FUNCTION user_secret FROM PUBLIC;
            GRANT EXECUTE ON FUNCTION user_secret TO {Lookup};
            GRANT ALL ON SCHEMA public TO PUBLIC
            """, Database, cancelled);
    }

    /// <summary>Writes all files, as they were at first.</summary>
    public async Task WriteAsync(CancellationToken cancelled)
    {
        // PgBouncer gives up being root, and leaves its pidfile and log here.
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_directory.Path, (UnixFileMode)0b111_111_111);

        foreach (var left in System.IO.Directory.GetFiles(Directory)) File.Delete(left);
        var authority = _postgres.Authority;
        _directory.Write("ca.crt", authority.AuthorityPem);
        Write("bouncer", authority.Issue("pgbouncer", ["localhost", "127.0.0.1"]));
        Write("client", authority.Issue(Certified));

        var scram = (string)(await _postgres.Server.ExecuteAsync($"SELECT rolpassword FROM pg_authid WHERE rolname = '{Scram}'", cancellationToken: cancelled))!;
        var md5 = (string)(await _postgres.Server.ExecuteAsync($"SELECT rolpassword FROM pg_authid WHERE rolname = '{Md5}'", cancellationToken: cancelled))!;
        var quoted = Password.Replace("\"", "\"\"", StringComparison.Ordinal);
        _directory.Write("userlist.txt",
            $"""
            ; users of the pooler
            "{Scram}" "{scram}"
            "{Md5}" "{md5}"  an old application
            "{Plain}" "{quoted}"
            "{Lookup}" "{quoted}"
            "{Certified}" "{quoted}"
            "{Banned}" "{quoted}"
            "{Admin}" "{quoted}"
            "{Monitor}" "{quoted}"

            """);
        _directory.Write("pg_hba.conf",
            $"""
            # TYPE  DATABASE      USER            ADDRESS        METHOD
            local   all           all                            md5
            host    pgbouncer     {Admin},{Monitor},{Plain} 127.0.0.1/32 trust
            hostssl all           {Certified}     127.0.0.1/32   cert
            host    all           {Banned}        127.0.0.1/32   reject
            host    "reports"     all             127.0.0.1      255.255.255.255  md5
            hostnossl forced      {Plain}         0.0.0.0/0      reject
            host    app,tuned,missing,idle {Scram} 127.0.0.0/8 scram-sha-256
            host    all           {Plain},{Md5},{LookedUp} 127.0.0.1/32 md5
            host    small         nobody_at_all   127.0.0.1/32   md5

            """);
        var server = $"host=127.0.0.1 port={_postgres.Server.Port}";
        _directory.Write("databases.ini",
            $"""
            [databases]
            app = {server} dbname={Database}
            forced = {server} dbname={Database} user={Owner} password='{Password.Replace("'", "''", StringComparison.Ordinal)}' pool_size=3 connect_query='SET work_mem TO ''1234kB'''
            reports = host=127.0.0.1,127.0.0.1 port={_postgres.Server.Port} dbname={Database} pool_size=2 min_pool_size=1 reserve_pool=1 max_db_connections=4 pool_mode=session
            small = {server} dbname={Database} user={Owner} password='{Password.Replace("'", "''", StringComparison.Ordinal)}' pool_size=1 max_db_connections=1
            tuned = {server} dbname={Database} client_encoding=LATIN1 datestyle=German timezone=Europe/Rome application_name=tuned
            idle = {server} dbname={Database}
            missing = {server} dbname=no_such_database
            nowhere = host=127.0.0.1 port=1 dbname={Database}
            dashed-name.2 = {server} dbname={Database} auth_user={Lookup}
            * = {server} auth_user={Lookup}

            """);
        _directory.Write("users.ini",
            $"""
            [users]
            {Plain} = pool_mode=session max_user_connections=7
            {Monitor} = pool_mode=statement

            """);
        _directory.Write("pgbouncer.ini",
            $"""
            ;; kept for years
            %include {this["databases.ini"]}
            %include {this["users.ini"]}

            [pgbouncer]
            logfile = {this["pgbouncer.log"]}
            pidfile = {this["pgbouncer.pid"]}
            listen_addr = 127.0.0.1
            listen_port = {Port.ToString(CultureInfo.InvariantCulture)}
            unix_socket_dir = {Directory}
            unix_socket_mode = 0777
            ;unix_socket_group =
            client_tls_sslmode = allow
            client_tls_ca_file = {this["ca.crt"]}
            client_tls_key_file = {this["bouncer.key"]}
            client_tls_cert_file = {this["bouncer.crt"]}
            client_tls_protocols = secure
            client_tls_ciphers = fast
            server_tls_sslmode = verify-ca
            server_tls_ca_file = {this["ca.crt"]}
            server_tls_protocols = tlsv1.2, tlsv1.3
            auth_type = hba
            auth_file = {this["userlist.txt"]}
            auth_hba_file = {this["pg_hba.conf"]}
            auth_user = {Lookup}
            auth_query = SELECT usename, passwd FROM user_secret($1)
            admin_users = {Admin}, postgres
            stats_users = stats, {Monitor}
            pool_mode = transaction
            server_reset_query = DISCARD ALL
            server_reset_query_always = 0
            ignore_startup_parameters = extra_float_digits, geqo
            server_check_query = select 1
            server_check_delay = 25
            server_lifetime = 1200
            server_idle_timeout = 60
            server_connect_timeout = 5
            server_login_retry = 1
            client_login_timeout = 20
            client_idle_timeout = 0
            query_timeout = 0
            query_wait_timeout = 30
            idle_transaction_timeout = 0
            autodb_idle_timeout = 3600
            suspend_timeout = 10
            max_client_conn = 200
            default_pool_size = 5
            min_pool_size = 0
            reserve_pool_size = 2
            reserve_pool_timeout = 3
            max_db_connections = 50
            max_user_connections = 50
            server_round_robin = 0
            application_name_add_host = 1
            disable_pqexec = 0
            dns_max_ttl = 15
            dns_nxdomain_ttl = 15
            log_connections = 1
            log_disconnections = 1
            log_pooler_errors = 1
            log_stats = 1
            stats_period = 60
            verbose = 0
            listen_backlog = 128
            pkt_buf = 4096
            sbuf_loopcnt = 5
            max_packet_size = 2147483647
            tcp_keepalive = 1
            tcp_keepidle = 60
            tcp_keepintvl = 10
            tcp_keepcnt = 3
            tcp_defer_accept = 0
            ;; was 100 once
            default_pool_size = 10

            """);
    }

    private void Write(string name, TestCertificate certificate)
    {
        _directory.Write($"{name}.crt", certificate.Pem);
        _directory.Write($"{name}.key", certificate.KeyPem);
        // The pooler may run as nobody.
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(this[$"{name}.key"], (UnixFileMode)0b110_100_100);
    }
}
