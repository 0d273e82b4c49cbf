using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Console;

/// <summary>SHOW CONFIG, LISTS, MEM, PEERS, PEER_POOLS and STATE.</summary>
internal sealed class ProcessRows(AdminConsole console)
{
    private EngineCore Core => console.Core;

    public IEnumerable<object?[]> Config() => SettingsTable.Describe(Core.Settings)
        .Select(s => new object?[] { s.Key, s.Value, s.Default, s.Changeable ? "yes" : "no" });

    public IEnumerable<object?[]> Lists() =>
    [
        // The console counts among databases, users and pools, as in their own tables.
        ["databases", Core.Directory.Databases.Count(d => d.IsListed) + 1],
        ["users", Core.Directory.Users.Count(u => u.Name != EngineCore.ConsoleDatabase) + 1],
        ["peers", Core.Cancels.Peers.Count],
        ["pools", Core.Directory.Pools.Count() + 1],
        ["peer_pools", Core.Cancels.Peers.All.Count(p => p.HasPool)],
        // PgBouncer keeps freed objects for reuse; here they are the garbage collector's at once.
        ["free_clients", 0],
        ["used_clients", Core.ClientCount],
        ["login_clients", Core.Logins.Count()],
        ["free_servers", 0],
        ["used_servers", Core.Servers.Count()],
        ["dns_names", Core.Hosts.Dns.Names.Count],
        ["dns_zones", Core.Hosts.Dns.Zones.Count],
        ["dns_queries", Core.Hosts.Dns.ActiveQueries],
        ["dns_pending", 0],
    ];

    public IEnumerable<object?[]> Peers() => Core.Cancels.Peers.All
        .Select(p => new object?[] { p.Settings.Id, p.Settings.Host, p.Settings.Port, p.PoolSize });

    public IEnumerable<object?[]> PeerPools() => Core.Cancels.Peers.All.Where(p => p.HasPool).Select(p =>
    {
        var counts = CancelCounts.Of(p.Deliveries);
        return new object?[] { p.Settings.Id, counts.Active, counts.Waiting, counts.Active, counts.Connecting };
    });

    public IEnumerable<object?[]> State()
    {
        var state = Core.Administration.StandStill;
        string Is(StandStill which) => state == which ? "yes" : "no";
        return [["active", Is(StandStill.None)], ["paused", Is(StandStill.Paused)], ["suspended", Is(StandStill.Suspended)]];
    }

    /// <summary>
    /// Objects live in the garbage collector's heap, which does not tell them apart by kind: their rows have counts, no
    /// sizes, and the bytes of all of them are in gc_heap. memtotal over all rows is therefore the engine's memory.
    /// </summary>
    public IEnumerable<object?[]> Memory()
    {
        var gc = GC.GetGCMemoryInfo();
        var used = GC.GetTotalMemory(forceFullCollection: false);
        var servers = Core.Servers.ToArray();
        return
        [
            Objects("user_cache", Core.Directory.Users.Count()),
            Objects("credentials_cache", Core.Directory.Users.Count(u => u.Secret is not null)),
            Objects("db_cache", Core.Directory.Databases.Count()),
            Objects("peer_cache", Core.Cancels.Peers.Count),
            Objects("peer_pool_cache", Core.Cancels.Peers.All.Count(p => p.HasPool)),
            Objects("pool_cache", Core.Directory.Pools.Count()),
            Objects("outstanding_request_cache", servers.Sum(s => s.Outstanding.Count)),
            Objects("server_cache", servers.Length),
            Objects("client_cache", Core.ClientCount),
            // One receive buffer per loop, whatever the number of connections.
            ["iobuf_cache", LoopThread.ReceiveBufferSize, Core.Loops.Count, 0, Core.Loops.Count * LoopThread.ReceiveBufferSize],
            Objects("var_list_cache", Core.Clients.Select(c => c.Parameters).Distinct(ReferenceEqualityComparer.Instance).Count()),
            Objects("server_prepared_statement_cache", servers.Sum(s => s.Statements.Count)),
            // Counted in pieces of one byte.
            ["gc_heap", 1, Clamp(used), Clamp(Math.Max(0, gc.TotalCommittedBytes - used)), Clamp(Math.Max(gc.TotalCommittedBytes, used))],
        ];
    }

    private static object?[] Objects(string name, int count) => [name, 0, count, 0, 0];

    // The columns are int4.
    private static int Clamp(long bytes) => (int)Math.Min(bytes, int.MaxValue);
}
