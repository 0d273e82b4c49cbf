using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;

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
    int ServersTested, int ServersLogin, int ServersBeingCanceled, long MaxWait, int Size, PoolTotals Totals);

/// <summary>The figures of the engine at one moment.</summary>
/// <param name="Pools">One entry per pool, sorted by database and user.</param>
/// <param name="Clients">Clients logged in or logging in.</param>
/// <param name="MaxClients">max_client_conn.</param>
/// <param name="PreparedStatements">Distinct prepared statements known.</param>
public sealed record EngineSnapshot(IReadOnlyList<PoolSnapshot> Pools, int Clients, int MaxClients, int PreparedStatements)
{
    internal static EngineSnapshot Take(EngineCore core)
    {
        var now = core.Now;
        var clients = core.Clients.GroupBy(c => c.Pool).ToDictionary(g => g.Key, g => g.ToArray());
        var logins = core.Logins.Where(l => l.State == LoginState.WaitingForWelcome).ToLookup(l => l.Pool);
        return new EngineSnapshot(
            [.. core.Directory.Pools.Select(p => TakePool(core, p, clients.GetValueOrDefault(p) ?? [], logins[p].Count(), now))],
            core.ClientCount, core.Settings.MaxClientConn, core.Statements.Count);
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
            Count(ServerState.Login), Count(ServerState.BeingCanceled), pool.OldestWait(now), pool.Size, pool.Totals);
    }
}
