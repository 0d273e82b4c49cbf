using Pooler.Engine.Pools;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>A declared metric: what it is, and how it is read.</summary>
internal sealed record Metric(MetricDefinition Definition, Func<MetricReading, IEnumerable<MetricSample>> Read)
{
    /// <summary>OpenTelemetry's convention has one name for a pool, which Prometheus' users know by its two parts.</summary>
    public static readonly MetricLabel PoolName = new("db.client.connection.pool.name", "");

    private static readonly MetricLabel PoolDatabase = new("", "database");
    private static readonly MetricLabel PoolUser = new("", "user");

    /// <summary>The labels of all metrics of pools. Each is told on one side only.</summary>
    public static readonly IReadOnlyList<MetricLabel> OfPool = [PoolName, PoolDatabase, PoolUser];

    /// <summary>The pool's labels and perhaps more.</summary>
    public static IReadOnlyList<KeyValuePair<MetricLabel, string>> Labels(Pool pool, params ReadOnlySpan<KeyValuePair<MetricLabel, string>> more) =>
    [
        new(PoolName, $"{pool.Database.Name}/{pool.User.Name}"), new(PoolDatabase, pool.Database.Name), new(PoolUser, pool.User.Name), .. more,
    ];

    public static MetricSample Sample(double value, params KeyValuePair<MetricLabel, string>[] labels) => new(labels, value);

    /// <summary>One value of the whole process.</summary>
    public static Metric Of(MetricDefinition definition, Func<MetricReading, double> value) => new(definition, r => [Sample(value(r))]);

    /// <summary>One value a pool.</summary>
    public static Metric PerPool(MetricDefinition definition, Func<Pool, PoolSnapshot, double> value) => new(
        definition with { Labels = [.. OfPool, .. definition.Labels] },
        r => r.Pools.Select(p => new MetricSample(Labels(p.Pool), value(p.Pool, p.Snapshot))));

    /// <summary>One value a pool and value of a label.</summary>
    public static Metric PerPool(MetricDefinition definition, MetricLabel by, Func<Pool, PoolSnapshot, IEnumerable<(string Name, double Value)>> values) => new(
        definition with { Labels = [.. OfPool, by] },
        r => r.Pools.SelectMany(p => values(p.Pool, p.Snapshot).Select(v => new MetricSample(Labels(p.Pool, new KeyValuePair<MetricLabel, string>(by, v.Name)), v.Value))));

    /// <summary>The counts of a pool's events, by kind.</summary>
    public static Metric PerPool<TKind>(MetricDefinition definition, MetricLabel by, Func<PoolEvents, EventCounts<TKind>> counts) where TKind : struct, Enum =>
        PerPool(definition, by with { Values = [.. EventCounts<TKind>.Kinds.Select(k => k.Name)] },
            (pool, _) => EventCounts<TKind>.Kinds.Select(k => (k.Name, (double)counts(pool.Events)[k.Kind])));

    /// <summary>A histogram a pool.</summary>
    public static Metric Times(MetricDefinition definition, Func<Pool, PoolSnapshot, TimeDistribution> times) => new(
        definition with { Labels = OfPool },
        r => r.Pools.Select(p =>
        {
            var distribution = times(p.Pool, p.Snapshot);
            return new MetricSample(Labels(p.Pool), distribution.Sum / 1e6, distribution) { Source = p.Pool };
        }));

    /// <summary>The counts of events that no pool is known for, by kind.</summary>
    public static Metric Counts<TKind>(MetricDefinition definition, MetricLabel by, Func<EngineEvents, EventCounts<TKind>> counts) where TKind : struct, Enum => new(
        definition with { Labels = [by with { Values = [.. EventCounts<TKind>.Kinds.Select(k => k.Name)] }] },
        r => EventCounts<TKind>.Kinds.Select(k => Sample(counts(r.Core.Events)[k.Kind], new KeyValuePair<MetricLabel, string>(by, k.Name))));
}
