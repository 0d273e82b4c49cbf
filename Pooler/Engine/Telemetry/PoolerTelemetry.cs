namespace Pooler.Engine.Telemetry;

/// <summary>What those who listen to the engine have to know.</summary>
public static class PoolerTelemetry
{
    /// <summary>Name of the meter (<see cref="Metrics.PoolerMetrics"/>) and of the activity source (<see cref="Tracing"/>).</summary>
    public const string Name = "Pooler";
}
