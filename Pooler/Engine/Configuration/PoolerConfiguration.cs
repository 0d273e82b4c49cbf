using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Encryption;

namespace Pooler.Engine.Configuration;

/// <summary>When a server connection goes back to the pool.</summary>
public enum PoolMode
{
    /// <summary>When the client disconnects.</summary>
    Session,

    /// <summary>At the end of each transaction.</summary>
    Transaction,

    /// <summary>After each statement; transactions of several statements are refused.</summary>
    Statement,
}

/// <summary>How clients prove who they are (<c>auth_type</c>).</summary>
public enum AuthType
{
    /// <summary>Any name is let in, as the database's forced user.</summary>
    Any,

    /// <summary>Known names are let in without a password.</summary>
    Trust,

    /// <summary>Password in clear text.</summary>
    Plain,

    /// <summary>MD5 challenge; SCRAM for users whose stored secret is a SCRAM one.</summary>
    Md5,

    /// <summary>SCRAM-SHA-256.</summary>
    ScramSha256,

    /// <summary>A TLS client certificate with the user's name.</summary>
    Cert,

    /// <summary>What the first line of <c>auth_hba_file</c> says that matches the login.</summary>
    Hba,

    /// <summary>Password in clear text, checked by an LDAP server.</summary>
    Ldap,

    /// <summary>Password in clear text, checked by PAM.</summary>
    Pam,

    /// <summary>The Unix user at the other end of a Unix socket. In HBA lines only.</summary>
    Peer,

    /// <summary>Nobody. In HBA lines only.</summary>
    Reject,
}

/// <summary>Whether SCRAM logins at servers are bound to the TLS connection, in libpq's words (<c>channel_binding</c>).</summary>
public enum ChannelBindingMode
{
    /// <summary>Never.</summary>
    Disable,

    /// <summary>Where the server offers it.</summary>
    Prefer,

    /// <summary>Or there is no login.</summary>
    Require,
}

/// <summary>A complete, checked configuration: what the engine runs on until the next reload.</summary>
public sealed record PoolerConfiguration
{
    /// <summary>The global settings.</summary>
    public required PoolerSettings Settings { get; init; }

    /// <summary>Entries of <c>[databases]</c> by name; <c>*</c> is the fallback.</summary>
    public IReadOnlyDictionary<string, DatabaseSettings> Databases { get; init; } = new Dictionary<string, DatabaseSettings>();

    /// <summary>Entries of <c>[users]</c> and of the auth_file by name.</summary>
    public IReadOnlyDictionary<string, UserSettings> Users { get; init; } = new Dictionary<string, UserSettings>();

    /// <summary>What auth_hba_file and auth_ident_file say.</summary>
    internal AccessRules Access { get; init; } = AccessRules.None;

    /// <summary>
    /// TLS as it was read with the configuration, by root perhaps, whose rights are given up before the engine starts; null
    /// when the settings come from elsewhere: then their files are still to be read.
    /// </summary>
    internal TlsContexts? Tls { get; init; }

    /// <summary>Entries of <c>[peers]</c> by id.</summary>
    public IReadOnlyDictionary<int, PeerSettings> Peers { get; init; } = new Dictionary<int, PeerSettings>();
}

/// <summary>One entry of <c>[peers]</c>: another pooler process that may hold the connection a cancel request is for.</summary>
public sealed record PeerSettings
{
    /// <summary>The peer's <c>peer_id</c>.</summary>
    public required int Id { get; init; }

    /// <summary>Host name, address or Unix socket directory.</summary>
    public string? Host { get; init; }

    /// <summary>The peer's port.</summary>
    public int Port { get; init; } = 6432;

    /// <summary>Connections to the peer; null: <see cref="PoolerSettings.DefaultPoolSize"/>.</summary>
    public int? PoolSize { get; init; }
}

/// <summary>One entry of <c>[databases]</c>. A null member falls back to the global setting.</summary>
public sealed record DatabaseSettings
{
    /// <summary>The name clients ask for, or <c>*</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The name on the server; null: the client's.</summary>
    public string? DbName { get; init; }

    /// <summary>
    /// Host names, addresses, Unix socket directories (a leading <c>/</c>) or abstract ones (a leading <c>@</c>), comma
    /// separated; null: the local socket directory.
    /// </summary>
    public string? Host { get; init; }

    /// <summary>Port on the server; of the first host, when <see cref="PortList"/> has one per host.</summary>
    public int Port { get; init; } = 5432;

    /// <summary>One port per host, comma separated; null when all have the same.</summary>
    public string? PortList { get; init; }

    /// <summary>See <see cref="PoolerSettings.ServerChannelBinding"/>.</summary>
    public ChannelBindingMode? ChannelBinding { get; init; }

    /// <summary>See <see cref="PoolerSettings.TargetSessionAttrs"/>.</summary>
    public TargetSessionAttrs? TargetSessionAttrs { get; init; }

    /// <summary>Forced user: all clients share this user's pool.</summary>
    public string? User { get; init; }

    /// <summary>Password of the forced user.</summary>
    public string? Password { get; init; }

    /// <summary>
    /// The user that was given together with the server (DATABASES_USER, DATABASE_URL), so that its password may be shown
    /// there without a client. Clients are not forced to be it.
    /// </summary>
    public string? TargetUser { get; init; }

    /// <summary>See <see cref="PoolerSettings.DefaultPoolSize"/>.</summary>
    public int? PoolSize { get; init; }

    /// <summary>See <see cref="PoolerSettings.MinPoolSize"/>.</summary>
    public int? MinPoolSize { get; init; }

    /// <summary>See <see cref="PoolerSettings.ReservePoolSize"/>.</summary>
    public int? ReservePoolSize { get; init; }

    /// <summary>See <see cref="PoolerSettings.PoolMode"/>.</summary>
    public PoolMode? PoolMode { get; init; }

    /// <summary>See <see cref="PoolerSettings.MaxDbConnections"/>; 0: the global one.</summary>
    public int? MaxDbConnections { get; init; }

    /// <summary>See <see cref="PoolerSettings.MaxDbClientConnections"/>; 0: the global one.</summary>
    public int? MaxDbClientConnections { get; init; }

    /// <summary>See <see cref="PoolerSettings.ServerLifetime"/>; zero: the global one.</summary>
    public TimeSpan? ServerLifetime { get; init; }

    /// <summary>See <see cref="PoolerSettings.QueryWaitTimeout"/>.</summary>
    public TimeSpan? QueryWaitTimeout { get; init; }

    /// <summary>SQL run on each new server connection before it is used.</summary>
    public string? ConnectQuery { get; init; }

    /// <summary>Who runs auth_query for this database.</summary>
    public string? AuthUser { get; init; }

    /// <summary>auth_query of this database.</summary>
    public string? AuthQuery { get; init; }

    /// <summary>Database in which auth_query runs.</summary>
    public string? AuthDbName { get; init; }

    /// <summary><c>round-robin</c> or <c>disable</c>.</summary>
    public string? LoadBalanceHosts { get; init; }

    /// <summary>Startup parameters sent to the server: client_encoding, datestyle, timezone, application_name.</summary>
    public IReadOnlyDictionary<string, string> StartupParameters { get; init; } = new Dictionary<string, string>();

    /// <summary>As whom the server may be logged in to before a client has come as somebody else; null: as nobody.</summary>
    public string? ProbeUser(PoolerSettings settings)
    {
        if ((User ?? TargetUser) is { } user) return user;
        // auth_user is sent to the server of auth_dbname only.
        return (AuthDbName ?? settings.AuthDbName ?? Name) == Name && (AuthUser ?? settings.AuthUser) is { Length: > 0 } asker ? asker : null;
    }

    /// <summary>Keeps a record's generated text from carrying the password into a log.</summary>
    public override string ToString() => $"database {Name}";
}

/// <summary>One entry of <c>[users]</c> or of the auth_file. A null member falls back to the database's or global setting.</summary>
public sealed record UserSettings
{
    /// <summary>The user's name.</summary>
    public required string Name { get; init; }

    /// <summary>
    /// Plain text, <c>md5…</c> or <c>SCRAM-SHA-256$…</c>; null when the user is known by its settings only. Never logged.
    /// </summary>
    public string? Secret { get; init; }

    /// <summary>
    /// Whether it may log in: listed in the auth_file, given a password, or the target's user. False for names that only
    /// limits of <c>[users]</c>, a forced user or <c>auth_type = any</c> have
    /// brought up: they cannot log in where known names are asked for.
    /// </summary>
    public bool IsKnown { get; init; } = true;

    /// <summary>See <see cref="PoolerSettings.DefaultPoolSize"/>.</summary>
    public int? PoolSize { get; init; }

    /// <summary>See <see cref="PoolerSettings.ReservePoolSize"/>.</summary>
    public int? ReservePoolSize { get; init; }

    /// <summary>See <see cref="PoolerSettings.PoolMode"/>.</summary>
    public PoolMode? PoolMode { get; init; }

    /// <summary>See <see cref="PoolerSettings.MaxUserConnections"/>; 0: the global one.</summary>
    public int? MaxUserConnections { get; init; }

    /// <summary>See <see cref="PoolerSettings.MaxUserClientConnections"/>; 0: the global one.</summary>
    public int? MaxUserClientConnections { get; init; }

    /// <summary>See <see cref="PoolerSettings.QueryTimeout"/>.</summary>
    public TimeSpan? QueryTimeout { get; init; }

    /// <summary>See <see cref="PoolerSettings.QueryWaitTimeout"/>.</summary>
    public TimeSpan? QueryWaitTimeout { get; init; }

    /// <summary>See <see cref="PoolerSettings.IdleTransactionTimeout"/>.</summary>
    public TimeSpan? IdleTransactionTimeout { get; init; }

    /// <summary>See <see cref="PoolerSettings.TransactionTimeout"/>.</summary>
    public TimeSpan? TransactionTimeout { get; init; }

    /// <summary>See <see cref="PoolerSettings.ClientIdleTimeout"/>.</summary>
    public TimeSpan? ClientIdleTimeout { get; init; }

    /// <summary>Keeps a record's generated text from carrying the secret into a log.</summary>
    public override string ToString() => $"user {Name}";
}
