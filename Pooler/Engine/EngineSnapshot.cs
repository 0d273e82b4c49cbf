using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine;

/// <summary>The counts of one pool at one moment; the names are the columns of SHOW POOLS.</summary>
/// <param name="Database">Database.</param>
/// <param name="User">User that the servers log in as.</param>
/// <param name="ClientsActive">Linked to a server, or idle without wanting one.</param>
/// <param name="ClientsWaiting">Waiting for a server, be it the pool's first one at login.</param>
/// <param name="ServersActive">Linked to a client.</param>
/// <param name="ServersIdle">Ready for a client.</param>
/// <param name="ServersUsed">Idle for longer than server_check_delay: checked before their next use.</param>
/// <param name="ServersTested">Running a check or reset query.</param>
/// <param name="ServersLogin">Connecting or logging in.</param>
/// <param name="ServersBeingCanceled">Kept back until a cancel request has arrived.</param>
/// <param name="MaxWait">How long the oldest waiter has waited, microseconds.</param>
/// <param name="Size">Servers allowed.</param>
/// <param name="Totals">The counters.</param>
public sealed record PoolSnapshot(
    string Database, string User, int ClientsActive, int ClientsWaiting, int ServersActive, int ServersIdle, int ServersUsed,
    int ServersTested, int ServersLogin, int ServersBeingCanceled, long MaxWait, int Size, PoolTotals Totals)
{
    /// <summary>Servers allowed beyond <see cref="Size"/> once a client has waited for reserve_pool_timeout.</summary>
    public int Reserve { get; init; }

    /// <summary>When a server goes back to the pool.</summary>
    public PoolMode Mode { get; init; }

    /// <summary>Servers allowed for the database, over all its pools; 0 is no limit.</summary>
    public int MaxDatabaseServers { get; init; }

    /// <summary>No server is given out (PAUSE, KILL, SHUTDOWN WAIT_FOR_SERVERS).</summary>
    public bool IsHeld { get; init; }

    /// <summary>New clients are refused (DISABLE).</summary>
    public bool IsDisabled { get; init; }

    /// <summary>Server connections, whatever they do.</summary>
    public int Servers => ServersActive + ServersIdle + ServersUsed + ServersTested + ServersLogin + ServersBeingCanceled;

    /// <summary>Of <see cref="ClientsActive"/>, those without a server.</summary>
    public int ClientsIdle { get; init; }

    /// <summary>How long clients waited for a server, 0 for those that had not to: of those that got one, since the start.</summary>
    public TimeDistribution Waits { get; init; } = TimeDistribution.Empty;

    /// <summary>How long queries (simple) and batches (extended) took, since the start.</summary>
    public TimeDistribution Queries { get; init; } = TimeDistribution.Empty;

    /// <summary>How long transactions took, since the start.</summary>
    public TimeDistribution Transactions { get; init; } = TimeDistribution.Empty;
}

/// <summary>One address of a host of a database at one moment: a row of SHOW HOSTS.</summary>
/// <param name="Database">Database.</param>
/// <param name="Host">As configured: a name, an address or a Unix socket directory.</param>
/// <param name="Port">Port.</param>
/// <param name="Address">The IP address; null while a name has none, and of Unix sockets.</param>
/// <param name="State">untried, up, down or unfit (for target_session_attrs).</param>
/// <param name="Role">primary or standby; null when not known.</param>
/// <param name="Wanted">What the database asks for.</param>
/// <param name="LastError">Why it is down or unfit.</param>
/// <param name="Since">Since when it is in this state.</param>
/// <param name="NextTry">Until when it is passed over.</param>
/// <param name="Servers">Server connections there.</param>
public sealed record HostSnapshot(
    string Database, string Host, int Port, string? Address, string State, string? Role, TargetSessionAttrs Wanted,
    string? LastError, DateTimeOffset? Since, DateTimeOffset? NextTry, int Servers)
{
    /// <summary>Neither down nor unfit.</summary>
    public bool IsUsable => State is "up" or "untried";
}

/// <summary>The figures of the engine at one moment.</summary>
/// <param name="Pools">One entry per pool, sorted by database and user.</param>
/// <param name="Clients">Clients logged in or logging in.</param>
/// <param name="MaxClients">max_client_conn.</param>
/// <param name="PreparedStatements">Distinct prepared statements known.</param>
public sealed record EngineSnapshot(IReadOnlyList<PoolSnapshot> Pools, int Clients, int MaxClients, int PreparedStatements)
{
    internal static EngineSnapshot Take(EngineCore core)
    {
        return new EngineSnapshot(
            [.. TakePools(core).Select(p => p.Snapshot)], core.ClientCount, core.Settings.MaxClientConn, core.Statements.Count);
    }

    /// <summary>The pools of the moment, sorted, with their figures.</summary>
    internal static IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)> TakePools(EngineCore core)
    {
        var now = core.Now;
        var clients = core.Clients.GroupBy(c => c.Pool).ToDictionary(g => g.Key, g => g.ToArray());
        var logins = core.Logins.Where(l => l.WaitsIn is not null).ToLookup(l => l.WaitsIn);
        return [.. core.Directory.Pools.Select(p => (p, TakePool(core, p, clients.GetValueOrDefault(p) ?? [], logins[p].Count(), now)))];
    }

    internal static IReadOnlyList<HostSnapshot> TakeHosts(EngineCore core)
    {
        var (now, wall) = (core.Now, core.TimeProvider.GetUtcNow());
        var servers = core.Servers.Where(s => s.Address is not null && s.State != ServerState.Closed).CountBy(s => s.Address!).ToDictionary();
        DateTimeOffset? Wall(long time) => time == 0 ? null : wall + TimeSpan.FromMicroseconds(time - now);
        HostSnapshot Row(PoolDatabase database, HostAddress address) => new(
            database.Name, address.Host.Name, address.Host.Port, (address.EndPoint as System.Net.IPEndPoint)?.Address.ToString(),
            address.State.ToString().ToLowerInvariant(),
            address.Role == ServerRole.Unknown ? null : address.Role.ToString().ToLowerInvariant(),
            core.Hosts.WantedOf(database), address.LastError, Wall(address.Since),
            address.State is HostState.Down or HostState.Unfit ? Wall(address.NextTry) : null, servers.GetValueOrDefault(address));
        return
        [
            .. from database in core.Directory.Databases
               from host in core.Hosts.HostsOf(database).Hosts
               from address in host.Addresses.Length > 0 ? host.Addresses : [host.Lookup]
               select Row(database, address),
        ];
    }

    private static PoolSnapshot TakePool(EngineCore core, Pool pool, ClientSession[] clients, int logins, long now)
    {
        var servers = pool.Servers;
        var checkAfter = core.Settings.ServerCheckDelay.Ticks / TimeSpan.TicksPerMicrosecond;
        int Count(params ReadOnlySpan<ServerState> states)
        {
            var count = 0;
            foreach (var server in servers)
                if (states.Contains(server.State)) count++;
            return count;
        }
        var idle = Count(ServerState.Idle, ServerState.Claimed);
        var used = servers.Count(s => s.State == ServerState.Idle && now - s.IdleSince > checkAfter);
        var waiting = clients.Count(c => c.State == ClientState.Waiting);
        return new PoolSnapshot(
            pool.Database.Name, pool.User.Name, clients.Length - waiting, waiting + logins,
            Count(ServerState.Active, ServerState.Granted), idle - used, used, Count(ServerState.Testing),
            Count(ServerState.Login), Count(ServerState.BeingCanceled), pool.OldestWait(now), pool.Size, pool.Totals)
        {
            Reserve = pool.ReserveSize,
            Mode = pool.Mode,
            MaxDatabaseServers = pool.Database.Settings.MaxDbConnections ?? core.Settings.MaxDbConnections,
            IsHeld = pool.Database.IsHeld,
            IsDisabled = pool.Database.Disabled,
            ClientsIdle = clients.Count(c => c.State == ClientState.Idle),
            Waits = pool.Waits,
            Queries = pool.QueryTimes,
            Transactions = pool.TransactionTimes,
        };
    }
}
