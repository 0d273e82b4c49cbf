using System.Collections.Immutable;
using S = Pooler.Engine.Configuration.PoolerSettings;

namespace Pooler.Engine.Configuration;

/// <summary>
/// The settings of section <c>[pgbouncer]</c>, each declared once. PgBouncer's come in the order of its SHOW CONFIG,
/// our own after them. Defaults are those of <see cref="PoolerSettings"/>.
/// </summary>
internal static class GlobalSettings
{
    public static readonly (string Word, PoolMode Value)[] PoolModes =
        [("session", PoolMode.Session), ("transaction", PoolMode.Transaction), ("statement", PoolMode.Statement)];

    public static readonly (string Word, ChannelBindingMode Value)[] ChannelBindingWords =
        [("disable", ChannelBindingMode.Disable), ("prefer", ChannelBindingMode.Prefer), ("require", ChannelBindingMode.Require)];

    public static readonly (string Word, TargetSessionAttrs Value)[] TargetSessionAttrsWords =
    [
        ("any", TargetSessionAttrs.Any), ("read-write", TargetSessionAttrs.ReadWrite), ("read-only", TargetSessionAttrs.ReadOnly),
        ("primary", TargetSessionAttrs.Primary), ("standby", TargetSessionAttrs.Standby), ("prefer-standby", TargetSessionAttrs.PreferStandby),
    ];

    private const string CiphersNote = "on Linux and macOS only; a choice costs memory per connection, as OpenSSL's settings are then not shared";

    private static readonly EnumKind<AuthType> AuthTypes = new(
        [
            ("any", AuthType.Any), ("trust", AuthType.Trust), ("plain", AuthType.Plain), ("md5", AuthType.Md5),
            ("scram-sha-256", AuthType.ScramSha256), ("cert", AuthType.Cert), ("hba", AuthType.Hba),
            ("ldap", AuthType.Ldap), ("pam", AuthType.Pam),
        ]);

    private static readonly EnumKind<ChannelBindingMode> ChannelBindings = new(ChannelBindingWords);
    private static readonly EnumKind<TargetSessionAttrs> TargetAttrs = new(TargetSessionAttrsWords);

    private static readonly EnumKind<SslMode> SslModes = new(
        [("disable", SslMode.Disable), ("allow", SslMode.Allow), ("prefer", SslMode.Prefer), ("require", SslMode.Require),
            ("verify-ca", SslMode.VerifyCa), ("verify-full", SslMode.VerifyFull)]);

    private static readonly bool Windows = OperatingSystem.IsWindows();

    public static readonly ImmutableArray<Setting<S>> All =
    [
        Text("admin_users", s => s.AdminUsers, (s, v) => s with { AdminUsers = v }, "users allowed every console command, comma separated",
            note: "without it, the user named by DATABASES_USER or the database URL is admin"),
        Switch("application_name_add_host", s => s.ApplicationNameAddHost, (s, v) => s with { ApplicationNameAddHost = v }, "append the client's address to application_name at login"),
        Optional("auth_dbname", s => s.AuthDbName, (s, v) => s with { AuthDbName = v }, "database in which auth_query runs; the client's own when unset", scopes: "database"),
        Optional("auth_file", s => s.AuthFile, (s, v) => s with { AuthFile = v }, "file of names and secrets"),
        Text("auth_hba_file", s => s.AuthHbaFile, (s, v) => s with { AuthHbaFile = v }, "rules by database, user and address, used with auth_type hba"),
        Optional("auth_ident_file", s => s.AuthIdentFile, (s, v) => s with { AuthIdentFile = v }, "name maps for the methods cert and peer of auth_hba_file"),
        Setting<S>.Of("auth_ldap_options", new TextKind(emptyIsUnset: true), s => s.AuthLdapOptions, (s, v) => s with { AuthLdapOptions = v },
            "where and how auth_type ldap asks: ldapserver, ldapport, ldapscheme, ldaptls, ldapprefix, ldapsuffix, ldapbasedn, ldapbinddn, ldapbindpasswd, ldapsearchattribute, ldapsearchfilter, ldapurl", secret: true),
        Text("auth_query", s => s.AuthQuery, (s, v) => s with { AuthQuery = v }, "query that returns name and secret for the name $1, run at each login of a user whom auth_file does not list", scopes: "database"),
        Setting<S>.Of("auth_type", AuthTypes, s => s.AuthType, (s, v) => s with { AuthType = v }, "how clients prove who they are"),
        Optional("auth_user", s => s.AuthUser, (s, v) => s with { AuthUser = v }, "who runs auth_query, with a password from auth_file; without it there are no such queries", scopes: "database"),
        Time("autodb_idle_timeout", s => s.AutodbIdleTimeout, (s, v) => s with { AutodbIdleTimeout = v }, "forget an unused database made from * after this"),
        Time("cancel_wait_timeout", s => s.CancelWaitTimeout, (s, v) => s with { CancelWaitTimeout = v }, "limit of a cancel request's wait"),
        Time("client_idle_timeout", s => s.ClientIdleTimeout, (s, v) => s with { ClientIdleTimeout = v }, "close a client idle this long; 0 is never", scopes: "user"),
        Time("client_login_timeout", s => s.ClientLoginTimeout, (s, v) => s with { ClientLoginTimeout = v }, "limit of a client's login; 0 is none"),
        Optional("client_tls13_ciphers", s => s.ClientTls13Ciphers, (s, v) => s with { ClientTls13Ciphers = v }, "TLS 1.3 suites for clients", note: CiphersNote),
        Text("client_tls_ca_file", s => s.ClientTlsCaFile, (s, v) => s with { ClientTlsCaFile = v }, "CA that client certificates must chain to"),
        Text("client_tls_cert_file", s => s.ClientTlsCertFile, (s, v) => s with { ClientTlsCertFile = v }, "own certificate towards clients, with its chain"),
        Text("client_tls_ciphers", s => s.ClientTlsCiphers, (s, v) => s with { ClientTlsCiphers = v }, "TLS suites up to 1.2 for clients, in OpenSSL's syntax", note: CiphersNote),
        Named("client_tls_dheparams", Words("none", "auto", "legacy"), "auto", "DH parameters", "no effect: .NET offers no DHE suites to clients", heeded: ["none"]),
        Named("client_tls_ecdhcurve", new TextKind(), "auto", "none, auto or the name of a curve", "no effect: .NET cannot choose; the system's OpenSSL does, see Groups in openssl.cnf"),
        Text("client_tls_key_file", s => s.ClientTlsKeyFile, (s, v) => s with { ClientTlsKeyFile = v }, "own key towards clients, without a passphrase"),
        Text("client_tls_protocols", s => s.ClientTlsProtocols, (s, v) => s with { ClientTlsProtocols = v }, "TLS versions for clients"),
        Setting<S>.Of("client_tls_sslmode", SslModes, s => s.ClientTlsSslMode, (s, v) => s with { ClientTlsSslMode = v }, "whether clients may or must use TLS, and whether their certificates are checked"),
        Optional("conffile", s => s.ConfFile, (s, v) => s with { ConfFile = v }, "the configuration file; a changed one is used at the next RELOAD", plainEnvironment: false),
        Number("default_pool_size", s => s.DefaultPoolSize, (s, v) => s with { DefaultPoolSize = v }, "server connections per pool, that is per database and user; 0 is no limit", scopes: "database and user, as pool_size"),
        Switch("disable_pqexec", s => s.DisablePqexec, (s, v) => s with { DisablePqexec = v }, "refuse the simple query protocol", reloadable: false),
        Time("dns_max_ttl", s => s.DnsMaxTtl, (s, v) => s with { DnsMaxTtl = v }, "how long the addresses of a host name are kept, whatever their own TTL",
            note: "names whose database is in use are looked up again then, and servers at an address that is gone are closed when free"),
        Time("dns_nxdomain_ttl", s => s.DnsNxdomainTtl, (s, v) => s with { DnsNxdomainTtl = v }, "how long a failed lookup is kept"),
        Time("dns_zone_check_period", s => s.DnsZoneCheckPeriod, (s, v) => s with { DnsZoneCheckPeriod = v }, "period of asking the serials of the host names' zones; names of a changed zone are looked up again; 0 is never"),
        Time("idle_transaction_timeout", s => s.IdleTransactionTimeout, (s, v) => s with { IdleTransactionTimeout = v }, "close a client idle in a transaction this long; 0 is never", scopes: "user"),
        Text("ignore_startup_parameters", s => s.IgnoreStartupParameters, (s, v) => s with { IgnoreStartupParameters = v }, "startup parameters accepted and thrown away, comma separated",
            note: "needed for what is to be thrown away only: parameters that PgBouncer does not know and refuses are kept per client"),
        Text("job_name", s => s.JobName, (s, v) => s with { JobName = v }, "name of the Windows service", note: "no effect: this build is not a Windows service", inert: true, reloadable: false, plainEnvironment: false, aliases: ["service_name"]),
        Text("listen_addr", s => s.ListenAddr, (s, v) => s with { ListenAddr = v }, "TCP addresses or host names to listen on, comma separated; * is all, empty is none", reloadable: false,
            note: "without a configuration file the default is 127.0.0.1, in a container *"),
        Number("listen_backlog", s => s.ListenBacklog, (s, v) => s with { ListenBacklog = v }, "backlog of listen(2)", reloadable: false),
        Number("listen_port", s => s.ListenPort, (s, v) => s with { ListenPort = v }, "TCP port, also in the Unix socket's name; 0 picks a free one", max: 65535, reloadable: false),
        Switch("log_connections", s => s.LogConnections, (s, v) => s with { LogConnections = v }, "log logins"),
        Switch("log_disconnections", s => s.LogDisconnections, (s, v) => s with { LogDisconnections = v }, "log disconnections with their reason"),
        Switch("log_pooler_errors", s => s.LogPoolerErrors, (s, v) => s with { LogPoolerErrors = v }, "log errors sent to clients"),
        Switch("log_stats", s => s.LogStats, (s, v) => s with { LogStats = v }, "log one line of statistics each period"),
        Text("logfile", s => s.LogFile, (s, v) => s with { LogFile = v }, "file that the log is appended to; opened anew at RELOAD", plainEnvironment: false),
        Text("login_notify_message", s => s.LoginNotifyMessage, (s, v) => s with { LoginNotifyMessage = v }, "notice sent to each client after login"),
        Number("max_client_conn", s => s.MaxClientConn, (s, v) => s with { MaxClientConn = v }, "client connections in all"),
        Limit("max_db_client_connections", s => s.MaxDbClientConnections, (s, v) => s with { MaxDbClientConnections = v }, "client connections per database; 0 is no limit", scopes: "database"),
        Limit("max_db_connections", s => s.MaxDbConnections, (s, v) => s with { MaxDbConnections = v }, "server connections per database over all users; 0 is no limit", scopes: "database"),
        Setting<S>.Of("max_packet_size", new UIntKind(1, uint.MaxValue), s => s.MaxPacketSize, (s, v) => s with { MaxPacketSize = v }, "bytes of the largest message let through"),
        Limit("max_prepared_statements", s => s.MaxPreparedStatements, (s, v) => s with { MaxPreparedStatements = v }, "prepared statements kept per server connection; 0 switches them off in transaction and statement mode"),
        Limit("max_user_client_connections", s => s.MaxUserClientConnections, (s, v) => s with { MaxUserClientConnections = v }, "client connections per user; 0 is no limit", scopes: "user"),
        Limit("max_user_connections", s => s.MaxUserConnections, (s, v) => s with { MaxUserConnections = v }, "server connections per user over all databases; 0 is no limit", scopes: "user"),
        Limit("min_pool_size", s => s.MinPoolSize, (s, v) => s with { MinPoolSize = v }, "server connections kept open in a pool that has a client or a forced user", scopes: "database"),
        Number("peer_id", s => s.PeerId, (s, v) => s with { PeerId = v }, "this process among its peers, to which it passes cancel requests on; 0 is alone", max: 16383),
        Text("pidfile", s => s.PidFile, (s, v) => s with { PidFile = v }, "file of the process id; -d needs it", reloadable: false, plainEnvironment: false),
        Named("pkt_buf", new IntKind(1), 4096, "bytes of a connection's buffer", "no effect: buffers belong to event loops, not to connections", reloadable: false),
        Setting<S>.Of("pool_mode", new EnumKind<PoolMode>(PoolModes), s => s.PoolMode, (s, v) => s with { PoolMode = v }, "when a server connection goes back to the pool",
            note: "with a configuration file the default is session, as in PgBouncer", scopes: "database, user"),
        Time("pool_idle_timeout", s => s.PoolIdleTimeout, (s, v) => s with { PoolIdleTimeout = v }, "free a pool without clients and servers after this; 0 is never"),
        Time("query_timeout", s => s.QueryTimeout, (s, v) => s with { QueryTimeout = v }, "end longer queries; 0 is never", scopes: "user"),
        Limit("query_wait_notify", s => s.QueryWaitNotify, (s, v) => s with { QueryWaitNotify = v }, "seconds of waiting after which a client gets a notice; 0 is never"),
        Time("query_wait_timeout", s => s.QueryWaitTimeout, (s, v) => s with { QueryWaitTimeout = v }, "limit of waiting for a server connection; 0 is none", scopes: "database, user"),
        Limit("reserve_pool_size", s => s.ReservePoolSize, (s, v) => s with { ReservePoolSize = v }, "further server connections of a pool once a client waited reserve_pool_timeout", scopes: "database, user"),
        Time("reserve_pool_timeout", s => s.ReservePoolTimeout, (s, v) => s with { ReservePoolTimeout = v }, "wait before the reserve is used; 0 is never"),
        Text("resolv_conf", s => s.ResolvConf, (s, v) => s with { ResolvConf = v }, "file of name servers (nameserver, search, options) to ask instead of the operating system's resolver; empty is the latter",
            note: "beyond resolv.conf(5), a name server may have a port, as in 127.0.0.1:5353", reloadable: false, plainEnvironment: false),
        Named("sbuf_loopcnt", new IntKind(), 5, "reads from a connection before others get their turn", "no effect: loops share their time by themselves"),
        Number("scram_iterations", s => s.ScramIterations, (s, v) => s with { ScramIterations = v }, "iterations of SCRAM secrets made from plain passwords", min: 1),
        Time("server_check_delay", s => s.ServerCheckDelay, (s, v) => s with { ServerCheckDelay = v }, "idle time after which a server connection is checked before use"),
        Text("server_check_query", s => s.ServerCheckQuery, (s, v) => s with { ServerCheckQuery = v }, "query of that check; <empty> is an empty query, empty is no check"),
        Time("server_connect_timeout", s => s.ServerConnectTimeout, (s, v) => s with { ServerConnectTimeout = v }, "limit of connecting and logging in to a server"),
        Switch("server_fast_close", s => s.ServerFastClose, (s, v) => s with { ServerFastClose = v }, "in session mode end a session at the end of its transaction when its server connection is to be closed"),
        Time("server_idle_timeout", s => s.ServerIdleTimeout, (s, v) => s with { ServerIdleTimeout = v }, "close server connections idle this long; 0 is never"),
        Time("server_lifetime", s => s.ServerLifetime, (s, v) => s with { ServerLifetime = v }, "close server connections older than this when free; 0 is after a single use", scopes: "database"),
        Time("server_login_retry", s => s.ServerLoginRetry, (s, v) => s with { ServerLoginRetry = v }, "pause after a failed login to a server"),
        Text("server_reset_query", s => s.ServerResetQuery, (s, v) => s with { ServerResetQuery = v }, "run when a server connection is released in session mode; empty is none"),
        Switch("server_reset_query_always", s => s.ServerResetQueryAlways, (s, v) => s with { ServerResetQueryAlways = v }, "run server_reset_query in every mode"),
        Switch("server_round_robin", s => s.ServerRoundRobin, (s, v) => s with { ServerRoundRobin = v }, "use free server connections in turn instead of the last used first"),
        Optional("server_tls13_ciphers", s => s.ServerTls13Ciphers, (s, v) => s with { ServerTls13Ciphers = v }, "TLS 1.3 suites towards servers", note: CiphersNote),
        Text("server_tls_ca_file", s => s.ServerTlsCaFile, (s, v) => s with { ServerTlsCaFile = v }, "CA that server certificates must chain to; empty is the system's"),
        Text("server_tls_cert_file", s => s.ServerTlsCertFile, (s, v) => s with { ServerTlsCertFile = v }, "own certificate towards servers, with its chain"),
        Text("server_tls_ciphers", s => s.ServerTlsCiphers, (s, v) => s with { ServerTlsCiphers = v }, "TLS suites up to 1.2 towards servers, in OpenSSL's syntax", note: CiphersNote),
        Text("server_tls_key_file", s => s.ServerTlsKeyFile, (s, v) => s with { ServerTlsKeyFile = v }, "own key towards servers, without a passphrase"),
        Text("server_tls_protocols", s => s.ServerTlsProtocols, (s, v) => s with { ServerTlsProtocols = v }, "TLS versions towards servers"),
        Setting<S>.Of("server_tls_sslmode", SslModes, s => s.ServerTlsSslMode, (s, v) => s with { ServerTlsSslMode = v }, "whether connections to servers may or must use TLS, and whether certificates and host names are checked"),
        Switch("so_reuseport", s => s.SoReuseport, (s, v) => s with { SoReuseport = v }, "let several processes listen on the TCP port", note: "one process uses all cores; this is for a new process beside an old one", reloadable: false),
        Number("stats_period", s => s.StatsPeriod, (s, v) => s with { StatsPeriod = v }, "seconds over which averages are taken", min: 1),
        Text("stats_users", s => s.StatsUsers, (s, v) => s with { StatsUsers = v }, "users allowed SHOW on the console, comma separated"),
        Time("suspend_timeout", s => s.SuspendTimeout, (s, v) => s with { SuspendTimeout = v }, "limit of flushing in SUSPEND and of an online restart"),
        Setting<S>.Of("syslog", new BoolKind(), s => s.Syslog, (s, v) => s with { Syslog = v }, "log to syslog, too", note: "no effect on Windows", plainEnvironment: false),
        Setting<S>.Of("syslog_facility", Words("auth", "authpriv", "daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"), s => s.SyslogFacility, (s, v) => s with { SyslogFacility = v! }, "facility at syslog", plainEnvironment: false),
        Text("syslog_ident", s => s.SyslogIdent, (s, v) => s with { SyslogIdent = v }, "name at syslog", plainEnvironment: false),
        Setting<S>.Of("tcp_defer_accept", new BoolKind(), s => s.TcpDeferAccept, (s, v) => s with { TcpDeferAccept = v }, "wake for a new client only when it has sent something (Linux)"),
        Switch("tcp_keepalive", s => s.TcpKeepalive, (s, v) => s with { TcpKeepalive = v }, "TCP keepalive"),
        Number("tcp_keepcnt", s => s.TcpKeepcnt, (s, v) => s with { TcpKeepcnt = v }, "keepalive probes; 0 is the system's"),
        Number("tcp_keepidle", s => s.TcpKeepidle, (s, v) => s with { TcpKeepidle = v }, "seconds before the first keepalive probe; 0 is the system's"),
        Number("tcp_keepintvl", s => s.TcpKeepintvl, (s, v) => s with { TcpKeepintvl = v }, "seconds between keepalive probes; 0 is the system's"),
        Number("tcp_socket_buffer", s => s.TcpSocketBuffer, (s, v) => s with { TcpSocketBuffer = v }, "bytes of the socket buffers; 0 is the system's"),
        Number("tcp_user_timeout", s => s.TcpUserTimeout, (s, v) => s with { TcpUserTimeout = v }, "milliseconds that sent data may stay unacknowledged; 0 is the system's"),
        Text("track_extra_parameters", s => s.TrackExtraParameters, (s, v) => s with { TrackExtraParameters = v }, "further reported parameters kept per client, comma separated",
            note: "those that PostgreSQL reports by itself are kept anyway, as from PgBouncer 1.26 on", reloadable: false),
        Time("transaction_timeout", s => s.TransactionTimeout, (s, v) => s with { TransactionTimeout = v }, "close a client in one transaction this long; 0 is never", scopes: "user"),
        Text("unix_socket_dir", s => s.UnixSocketDir, (s, v) => s with { UnixSocketDir = v }, "directory of the Unix socket; @name is an abstract one (Linux), empty is none", reloadable: false),
        Text("unix_socket_group", s => s.UnixSocketGroup, (s, v) => s with { UnixSocketGroup = v }, "group of the Unix socket, by name or number", reloadable: false, listed: !Windows),
        Setting<S>.Of("unix_socket_mode", new FileModeKind(), s => s.UnixSocketMode, (s, v) => s with { UnixSocketMode = v }, "file mode of the Unix socket, in octal", note: "octal also without the leading 0", reloadable: false, listed: !Windows),
        // PGBOUNCER_USER is what applications call their login at the pooler, never a Unix user for it.
        Optional("user", s => s.User, (s, v) => s with { User = v }, "Unix user to change to when started as root", reloadable: false, plainEnvironment: false, pgBouncerEnvironment: false, listed: !Windows),
        Setting<S>.Of("verbose", new IntKind(), s => s.Verbose, (s, v) => s with { Verbose = v }, "how much is logged: 0 to 3", plainEnvironment: false, hasDefault: false),

        Own("server_channel_binding", ChannelBindings, s => s.ServerChannelBinding, (s, v) => s with { ServerChannelBinding = v }, "whether SCRAM logins at servers are bound to the TLS connection, as libpq's channel_binding; channel_binding in a database's entry wins", scopes: "database"),
        Own("target_session_attrs", TargetAttrs, s => s.TargetSessionAttrs, (s, v) => s with { TargetSessionAttrs = v }, "which hosts are connected to, as in libpq; hosts that do not fit are passed over", scopes: "database"),
        Own("log_format", Words("text", "json"), s => s.LogFormat, (s, v) => s with { LogFormat = v! }, "lines of the log on the console and in logfile: text (PgBouncer's) or json, one object a line"),
        Own("server_tls_sslnegotiation", new EnumKind<bool>([("postgres", false), ("direct", true)]), s => s.ServerTlsDirect, (s, v) => s with { ServerTlsDirect = v },
            "how TLS with servers begins: asked for with a SSLRequest, or at once (PostgreSQL 17 and later)"),
        Own("max_client_prepared_bytes", new IntKind(0), s => s.MaxClientPreparedBytes, (s, v) => s with { MaxClientPreparedBytes = v },
            "bytes that one client's named prepared statements may take where the pool keeps them (transaction and statement mode), each counted with its name and 100 more; 0 is no limit"),
        Own("event_loops", new IntKind(0, 1024), s => s.EventLoops, (s, v) => s with { EventLoops = v }, "event loop threads; 0 is one per core, one on two cores or fewer", reloadable: false),
        Own("server_cores", new IntKind(0, 65536), s => s.ServerCores, (s, v) => s with { ServerCores = v }, "cores of each PostgreSQL server, for advice on pool sizes; 0 is this machine's for servers on it, and unknown for others"),
        Own("io_backend", Words("auto", "epoll", "sockets"), s => s.IoBackend, (s, v) => s with { IoBackend = v! }, "how sockets are driven: epoll (Linux), sockets (everywhere), auto (the better one)", reloadable: false),
        Own("http_addr", new AddressListKind(), s => s.HttpAddr, (s, v) => s with { HttpAddr = v }, "addresses of the HTTP ports", reloadable: false),
        Own("http_port", new IntKind(0, 65535), s => s.HttpPort, (s, v) => s with { HttpPort = v }, "port of the web page, /health, /alive and /metrics; 0 is off", reloadable: false),
        Own("http_admin_port", new IntKind(0, 65535), s => s.HttpAdminPort, (s, v) => s with { HttpAdminPort = v }, "port of the web page with its commands, and of POST /admin/pause, resume, reload, reconnect and kill_client; 0 is off", reloadable: false),
        Own("http_admin_key", new TextKind(), s => s.HttpAdminKey, (s, v) => s with { HttpAdminKey = v! }, "key that /admin requires, in the header X-Admin-Key or as a bearer token", secret: true),
        Own("http_page", new BoolKind(), s => s.HttpPage, (s, v) => s with { HttpPage = v }, "whether there is a web page of the pools at / of the HTTP ports"),
        Own("slow_query_time", new TimeKind(), s => s.SlowQueryTime, (s, v) => s with { SlowQueryTime = v }, "queries that take this long count as slow: they are listed, and logged with log_slow_queries; 0 is none"),
        Own("slow_wait_time", new TimeKind(), s => s.SlowWaitTime, (s, v) => s with { SlowWaitTime = v }, "waits for a server connection of this length count as slow: they are listed, and logged with log_slow_waits; 0 is none"),
        Own("log_slow_queries", new BoolKind(), s => s.LogSlowQueries, (s, v) => s with { LogSlowQueries = v }, "log slow queries"),
        Own("log_slow_waits", new BoolKind(), s => s.LogSlowWaits, (s, v) => s with { LogSlowWaits = v }, "log slow waits"),
        Own("log_query_parameters", new BoolKind(), s => s.LogQueryParameters, (s, v) => s with { LogQueryParameters = v },
            "show and log texts of queries as they are; otherwise their literals are replaced by ?"),
    ];

    private static EnumKind<string?> Words(params string[] words) => new([.. words.Select(w => (w, (string?)w))]);

    private static Setting<S> Text(string name, Func<S, string> get, Func<S, string, S> set, string meaning, string? note = null, bool inert = false,
        bool reloadable = true, bool plainEnvironment = true, bool listed = true, string? scopes = null, string[]? aliases = null) =>
        Setting<S>.Of(name, new TextKind(), s => get(s), (s, v) => set(s, v ?? ""), meaning, note, inert, reloadable,
            plainEnvironment: plainEnvironment, listed: listed, scopes: scopes, aliases: aliases);

    private static Setting<S> Optional(string name, Func<S, string?> get, Func<S, string?, S> set, string meaning, string? note = null, bool inert = false,
        bool reloadable = true, bool plainEnvironment = true, bool pgBouncerEnvironment = true, bool listed = true, string? scopes = null) =>
        Setting<S>.Of(name, new TextKind(emptyIsUnset: true), get, set, meaning, note, inert, reloadable,
            plainEnvironment: plainEnvironment, pgBouncerEnvironment: pgBouncerEnvironment, listed: listed, scopes: scopes);

    private static Setting<S> Number(string name, Func<S, int> get, Func<S, int, S> set, string meaning, int min = 0, int max = int.MaxValue,
        string? note = null, bool inert = false, bool reloadable = true, bool plainEnvironment = true, string? scopes = null) =>
        Setting<S>.Of(name, new IntKind(min, max), get, set, meaning, note, inert, reloadable, plainEnvironment: plainEnvironment, scopes: scopes);

    private static Setting<S> Limit(string name, Func<S, int> get, Func<S, int, S> set, string meaning, string? scopes = null) =>
        Setting<S>.Of(name, new IntKind(negativeIsZero: true), get, set, meaning, scopes: scopes);

    private static Setting<S> Switch(string name, Func<S, bool> get, Func<S, bool, S> set, string meaning, string? note = null, bool inert = false, bool reloadable = true) =>
        Setting<S>.Of(name, new BoolKind(), get, set, meaning, note, inert, reloadable);

    private static Setting<S> Time(string name, Func<S, TimeSpan> get, Func<S, TimeSpan, S> set, string meaning, string? note = null, bool inert = false, string? scopes = null) =>
        Setting<S>.Of(name, new TimeKind(), get, set, meaning, note, inert, scopes: scopes);

    private static Setting<S> Own<T>(string name, SettingKind<T> kind, Func<S, T> get, Func<S, T, S> set, string meaning, bool reloadable = true, bool secret = false,
        string? scopes = null) =>
        Setting<S>.Of(name, kind, get, set, meaning, reloadable: reloadable, secret: secret, own: true, scopes: scopes);

    /// <summary>A setting that this build knows by name only: read, checked, shown, and kept for the build that uses it.</summary>
    private static Setting<S> Named<T>(string name, SettingKind<T> kind, T byDefault, string meaning, string note,
        bool reloadable = true, bool secret = false, bool plainEnvironment = true, Func<string, string?>? unsupported = null, string[]? heeded = null) =>
        Setting<S>.Of(
            name,
            kind,
            s => s.Inert.TryGetValue(name, out var text) && kind.TryRead(text, out var value, out _) ? value : byDefault,
            (s, v) => s with { Inert = s.Inert.SetItem(name, kind.Show(v) ?? "") },
            meaning, note, inert: true, reloadable, secret, plainEnvironment: plainEnvironment, unsupported: unsupported, heeded: heeded);

}
