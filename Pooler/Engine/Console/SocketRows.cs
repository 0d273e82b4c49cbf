using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Console;

/// <summary>SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS.</summary>
internal sealed class SocketRows(AdminConsole console)
{
    /// <summary>
    /// SOCKETS tells positions in per-connection buffers. Here buffers belong to loops, and what waits stays in the
    /// kernel, so there is nothing to tell.
    /// </summary>
    private static readonly object?[] NoBuffers = [0, 0, 0, 0, 0, 0, 0];

    private EngineCore Core => console.Core;

    public IEnumerable<object?[]> Clients()
    {
        var clock = new Clock(Core);
        return Core.Clients.Where(c => c.State != ClientState.Closed).Select(c => Row(c, Word(c.State), clock))
            .Concat(Core.Logins.Where(l => l.State == LoginState.WaitingForWelcome).Select(l => Row(l, "waiting", clock)))
            // Never linked to a server: idle, whatever they ask for.
            .Concat(Core.Consoles.Select(c => Row(c, "idle", clock)))
            .Concat(Core.CancelRequests.Select(r => Row(r, Word(r), clock)));
    }

    public IEnumerable<object?[]> Servers()
    {
        var clock = new Clock(Core);
        return Core.Servers.Where(s => s.State != ServerState.Closed).Select(s => Row(s, Word(s, clock), clock))
            .Concat(Deliveries().Select(d => Row(d, d.State == DeliveryState.Sent ? "active_cancel" : "new", clock)));
    }

    public IEnumerable<object?[]> Sockets() => AllSockets().Select(s => s.Row);

    public IEnumerable<object?[]> ActiveSockets() => AllSockets().Where(s => s.Active).Select(s => s.Row);

    private IEnumerable<(bool Active, object?[] Row)> AllSockets()
    {
        var clock = new Clock(Core);
        foreach (var client in Core.Clients)
        {
            var state = client.State;
            if (state == ClientState.Closed) continue;
            // Here PgBouncer does not tell idle clients from active ones.
            yield return (state != ClientState.Idle, [.. Row(client, state == ClientState.Waiting ? "cl_waiting" : "cl_active", clock), .. NoBuffers]);
        }
        foreach (var session in Core.Consoles) yield return (false, [.. Row(session, "cl_active", clock), .. NoBuffers]);
        foreach (var login in Core.Logins)
            yield return (true, [.. Row(login, login.State == LoginState.WaitingForWelcome ? "cl_waiting" : "cl_login", clock), .. NoBuffers]);
        foreach (var request in Core.CancelRequests) yield return (true, [.. Row(request, "cl_" + Word(request), clock), .. NoBuffers]);
        foreach (var delivery in Deliveries())
            yield return (true, [.. Row(delivery, delivery.State == DeliveryState.Sent ? "sv_active_cancel" : "sv_login", clock), .. NoBuffers]);
        foreach (var server in Core.Servers)
        {
            if (server.State == ServerState.Closed) continue;
            var word = Word(server, clock);
            var state = word == "new" ? "sv_login" : "sv_" + word;
            yield return (word is not ("idle" or "used"), [.. Row(server, state, clock), .. NoBuffers]);
        }
    }

    /// <summary>Connections over which cancel requests are delivered.</summary>
    private IEnumerable<CancelDelivery> Deliveries() => Core.CancelRequests.Select(r => r.Delivery).OfType<CancelDelivery>()
        .Where(d => d.State is DeliveryState.Connecting or DeliveryState.Sent);

    private static string Word(CancelRequest request) =>
        request.Delivery?.State == DeliveryState.Sent ? "active_cancel_req" : "waiting_cancel_req";

    private static string Word(ClientState state) => state switch
    {
        ClientState.Active => "active",
        ClientState.Waiting => "waiting",
        _ => "idle",
    };

    private static string Word(ReplicationMode mode) => mode switch
    {
        ReplicationMode.Physical => "physical",
        ReplicationMode.Logical => "logical",
        _ => "none",
    };

    private string Word(ServerSession server, Clock clock) => server.State switch
    {
        ServerState.Login => "new",
        ServerState.Testing => "tested",
        ServerState.Active or ServerState.Granted => "active",
        ServerState.BeingCanceled => "being_canceled",
        ServerState.Idle when clock.Loop - server.IdleSince > Core.Settings.ServerCheckDelay.TotalMicroseconds => "used",
        _ => "idle",
    };

    private static object?[] Row(ClientSession client, string state, Clock clock)
    {
        var identity = client.Identity;
        var local = LoginSession.Describe(client.Connection.LocalEndPoint, null);
        // Of a client with a server: how long its query has been running.
        var since = client.State == ClientState.Waiting ? client.WaitingSince : client.RequestStart;
        var waited = since > 0 ? Math.Max(0, clock.Loop - since) : 0;
        return
        [
            "C", identity.LoginUser.Name, identity.Pool.Database.Name, Word(identity.Replication), state,
            identity.Address, identity.Port, local.Address, local.Port,
            clock.Text(identity.ConnectedAt), clock.Text(client.RequestStart != 0 ? client.RequestStart : client.LastActivity),
            (int)(waited / 1_000_000), (int)(waited % 1_000_000), 0,
            ConnectionName.PointerOf(isServer: false, identity.Id), client.Server is { } server ? ConnectionName.PointerOf(isServer: true, server.Id) : "",
            identity.Process, Tls(client.Connection), client.Parameters["application_name"] ?? "", client.PreparedStatementCount, (int)identity.Id,
        ];
    }

    private static object?[] Row(ServerSession server, string state, Clock clock)
    {
        // Both are unknown while its host's name is looked up and it connects.
        var remote = server.Target is { } target ? LoginSession.Describe(target, null) : ("", 0);
        var local = server.Connection?.LocalEndPoint is { } endPoint ? LoginSession.Describe(endPoint, server.Target) : ("", 0);
        return
        [
            "S", server.Pool.User.Name, server.Pool.Database.Name, Word(server.OwnStartup?.Replication ?? ReplicationMode.None), state,
            remote.Item1, remote.Item2, local.Item1, local.Item2,
            clock.Text(server.ConnectedAt), clock.Text(server.LinkedAt),
            0, 0, server.CloseNeeded ? 1 : 0,
            ConnectionName.PointerOf(isServer: true, server.Id), server.Client is { } client ? ConnectionName.PointerOf(isServer: false, client.Identity.Id) : "",
            server.BackendPid, Tls(server.Connection), server.Parameters["application_name"] ?? "", server.Statements.Count, (int)server.Id,
        ];
    }

    private static object?[] Row(LoginSession login, string state, Clock clock)
    {
        var local = LoginSession.Describe(login.Connection.LocalEndPoint, null);
        var waited = login.State == LoginState.WaitingForWelcome && login.WaitingSince > 0 ? Math.Max(0, clock.Loop - login.WaitingSince) : 0;
        return
        [
            "C", login.User ?? "(nouser)", login.Pool?.Database.Name ?? "(nodb)", Word(login.Replication), state,
            login.Address, login.Port, local.Address, local.Port,
            clock.Text(login.StartedAt), clock.Text(login.StartedAt), (int)(waited / 1_000_000), (int)(waited % 1_000_000), 0,
            ConnectionName.PointerOf(isServer: false, login.Id), "", login.Process, Tls(login.Connection), "", 0, (int)login.Id,
        ];
    }

    private static object?[] Row(CancelRequest request, string state, Clock clock)
    {
        var local = LoginSession.Describe(request.Connection.LocalEndPoint, null);
        var delivery = request.Delivery is { State: DeliveryState.Sent } sent ? ConnectionName.PointerOf(isServer: true, sent.Id) : "";
        return
        [
            "C", "(nouser)", request.Pool?.Database.Name ?? "(nodb)", "none", state,
            request.Address, request.Port, local.Address, local.Port,
            clock.Text(request.ArrivedAt), clock.Text(request.ArrivedAt), 0, 0, 0,
            ConnectionName.PointerOf(isServer: false, request.Id), delivery, 0, "", "", 0, (int)request.Id,
        ];
    }

    private static object?[] Row(CancelDelivery delivery, string state, Clock clock)
    {
        var remote = delivery.Target is { } target ? LoginSession.Describe(target, null) : ("", 0);
        var local = delivery.Connection?.LocalEndPoint is { } endPoint ? LoginSession.Describe(endPoint, delivery.Target) : ("", 0);
        return
        [
            "S", "(nouser)", delivery.Request?.Pool?.Database.Name ?? "(nodb)", "none", state,
            remote.Item1, remote.Item2, local.Item1, local.Item2,
            clock.Text(delivery.BeganAt), clock.Text(delivery.BeganAt), 0, 0, 0,
            ConnectionName.PointerOf(isServer: true, delivery.Id),
            delivery.Request is { } request ? ConnectionName.PointerOf(isServer: false, request.Id) : "", 0, "", "", 0, (int)delivery.Id,
        ];
    }

    private static object?[] Row(ConsoleSession session, string state, Clock clock)
    {
        var local = LoginSession.Describe(session.Connection.LocalEndPoint, null);
        return
        [
            "C", session.User, EngineCore.ConsoleDatabase, "none", state,
            session.Address, session.Port, local.Address, local.Port,
            clock.Text(session.ConnectedAt), clock.Text(session.LastRequest), 0, 0, 0,
            ConnectionName.PointerOf(isServer: false, session.Id), "", 0, Tls(session.Connection), session.ApplicationName, session.PreparedStatementCount, (int)session.Id,
        ];
    }

    private static string Tls(Connection? connection) => connection?.Tls?.Description ?? "";

    /// <summary>One moment, in the loops' microseconds and on the wall.</summary>
    private sealed class Clock(EngineCore core)
    {
        private readonly DateTimeOffset _wall = core.TimeProvider.GetUtcNow();
        private readonly TimeZoneInfo _zone = core.TimeProvider.LocalTimeZone;

        public long Loop { get; } = core.Now;

        public string Text(DateTimeOffset moment) => ConsoleTime.Format(moment, _zone);

        /// <summary>A loop time as text; a time that never was is shown as now, as PgBouncer does.</summary>
        public string Text(long loopTime) =>
            Text(loopTime == 0 ? _wall : _wall - TimeSpan.FromMicroseconds(Math.Max(0, Loop - loopTime)));
    }
}
