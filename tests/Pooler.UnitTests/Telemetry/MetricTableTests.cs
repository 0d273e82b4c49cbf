using System.Text.RegularExpressions;
using Pooler.Engine.Telemetry.Metrics;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public class MetricTableTests
{
    [Fact]
    public void The_documented_metrics_are_those_of_the_table()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Aspire.sln"))) directory = directory.Parent;
        Assert.NotNull(directory);
        var written = File.ReadAllText(Path.Combine(directory.FullName, "docs", "metrics.md")).ReplaceLineEndings("\n");

        Assert.True(
            written == MetricsReference.Markdown().ReplaceLineEndings("\n"),
            "docs/metrics.md is stale: dotnet run --project Pooler/Server -- --print-metrics > docs/metrics.md");
    }

    [Fact]
    public void No_two_metrics_have_the_same_name()
    {
        Assert.Distinct(PoolerMetrics.Definitions.Select(d => d.Name).OfType<string>());
        Assert.Distinct(PoolerMetrics.Definitions.Select(d => d.PrometheusName).OfType<string>());
        Assert.DoesNotContain(PoolerMetrics.Definitions, d => d.Name is null && d.PrometheusName is null);
    }

    [Fact]
    public void Prometheus_names_tell_unit_and_kind()
    {
        foreach (var metric in PoolerMetrics.Definitions.Where(d => d.PrometheusName is not null))
        {
            var name = metric.PrometheusName!;
            Assert.Matches("^[a-z][a-z_]*$", name);
            Assert.Equal(metric.Kind == MetricKind.Counter, name.EndsWith("_total", StringComparison.Ordinal));
            Assert.Equal(metric.Unit == "s", Regex.IsMatch(name, "_seconds(_total)?$"));
            Assert.Equal(metric.Unit == "By", Regex.IsMatch(name, "_bytes(_total)?$"));
            Assert.DoesNotMatch("_(bucket|sum|count)$", name);
        }
    }

    [Fact]
    public void Labels_are_valid_in_Prometheus_and_no_metric_has_one_twice()
    {
        foreach (var metric in PoolerMetrics.Definitions)
        {
            Assert.Distinct(metric.Labels.Select(l => l.Label).Where(l => l.Length > 0));
            Assert.Distinct(metric.Labels.Select(l => l.Attribute).Where(a => a.Length > 0));
            Assert.All(metric.Labels.Where(l => l.Label.Length > 0), l => Assert.Matches("^[a-z][a-z_]*$", l.Label));
            Assert.All(metric.Labels, l => Assert.NotEqual(("", ""), (l.Attribute, l.Label)));
        }
    }

    [Fact]
    public void Descriptions_fit_into_a_line_of_the_text_format_and_of_a_table()
    {
        Assert.All(PoolerMetrics.Definitions, d => Assert.DoesNotMatch(@"[\n\\|]", d.Description));
    }
}
