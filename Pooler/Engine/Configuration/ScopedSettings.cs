using System.Collections.Immutable;
using System.Globalization;

namespace Pooler.Engine.Configuration;

/// <summary>Keys of a <c>[databases]</c> entry.</summary>
internal static class DatabaseKeys
{
    public static readonly EnumKind<PoolMode?> PoolModes = new([.. GlobalSettings.PoolModes.Select(m => (m.Word, (PoolMode?)m.Value))]);

    private static readonly EnumKind<ChannelBindingMode?> ChannelBindings = new([.. GlobalSettings.ChannelBindingWords.Select(m => (m.Word, (ChannelBindingMode?)m.Value))]);
    private static readonly EnumKind<TargetSessionAttrs?> TargetAttrs = new([.. GlobalSettings.TargetSessionAttrsWords.Select(m => (m.Word, (TargetSessionAttrs?)m.Value))]);

    public static readonly ImmutableArray<Setting<DatabaseSettings>> All =
    [
        Text("dbname", d => d.DbName, (d, v) => d with { DbName = v }, "name of the database on the server; the client's when unset"),
        Text("host", d => d.Host, (d, v) => d with { Host = v }, "host name, address, Unix socket directory (/dir, @dir when abstract), or a comma list of them; the local Unix socket when unset"),
        Setting<DatabaseSettings>.Of("port", new PortListKind(), d => d.PortList ?? PortListKind.Text(d.Port), PortListKind.Set, "port on the server; a comma list has one per host"),
        Text("user", d => d.User, (d, v) => d with { User = v }, "forced user: every client shares this user's pool and rights"),
        Setting<DatabaseSettings>.Of("password", new TextKind(emptyIsUnset: true), d => d.Password, (d, v) => d with { Password = v }, "password of the forced user", secret: true),
        Text("auth_user", d => d.AuthUser, (d, v) => d with { AuthUser = v }, "see the global setting"),
        Text("auth_query", d => d.AuthQuery, (d, v) => d with { AuthQuery = v }, "see the global setting"),
        Text("auth_dbname", d => d.AuthDbName, (d, v) => d with { AuthDbName = v }, "see the global setting"),
        Override("pool_size", d => d.PoolSize, (d, v) => d with { PoolSize = v }, "see default_pool_size"),
        Override("min_pool_size", d => d.MinPoolSize, (d, v) => d with { MinPoolSize = v }, "see the global setting"),
        Override("reserve_pool_size", d => d.ReservePoolSize, (d, v) => d with { ReservePoolSize = v }, "see the global setting", aliases: ["reserve_pool"]),
        // Masked where values are shown: it may hold a password.
        Setting<DatabaseSettings>.Of("connect_query", new TextKind(emptyIsUnset: true), d => d.ConnectQuery, (d, v) => d with { ConnectQuery = v }, "SQL run on each new server connection before it is used", secret: true),
        Setting<DatabaseSettings>.Of("pool_mode", PoolModes, d => d.PoolMode, (d, v) => d with { PoolMode = v }, "see the global setting"),
        Time("query_wait_timeout", d => d.QueryWaitTimeout, (d, v) => d with { QueryWaitTimeout = v }, "see the global setting"),
        Setting<DatabaseSettings>.Of("load_balance_hosts", new EnumKind<string?>([("round-robin", "round-robin"), ("disable", "disable")]), d => d.LoadBalanceHosts, (d, v) => d with { LoadBalanceHosts = v }, "with several hosts: take them in turn, or keep to one until it fails"),
        Setting<DatabaseSettings>.Of("channel_binding", ChannelBindings, d => d.ChannelBinding, (d, v) => d with { ChannelBinding = v }, "see server_channel_binding", own: true),
        Setting<DatabaseSettings>.Of("target_session_attrs", TargetAttrs, d => d.TargetSessionAttrs, (d, v) => d with { TargetSessionAttrs = v }, "see the global setting", own: true),
        Limit("max_db_connections", d => d.MaxDbConnections, (d, v) => d with { MaxDbConnections = v }, "see the global setting"),
        Limit("max_db_client_connections", d => d.MaxDbClientConnections, (d, v) => d with { MaxDbClientConnections = v }, "see the global setting"),
        Setting<DatabaseSettings>.Of("server_lifetime", new TimeOverrideKind(zeroIsUnset: true), d => d.ServerLifetime, (d, v) => d with { ServerLifetime = v }, "see the global setting"),
        Parameter("client_encoding"),
        Parameter("datestyle"),
        Parameter("timezone"),
        Parameter("application_name"),
    ];

    private static Setting<DatabaseSettings> Text(string name, Func<DatabaseSettings, string?> get, Func<DatabaseSettings, string?, DatabaseSettings> set, string meaning) =>
        Setting<DatabaseSettings>.Of(name, new TextKind(emptyIsUnset: true), get, set, meaning);

    private static Setting<DatabaseSettings> Override(string name, Func<DatabaseSettings, int?> get, Func<DatabaseSettings, int?, DatabaseSettings> set, string meaning, string[]? aliases = null) =>
        Setting<DatabaseSettings>.Of(name, new OverrideKind(), get, set, meaning, aliases: aliases);

    private static Setting<DatabaseSettings> Limit(string name, Func<DatabaseSettings, int?> get, Func<DatabaseSettings, int?, DatabaseSettings> set, string meaning) =>
        Setting<DatabaseSettings>.Of(name, new OverrideKind(zeroIsUnset: true), get, set, meaning);

    private static Setting<DatabaseSettings> Time(string name, Func<DatabaseSettings, TimeSpan?> get, Func<DatabaseSettings, TimeSpan?, DatabaseSettings> set, string meaning) =>
        Setting<DatabaseSettings>.Of(name, new TimeOverrideKind(), get, set, meaning);

    private static Setting<DatabaseSettings> Parameter(string name) =>
        Setting<DatabaseSettings>.Of(
            name,
            new TextKind(emptyIsUnset: true),
            d => d.StartupParameters.GetValueOrDefault(name),
            (d, v) => d with
            {
                StartupParameters = v is null
                    ? d.StartupParameters
                    : new Dictionary<string, string>(d.StartupParameters) { [name] = v },
            },
            "startup parameter given to the server on connecting");
}

/// <summary>Keys of a <c>[users]</c> entry.</summary>
internal static class UserKeys
{
    public static readonly ImmutableArray<Setting<UserSettings>> All =
    [
        Setting<UserSettings>.Of("password", new TextKind(emptyIsUnset: true), u => u.Secret, (u, v) => u with { Secret = v }, "the user's secret, in a form of the auth_file; wins over the auth_file", secret: true, own: true, aliases: ["secret"]),
        Setting<UserSettings>.Of("pool_size", new OverrideKind(), u => u.PoolSize, (u, v) => u with { PoolSize = v }, "see default_pool_size"),
        Setting<UserSettings>.Of("reserve_pool_size", new OverrideKind(), u => u.ReservePoolSize, (u, v) => u with { ReservePoolSize = v }, "see the global setting"),
        Setting<UserSettings>.Of("pool_mode", DatabaseKeys.PoolModes, u => u.PoolMode, (u, v) => u with { PoolMode = v }, "see the global setting"),
        Setting<UserSettings>.Of("max_user_connections", new OverrideKind(zeroIsUnset: true), u => u.MaxUserConnections, (u, v) => u with { MaxUserConnections = v }, "see the global setting"),
        Setting<UserSettings>.Of("max_user_client_connections", new OverrideKind(zeroIsUnset: true), u => u.MaxUserClientConnections, (u, v) => u with { MaxUserClientConnections = v }, "see the global setting"),
        Time("query_timeout", u => u.QueryTimeout, (u, v) => u with { QueryTimeout = v }),
        Setting<UserSettings>.Of("query_wait_timeout", new TimeOverrideKind(), u => u.QueryWaitTimeout, (u, v) => u with { QueryWaitTimeout = v }, "see the global setting"),
        Time("idle_transaction_timeout", u => u.IdleTransactionTimeout, (u, v) => u with { IdleTransactionTimeout = v }),
        Time("transaction_timeout", u => u.TransactionTimeout, (u, v) => u with { TransactionTimeout = v }),
        Time("client_idle_timeout", u => u.ClientIdleTimeout, (u, v) => u with { ClientIdleTimeout = v }),
    ];

    private static Setting<UserSettings> Time(string name, Func<UserSettings, TimeSpan?> get, Func<UserSettings, TimeSpan?, UserSettings> set) =>
        Setting<UserSettings>.Of(name, new TimeOverrideKind(zeroIsUnset: true), get, set, "see the global setting");
}

/// <summary>Keys of a <c>[peers]</c> entry.</summary>
internal static class PeerKeys
{
    public static readonly ImmutableArray<Setting<PeerSettings>> All =
    [
        Setting<PeerSettings>.Of("host", new TextKind(emptyIsUnset: true), p => p.Host, (p, v) => p with { Host = v }, "host name, address or Unix socket directory"),
        Setting<PeerSettings>.Of("port", new IntKind(1, 65535), p => p.Port, (p, v) => p with { Port = v }, "the peer's port"),
        Setting<PeerSettings>.Of("pool_size", new OverrideKind(), p => p.PoolSize, (p, v) => p with { PoolSize = v }, "connections to the peer; default_pool_size when unset"),
    ];

    /// <summary>Ids fit the two bytes that a cancel key has for them.</summary>
    public static bool TryReadId(string name, out int id) =>
        int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out id) && id is > 0 and <= 16383;
}
