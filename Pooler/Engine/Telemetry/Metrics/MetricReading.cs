using Pooler.Engine.Pools;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>What the metrics are read from: the engine at one moment, looked at once for all of them.</summary>
internal sealed class MetricReading(EngineCore core)
{
    private IReadOnlyList<HostSnapshot>? _hosts;

    public EngineCore Core => core;

    public IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)> Pools { get; } = EngineSnapshot.TakePools(core);

    public IReadOnlyList<HostSnapshot> Hosts => _hosts ??= EngineSnapshot.TakeHosts(core);
}
