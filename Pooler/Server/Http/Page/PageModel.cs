using System.Runtime.InteropServices;
using Pooler.Engine;
using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;

namespace Pooler.Server.Http.Page;

/// <summary>All that the page shows, at one moment.</summary>
internal sealed record PageModel
{
    public required DateTimeOffset At { get; init; }

    /// <summary>In the order of the page: those in trouble first.</summary>
    public required IReadOnlyList<PoolView> Pools { get; init; }

    public required PageState State { get; init; }

    public required ProcessFacts Process { get; init; }

    public IReadOnlyList<AdviceItem> Advice { get; init; } = [];

    /// <summary>Longest first.</summary>
    public IReadOnlyList<HeldServer> Held { get; init; } = [];

    public IReadOnlyList<SlowRequest> Slow { get; init; } = [];

    /// <summary>What is set to something else than its default.</summary>
    public IReadOnlyList<SettingRow> Settings { get; init; } = [];

    /// <summary>Newest first.</summary>
    public IReadOnlyList<SettingChange> Changes { get; init; } = [];

    public IReadOnlyList<HostSnapshot> Hosts { get; init; } = [];

    public TimeSpan SlowQueryTime { get; init; }

    public TimeSpan SlowWaitTime { get; init; }

    /// <summary>Reads it from the engine. Any thread.</summary>
    public static PageModel Take(PoolerEngine engine)
    {
        var now = DateTimeOffset.UtcNow;
        var snapshot = engine.Snapshot();
        var histories = engine.History().ToDictionary(h => (h.Database, h.User), h => h.Intervals);
        var advice = engine.Advice();
        var warned = advice.Where(a => a.Level == "warning" && a.Database.Length > 0).Select(a => (a.Database, a.User)).ToHashSet();
        var settings = engine.Configuration.Settings;
        return new PageModel
        {
            At = now,
            Pools = PoolView.Sort(snapshot.Pools.Select(p => new PoolView(p, histories.GetValueOrDefault((p.Database, p.User)) ?? [])
            {
                IsWarnedOf = warned.Contains((p.Database, p.User)) || warned.Contains((p.Database, "")),
            })),
            State = engine.IsShuttingDown ? PageState.ShuttingDown
                : engine.IsSuspended ? PageState.Suspended
                : engine.StandsStill ? PageState.Paused
                : PageState.Running,
            Process = new ProcessFacts(
                PoolerEngine.Version, RuntimeInformation.FrameworkDescription, Environment.ProcessId, engine.StartedAt, now - engine.StartedAt,
                engine.LoopCount, engine.LoopBackend.ToString().ToLowerInvariant(), snapshot.Clients, snapshot.MaxClients,
                snapshot.PreparedStatements, Environment.WorkingSet,
                [.. engine.ListenEndPoints.Select(e => e.ToString() ?? "")], settings.ConfFile, settings.ListenPort, settings.HttpAddr, settings.HttpAdminPort),
            Advice = advice,
            // The page asks nobody who they are.
            Held = engine.HeldServers(mayShowValues: false),
            Slow = engine.SlowRequests(mayShowValues: false),
            Settings = [.. SettingsTable.DescribeDifferent(settings)],
            Changes = engine.SettingChanges,
            Hosts = engine.Hosts(),
            SlowQueryTime = settings.SlowQueryTime,
            SlowWaitTime = settings.SlowWaitTime,
        };
    }
}

/// <summary>Whether the pooler as a whole works.</summary>
internal enum PageState
{
    /// <summary>It works.</summary>
    Running,

    /// <summary>PAUSE without a database: no servers are given out.</summary>
    Paused,

    /// <summary>SUSPEND: nothing is read.</summary>
    Suspended,

    /// <summary>New clients are turned away.</summary>
    ShuttingDown,
}

/// <summary>What there is to say of the process.</summary>
internal sealed record ProcessFacts(
    string Version, string Runtime, int ProcessId, DateTimeOffset StartedAt, TimeSpan Uptime, int Loops, string Backend, int Clients, int MaxClients,
    int PreparedStatements, long Memory, IReadOnlyList<string> Listening, string? ConfigurationFile, int Port, string HttpAddress, int AdminPort);
