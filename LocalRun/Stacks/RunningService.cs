using LocalRun.Health;
using LocalRun.Processes;

namespace LocalRun.Stacks;

/// <summary>A resource that has become a process.</summary>
internal sealed class RunningService
{
    /// <summary>Name in the manifest.</summary>
    public required string Name { get; init; }

    /// <summary>What it is, in a few words.</summary>
    public required string Kind { get; init; }

    /// <summary>Its process.</summary>
    public required ChildProcess Process { get; init; }

    /// <summary>Stops it in order and removes what it leaves.</summary>
    public required Func<Task> StopAsync { get; init; }

    /// <summary>URLs and host:port, for people.</summary>
    public IReadOnlyList<string> Addresses { get; init; } = [];

    /// <summary>How to ask whether it is well.</summary>
    public IReadOnlyList<HealthProbe> Probes { get; init; } = [];

    /// <summary>The last lines of its log, for a message.</summary>
    public string LogExcerpt(Func<string, string> mask) =>
        string.Join('\n', Process.LastLines.TakeLast(30).Select(line => $"    {mask(line)}"));
}
