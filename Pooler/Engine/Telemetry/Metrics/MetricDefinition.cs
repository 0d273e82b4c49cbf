using System.Text;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>How a metric's values are to be taken.</summary>
public enum MetricKind
{
    /// <summary>Only grows, until the process ends.</summary>
    Counter,

    /// <summary>A number of things now, which may be added up over pools and processes.</summary>
    UpDownCounter,

    /// <summary>A measurement of the moment; adding up several makes no sense.</summary>
    Gauge,

    /// <summary>How long things took.</summary>
    Histogram,
}

/// <summary>What tells the series of a metric apart.</summary>
/// <param name="Attribute">OpenTelemetry's attribute.</param>
/// <param name="Label">Prometheus' label.</param>
/// <param name="Values">All that it can be, where that is known beforehand.</param>
public sealed record MetricLabel(string Attribute, string Label, IReadOnlyList<string>? Values = null);

/// <summary>A metric, as it goes out over OTLP and at <c>/metrics</c>.</summary>
/// <param name="Name">In OpenTelemetry; null for what other meters export there.</param>
/// <param name="PrometheusName">At <c>/metrics</c>, without the suffixes of a histogram's series; null for what another metric tells there.</param>
/// <param name="Kind">How to take it.</param>
/// <param name="Unit">UCUM: <c>s</c>, <c>By</c>, or what is counted in braces.</param>
/// <param name="Description">One sentence.</param>
/// <param name="Labels">What it is divided by.</param>
public sealed record MetricDefinition(
    string? Name, string? PrometheusName, MetricKind Kind, string Unit, string Description, IReadOnlyList<MetricLabel> Labels)
{
    /// <summary>
    /// Bounds of the histograms' buckets, in seconds: what a query on the same machine takes, up to a wait that nobody
    /// sits through.
    /// </summary>
    public static readonly IReadOnlyList<double> Boundaries =
        [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    /// <summary>The name that follows from OpenTelemetry's: underscores, the unit, <c>_total</c> for counters.</summary>
    internal static string PrometheusNameOf(string name, string unit, MetricKind kind)
    {
        var text = new StringBuilder(name).Replace('.', '_');
        text.Append(unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" });
        if (kind == MetricKind.Counter) text.Append("_total");
        return text.ToString();
    }
}

/// <summary>One series of a metric at one moment.</summary>
/// <param name="Labels">Its values of the metric's labels; one that is missing does not apply.</param>
/// <param name="Value">The value; a histogram's sum, in seconds.</param>
/// <param name="Times">A histogram's counts.</param>
public sealed record MetricSample(IReadOnlyList<KeyValuePair<MetricLabel, string>> Labels, double Value, TimeDistribution? Times = null)
{
    /// <summary>
    /// What has counted: something else of the same labels begins anew, such as a pool that was forgotten and has come back.
    /// </summary>
    internal object? Source { get; init; }
}

/// <summary>A metric and its values.</summary>
public sealed record MetricFamily(MetricDefinition Definition, IReadOnlyList<MetricSample> Samples);
