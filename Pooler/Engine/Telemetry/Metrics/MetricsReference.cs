using System.Text;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>Writes the list of metrics, docs/metrics.md, from the table.</summary>
public static class MetricsReference
{
    /// <summary>The whole document.</summary>
    public static string Markdown()
    {
        var text = new StringBuilder();
        text.Append(
            $"""
            # Metrics

            <!-- Written by `pooler --print-metrics` from the table of metrics: change that, not this. A test compares them. -->

            The same facts go out over OTLP (meter `{PoolerTelemetry.Name}`) and stand at `/metrics` for Prometheus. What concerns a pool has in
            OpenTelemetry the attribute `{Metric.PoolName.Attribute}` = `database/user`, in Prometheus the labels `database` and `user`. How to get at
            them, dashboards and alert rules: [telemetry.md](telemetry.md).

            Counters and histograms begin with the process. After an online restart (`-R`) transactions, queries, bytes, logins,
            assignments, parses and binds go on where the process before has left off; everything else begins anew.

            Histograms have the bounds {string.Join(", ", MetricDefinition.Boundaries)} seconds, and the series `_bucket`, `_sum` and `_count` in
            Prometheus. Times are counted in buckets that are exact to a sixteenth; OTLP's sums are as exact as that, Prometheus' are exact. For OTLP each
            time that was counted is recorded once more, beside the loops and only while somebody exports: about 0.04 µs of processor time, for
            a wait, a query and a transaction 1 % of what a small transaction costs the pooler. Prometheus costs nothing between two scrapes.
            Over OTLP counts by reason or kind begin with the first event.

            | OpenTelemetry | Prometheus | Kind | Unit | Divided by | Meaning |
            |---|---|---|---|---|---|

            """);
        foreach (var metric in PoolerMetrics.Definitions)
        {
            text.Append("| ").Append(Code(metric.Name)).Append(" | ").Append(Code(metric.PrometheusName))
                .Append(" | ").Append(KindName(metric.Kind)).Append(" | ").Append(Code(metric.Unit))
                .Append(" | ").AppendJoin(", ", DividedBy(metric)).Append(" | ").Append(metric.Description).Append(" |\n");
        }
        text.Append(
            """

            ## Values of labels


            """);
        foreach (var metric in PoolerMetrics.Definitions)
        {
            foreach (var label in metric.Labels)
            {
                if (label.Values is null) continue;
                text.Append("- ").Append(Code(metric.PrometheusName ?? metric.Name)).Append(", `").Append(label.Label).Append("`: ")
                    .AppendJoin(", ", label.Values.Select(Code)).Append('\n');
            }
        }
        return text.ToString();
    }

    private static IEnumerable<string> DividedBy(MetricDefinition metric)
    {
        if (metric.Labels.Contains(Metric.PoolName)) yield return "pool";
        foreach (var label in metric.Labels)
        {
            if (Metric.OfPool.Contains(label)) continue;
            yield return label.Attribute == label.Label ? Code(label.Label) : $"{Code(label.Attribute)} ({Code(label.Label)})";
        }
    }

    private static string KindName(MetricKind kind) => kind switch
    {
        MetricKind.Counter => "counter",
        MetricKind.UpDownCounter => "up-down counter",
        MetricKind.Gauge => "gauge",
        _ => "histogram",
    };

    private static string Code(string? text) => text is null ? "" : $"`{text}`";
}
