using System.Collections.Immutable;

namespace Pooler.Engine.Configuration;

/// <summary>
/// The global settings, typed. Names are those of the ini file in Pascal case; how each is read, checked and
/// documented is declared in the settings table. Times of zero mean what each setting says, mostly "off".
/// </summary>
public sealed partial record PoolerSettings
{
    /// <summary><c>admin_users</c>: users allowed every console command, comma separated.</summary>
    public string AdminUsers { get; init; } = "";

    /// <summary><c>stats_users</c>: users allowed SHOW on the console, comma separated.</summary>
    public string StatsUsers { get; init; } = "";

    /// <summary><c>auth_type</c>: how clients prove who they are.</summary>
    public AuthType AuthType { get; init; } = AuthType.Md5;

    /// <summary><c>auth_file</c>: file of names and secrets.</summary>
    public string? AuthFile { get; init; }

    /// <summary><c>auth_hba_file</c>: rules by database, user and address.</summary>
    public string AuthHbaFile { get; init; } = "";

    /// <summary><c>auth_ident_file</c>: name maps for cert and peer.</summary>
    public string? AuthIdentFile { get; init; }

    /// <summary><c>listen_addr</c>: TCP addresses, comma separated; * is all; empty is none.</summary>
    public string ListenAddr { get; init; } = "";

    /// <summary><c>listen_port</c>: TCP port (0 picks a free one), also part of the Unix socket's name.</summary>
    public int ListenPort { get; init; } = 6432;

    /// <summary><c>listen_backlog</c>: listen(2) backlog.</summary>
    public int ListenBacklog { get; init; } = 128;

    /// <summary><c>unix_socket_dir</c>: directory of the Unix socket; empty is none.</summary>
    public string UnixSocketDir { get; init; } = "/tmp";

    /// <summary><c>unix_socket_mode</c>: file mode of the Unix socket, written in octal (0777).</summary>
    public int UnixSocketMode { get; init; } = 0x1FF;

    /// <summary><c>unix_socket_group</c>: group of the Unix socket.</summary>
    public string UnixSocketGroup { get; init; } = "";

    /// <summary><c>pool_mode</c>: when a server goes back to the pool.</summary>
    public PoolMode PoolMode { get; init; } = PoolMode.Transaction;

    /// <summary><c>max_client_conn</c>: client connections in all.</summary>
    public int MaxClientConn { get; init; } = 100;

    /// <summary><c>default_pool_size</c>: servers per pool.</summary>
    public int DefaultPoolSize { get; init; } = 20;

    /// <summary><c>min_pool_size</c>: servers a pool with clients keeps open.</summary>
    public int MinPoolSize { get; init; }

    /// <summary><c>reserve_pool_size</c>: extra servers once a client waited reserve_pool_timeout.</summary>
    public int ReservePoolSize { get; init; }

    /// <summary><c>reserve_pool_timeout</c>: wait before the reserve is used.</summary>
    public TimeSpan ReservePoolTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary><c>max_db_connections</c>: servers per database over all users; 0 is no limit.</summary>
    public int MaxDbConnections { get; init; }

    /// <summary><c>max_db_client_connections</c>: clients per database; 0 is no limit.</summary>
    public int MaxDbClientConnections { get; init; }

    /// <summary><c>max_user_connections</c>: servers per user over all databases; 0 is no limit.</summary>
    public int MaxUserConnections { get; init; }

    /// <summary><c>max_user_client_connections</c>: clients per user; 0 is no limit.</summary>
    public int MaxUserClientConnections { get; init; }

    /// <summary><c>max_prepared_statements</c>: prepared statements kept per server, least recently used first out; 0 is off.</summary>
    public int MaxPreparedStatements { get; init; } = 200;

    /// <summary><c>server_idle_timeout</c>: idle servers are closed after this; zero is never.</summary>
    public TimeSpan ServerIdleTimeout { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary><c>server_lifetime</c>: unlinked servers older than this are closed; zero is single use.</summary>
    public TimeSpan ServerLifetime { get; init; } = TimeSpan.FromSeconds(3600);

    /// <summary><c>server_connect_timeout</c>: limit for connecting and logging in to a server.</summary>
    public TimeSpan ServerConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary><c>target_session_attrs</c>: which hosts are connected to.</summary>
    public TargetSessionAttrs TargetSessionAttrs { get; init; }

    /// <summary><c>server_channel_binding</c>: whether SCRAM logins at servers are bound to the TLS connection.</summary>
    public ChannelBindingMode ServerChannelBinding { get; init; } = ChannelBindingMode.Prefer;

    /// <summary><c>dns_max_ttl</c>: how long the addresses of a name are kept.</summary>
    public TimeSpan DnsMaxTtl { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary><c>dns_nxdomain_ttl</c>: how long a failed lookup is kept.</summary>
    public TimeSpan DnsNxdomainTtl { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary><c>dns_zone_check_period</c>: period of asking zones for their serial; zero is never.</summary>
    public TimeSpan DnsZoneCheckPeriod { get; init; }

    /// <summary><c>resolv_conf</c>: file of name servers; empty is the operating system's resolver.</summary>
    public string ResolvConf { get; init; } = "";

    /// <summary><c>server_login_retry</c>: pause after a failed server login.</summary>
    public TimeSpan ServerLoginRetry { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary><c>server_reset_query</c>: run when a server is released in session mode.</summary>
    public string ServerResetQuery { get; init; } = "DISCARD ALL";

    /// <summary><c>server_reset_query_always</c>: run server_reset_query in every mode.</summary>
    public bool ServerResetQueryAlways { get; init; }

    /// <summary><c>server_check_query</c>: run before an idle server is used again; &lt;empty&gt; is an empty query, empty is none.</summary>
    public string ServerCheckQuery { get; init; } = "<empty>";

    /// <summary><c>server_check_delay</c>: idle time after which a server is checked.</summary>
    public TimeSpan ServerCheckDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary><c>server_fast_close</c>: in session mode close a server to be closed at transaction end.</summary>
    public bool ServerFastClose { get; init; }

    /// <summary><c>server_round_robin</c>: use idle servers in turn instead of last in, first out.</summary>
    public bool ServerRoundRobin { get; init; }

    /// <summary><c>query_timeout</c>: limit of a query; zero is none.</summary>
    public TimeSpan QueryTimeout { get; init; }

    /// <summary><c>query_wait_timeout</c>: limit of waiting for a server; zero is none.</summary>
    public TimeSpan QueryWaitTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary><c>query_wait_notify</c>: seconds of waiting after which the client gets a notice; 0 is none.</summary>
    public int QueryWaitNotify { get; init; } = 5;

    /// <summary><c>cancel_wait_timeout</c>: limit of a cancel request's wait.</summary>
    public TimeSpan CancelWaitTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary><c>client_idle_timeout</c>: idle clients are closed after this; zero is never.</summary>
    public TimeSpan ClientIdleTimeout { get; init; }

    /// <summary><c>client_login_timeout</c>: limit of a client's login; zero is none.</summary>
    public TimeSpan ClientLoginTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary><c>idle_transaction_timeout</c>: clients idle in a transaction are closed after this; zero is never.</summary>
    public TimeSpan IdleTransactionTimeout { get; init; }

    /// <summary><c>transaction_timeout</c>: clients in one transaction this long are closed; zero is never.</summary>
    public TimeSpan TransactionTimeout { get; init; }

    /// <summary><c>suspend_timeout</c>: limit of flushing in SUSPEND.</summary>
    public TimeSpan SuspendTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary><c>autodb_idle_timeout</c>: unused databases made from * are forgotten after this.</summary>
    public TimeSpan AutodbIdleTimeout { get; init; } = TimeSpan.FromSeconds(3600);

    /// <summary><c>stats_period</c>: seconds over which averages are taken.</summary>
    public int StatsPeriod { get; init; } = 60;

    /// <summary><c>log_connections</c>: log logins.</summary>
    public bool LogConnections { get; init; } = true;

    /// <summary><c>log_disconnections</c>: log disconnections with their reason.</summary>
    public bool LogDisconnections { get; init; } = true;

    /// <summary><c>log_pooler_errors</c>: log errors sent to clients.</summary>
    public bool LogPoolerErrors { get; init; } = true;

    /// <summary><c>log_stats</c>: log one statistics line a period.</summary>
    public bool LogStats { get; init; } = true;

    /// <summary><c>verbose</c>: 0 to 3: how much is logged.</summary>
    public int Verbose { get; init; }

    /// <summary><c>ignore_startup_parameters</c>: startup parameters accepted and thrown away, comma separated.</summary>
    public string IgnoreStartupParameters { get; init; } = "";

    /// <summary><c>track_extra_parameters</c>: further reported parameters kept per client, comma separated.</summary>
    public string TrackExtraParameters { get; init; } = "IntervalStyle";

    /// <summary><c>application_name_add_host</c>: append the client's address to application_name.</summary>
    public bool ApplicationNameAddHost { get; init; }

    /// <summary><c>max_packet_size</c>: bytes of the largest message let through.</summary>
    public uint MaxPacketSize { get; init; } = 2147483647;

    /// <summary><c>disable_pqexec</c>: refuse the simple query protocol.</summary>
    public bool DisablePqexec { get; init; }

    /// <summary><c>scram_iterations</c>: iterations of SCRAM secrets made from plain passwords.</summary>
    public int ScramIterations { get; init; } = 4096;

    /// <summary><c>tcp_keepalive</c>: SO_KEEPALIVE.</summary>
    public bool TcpKeepalive { get; init; } = true;

    /// <summary><c>tcp_keepidle</c>: seconds; 0 is the system's.</summary>
    public int TcpKeepidle { get; init; }

    /// <summary><c>tcp_keepintvl</c>: seconds; 0 is the system's.</summary>
    public int TcpKeepintvl { get; init; }

    /// <summary><c>tcp_keepcnt</c>: probes; 0 is the system's.</summary>
    public int TcpKeepcnt { get; init; }

    /// <summary><c>tcp_user_timeout</c>: milliseconds; 0 is the system's.</summary>
    public int TcpUserTimeout { get; init; }

    /// <summary><c>tcp_socket_buffer</c>: bytes; 0 is the system's.</summary>
    public int TcpSocketBuffer { get; init; }

    /// <summary><c>tcp_defer_accept</c>: wake for a new client only when it has sent something (Linux).</summary>
    public bool TcpDeferAccept { get; init; } = true;

    /// <summary><c>max_client_prepared_bytes</c>: what the prepared statements that one client holds may take; 0 is no limit.</summary>
    public int MaxClientPreparedBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary><c>event_loops</c>: loop threads; 0 is one per core, one on two cores or fewer.</summary>
    public int EventLoops { get; init; }

    /// <summary><c>server_cores</c>: cores of the PostgreSQL servers; 0 is as this machine's where they run on it, else unknown.</summary>
    public int ServerCores { get; init; }

    /// <summary><c>io_backend</c>: auto, epoll or sockets.</summary>
    public string IoBackend { get; init; } = "auto";

    /// <summary><c>http_addr</c>: address of the HTTP endpoints.</summary>
    public string HttpAddr { get; init; } = "127.0.0.1";

    /// <summary><c>http_port</c>: port of /health, /alive and /metrics; 0 is off.</summary>
    public int HttpPort { get; init; }

    /// <summary><c>http_admin_port</c>: port of the POST /admin commands; 0 is off.</summary>
    public int HttpAdminPort { get; init; }

    /// <summary><c>http_admin_key</c>: key that /admin requires; never shown.</summary>
    public string HttpAdminKey { get; init; } = "";

    /// <summary><c>http_page</c>: whether there is a web page of the pools.</summary>
    public bool HttpPage { get; init; } = true;

    /// <summary><c>slow_query_time</c>: from how long on a query counts as slow; zero is never.</summary>
    public TimeSpan SlowQueryTime { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary><c>slow_wait_time</c>: from how long on a wait for a server counts as slow; zero is never.</summary>
    public TimeSpan SlowWaitTime { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary><c>log_slow_queries</c>: log slow queries.</summary>
    public bool LogSlowQueries { get; init; }

    /// <summary><c>log_slow_waits</c>: log slow waits.</summary>
    public bool LogSlowWaits { get; init; }

    /// <summary><c>log_query_parameters</c>: keep literals in texts of queries, and Bind values of slow ones.</summary>
    public bool LogQueryParameters { get; init; }

    /// <summary><c>auth_ldap_options</c>: how <c>auth_type = ldap</c> reaches and asks its server; holds a password.</summary>
    public string? AuthLdapOptions { get; init; }

    /// <summary><c>auth_user</c>: who runs auth_query.</summary>
    public string? AuthUser { get; init; }

    /// <summary><c>auth_query</c>: query that returns name and secret of a user.</summary>
    public string AuthQuery { get; init; } = DefaultAuthQuery;

    /// <summary><c>auth_dbname</c>: database in which auth_query runs.</summary>
    public string? AuthDbName { get; init; }

    /// <summary><c>login_notify_message</c>: notice sent to clients after login; empty is none.</summary>
    public string LoginNotifyMessage { get; init; } = "";

    /// <summary><c>pool_idle_timeout</c>: empty pools are freed after this; zero is never.</summary>
    public TimeSpan PoolIdleTimeout { get; init; }

    /// <summary><c>so_reuseport</c>: several processes may listen on the TCP port.</summary>
    public bool SoReuseport { get; init; }

    /// <summary><c>peer_id</c>: this process among its peers; 0 is alone.</summary>
    public int PeerId { get; init; }

    /// <summary><c>conffile</c>: the configuration file; null when there is none.</summary>
    public string? ConfFile { get; init; }

    /// <summary><c>logfile</c>: file that the log is appended to, besides the console; empty is none.</summary>
    public string LogFile { get; init; } = "";

    /// <summary><c>log_format</c>: text (PgBouncer's) or json.</summary>
    public string LogFormat { get; init; } = "text";

    /// <summary><c>syslog</c>: log to syslog, too.</summary>
    public bool Syslog { get; init; }

    /// <summary><c>syslog_facility</c>: facility at syslog.</summary>
    public string SyslogFacility { get; init; } = "daemon";

    /// <summary><c>syslog_ident</c>: name at syslog.</summary>
    public string SyslogIdent { get; init; } = "pgbouncer";

    /// <summary><c>pidfile</c>: file that holds the process id while it runs; empty is none.</summary>
    public string PidFile { get; init; } = "";

    /// <summary><c>job_name</c>: name of the service.</summary>
    public string JobName { get; init; } = "pgbouncer";

    /// <summary><c>user</c>: Unix user to change to after start.</summary>
    public string? User { get; init; }

    /// <summary>Values of settings that this build knows by name only, as they were written; see the settings table.</summary>
    public ImmutableDictionary<string, string> Inert { get; init; } = ImmutableDictionary<string, string>.Empty;

    // What PgBouncer asks, with nothing in it that search_path or a temporary table could stand in for.
    private const string DefaultAuthQuery =
        "SELECT rolname, CASE WHEN rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() THEN NULL ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin";

    /// <summary>Keeps the generated text, which would carry http_admin_key, out of logs.</summary>
    public override string ToString() => nameof(PoolerSettings);
}
