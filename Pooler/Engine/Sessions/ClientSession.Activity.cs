using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>What others want to know of what a client does: how long it holds its server and why, and what was slow.</summary>
internal sealed partial class ClientSession
{
    /// <summary>Why it keeps its server beyond a transaction; null when it does not. Any thread, for display.</summary>
    public string? Pin =>
        IsReplication ? PinReasons.Replication
        : _mode == PoolMode.Session ? PinReasons.SessionMode
        : _copyingIn ? PinReasons.Copy
        : _passing > 0 ? PinReasons.UnfinishedMessage
        : _inBatch ? PinReasons.OpenBatch
        : null;

    /// <summary>Where it comes from: address:port, or unix.</summary>
    public string Origin =>
        IPAddress.TryParse(Identity.Address, out var ip) && ip.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{Identity.Address}]:{Identity.Port}"
        : Identity.Address == "unix" ? Identity.Address
        : $"{Identity.Address}:{Identity.Port}";

    /// <summary>What the client calls itself.</summary>
    public string ApplicationName => Parameters["application_name"] ?? "";

    /// <summary>W3C trace id of what it has its server do; null when that is not part of a trace.</summary>
    public string? TraceId => TraceParent is { Length: >= 35 } parent ? parent[3..35] : null;

    /// <summary>Its request was answered.</summary>
    private void NoteRequestEnded(long now, bool moreOutstanding)
    {
        if (_requestStart != 0 && now - _requestStart >= _context.Engine.SlowRequests.SlowQuery)
            ReportSlowQuery(now - _requestStart, moreOutstanding);
    }

    /// <summary>Its request will not be answered any more. Before it lets go of the server.</summary>
    private void NoteRequestBroken()
    {
        if (_server is not { } server) return;
        server.ReportSlowWait(isKnown: false);
        NoteRequestEnded(_context.Loop.Now, moreOutstanding: false);
    }

    /// <summary>It has got a server.</summary>
    private void NoteWaitEnded(long waited, PooledServer server)
    {
        if (waited >= _context.Engine.SlowRequests.SlowWait) ((ServerSession)server).NoteSlowWait(waited);
    }

    /// <summary>It has waited in vain.</summary>
    private void NoteWaitBroken()
    {
        if (WaitingSince == 0) return;
        var waited = _context.Loop.Now - WaitingSince;
        if (waited >= _context.Engine.SlowRequests.SlowWait) ReportSlowWait(waited, null);
    }

    /// <summary>A wait for a server took too long, and has ended.</summary>
    /// <param name="waited">Microseconds.</param>
    /// <param name="server">The server that has been sent what it waited for; null when that is not known.</param>
    public void ReportSlowWait(long waited, ServerSession? server) =>
        _context.Engine.SlowRequests.Report(this, SlowRequestLog.Wait, waited, _context.Loop.Now, server, _context.Engine.Settings);

    private void ReportSlowQuery(long took, bool moreOutstanding)
    {
        // Weeks, as a rule.
        if (IsReplication) return;
        // What the server was last sent is another request then.
        _context.Engine.SlowRequests.Report(this, SlowRequestLog.Query, took, _context.Loop.Now, moreOutstanding ? null : _server, _context.Engine.Settings);
    }
}
