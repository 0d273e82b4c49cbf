using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Telemetry;

/// <summary>Who holds which server now.</summary>
internal static class HeldServers
{
    /// <summary>Held longest first. Any thread; each row is as of the moment it was looked at.</summary>
    /// <param name="engine">Whose servers.</param>
    /// <param name="mayShowValues">False for readers who are not to see values even with log_query_parameters.</param>
    /// <param name="least">Only those that have been held for that long.</param>
    public static IReadOnlyList<HeldServer> Read(EngineCore engine, bool mayShowValues = true, TimeSpan least = default)
    {
        var now = engine.Now;
        var withValues = mayShowValues && engine.Settings.LogQueryParameters;
        var rows = new List<HeldServer>();
        foreach (var server in engine.Servers)
            if (server.Client is { } client && client.Server == server && Since(server.LinkedAt, now) >= least) rows.Add(Row(server, client, now, withValues));
        rows.Sort(static (a, b) => b.HeldFor.CompareTo(a.HeldFor));
        return rows;
    }

    private static HeldServer Row(ServerSession server, ClientSession client, long now, bool withValues)
    {
        var identity = client.Identity;
        var requestStart = client.RequestStart;
        var state = requestStart != 0 ? "active" : server.TransactionStatus != TransactionStatus.Idle ? "idle in transaction" : "idle";
        return new HeldServer(
            identity.Pool.Database.Name, identity.Pool.User.Name, identity.Id, identity.LogName.Pointer, server.LogName.Pointer,
            client.Origin, identity.LoginUser.Name, client.ApplicationName, server.BackendPid, state,
            Since(server.LinkedAt, now), Since(requestStart != 0 ? requestStart : client.LastActivity, now),
            client.Pin, RequestDescription.Of(server.LastRequest, withValues), client.TraceId);
    }

    private static TimeSpan Since(long moment, long now) => TimeSpan.FromMicroseconds(Math.Max(0, now - moment));
}
