using System.Globalization;
using System.Text;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Server.Http;

/// <summary>Writes metrics in Prometheus' text format, version 0.0.4.</summary>
internal sealed class PrometheusText
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    // As the format wants them: 1.0 would be another series than 1.
    private static readonly string[] Bounds = [.. MetricDefinition.Boundaries.Select(b => b.ToString("R", CultureInfo.InvariantCulture))];

    private readonly StringBuilder _text = new();

    public static string Write(IReadOnlyList<MetricFamily> families)
    {
        var text = new PrometheusText();
        foreach (var family in families)
            if (family.Definition.PrometheusName is { } name && family.Samples.Count > 0) text.Write(name, family);
        return text._text.ToString();
    }

    private void Write(string name, MetricFamily family)
    {
        var definition = family.Definition;
        var type = definition.Kind switch
        {
            MetricKind.Counter => "counter",
            MetricKind.Histogram => "histogram",
            _ => "gauge",
        };
        _text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {definition.Description}\n# TYPE {name} {type}\n");
        foreach (var sample in family.Samples)
        {
            if (sample.Times is { } times) WriteHistogram(name, sample, times);
            else WriteSample(name, sample.Labels, null, sample.Value);
        }
    }

    private void WriteHistogram(string name, MetricSample sample, TimeDistribution times)
    {
        for (var i = 0; i < Bounds.Length; i++)
            WriteSample($"{name}_bucket", sample.Labels, Bounds[i], times.CountUpTo((long)Math.Round(MetricDefinition.Boundaries[i] * 1e6)));
        WriteSample($"{name}_bucket", sample.Labels, "+Inf", times.Count);
        WriteSample($"{name}_sum", sample.Labels, null, sample.Value);
        WriteSample($"{name}_count", sample.Labels, null, times.Count);
    }

    private void WriteSample(string name, IReadOnlyList<KeyValuePair<MetricLabel, string>> labels, string? bound, double value)
    {
        _text.Append(name);
        var separator = '{';
        foreach (var (label, text) in labels)
        {
            if (label.Label.Length > 0) WriteLabel(ref separator, label.Label, text);
        }
        if (bound is not null) WriteLabel(ref separator, "le", bound);
        if (separator == ',') _text.Append('}');
        _text.Append(' ').Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
    }

    private void WriteLabel(ref char separator, string name, string value)
    {
        _text.Append(separator).Append(name).Append("=\"");
        separator = ',';
        foreach (var c in value)
        {
            _ = c switch
            {
                '\\' => _text.Append("\\\\"),
                '"' => _text.Append("\\\""),
                '\n' => _text.Append("\\n"),
                _ => _text.Append(c),
            };
        }
        _text.Append('"');
    }
}
