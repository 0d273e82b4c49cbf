using System.Globalization;
using System.Text.RegularExpressions;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>What a pooler answers at /metrics.</summary>
internal sealed partial record MetricsPage(string Text)
{
    /// <summary>What kind of metric each one is, by name.</summary>
    public IReadOnlyDictionary<string, string> Types { get; } =
        TypeLine().Matches(Text).ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value);

    public static async Task<MetricsPage> GetAsync(int port)
    {
        using var client = new HttpClient();
        return new MetricsPage(await client.GetStringAsync($"http://127.0.0.1:{port}/metrics", TestContext.Current.CancellationToken));
    }

    /// <summary>True for the name of a metric, or of the series that a histogram consists of.</summary>
    public bool Knows(string name) => Types.ContainsKey(name)
        || (HistogramSuffix().Match(name) is { Success: true } suffix && Types.GetValueOrDefault(name[..suffix.Index]) == "histogram");

    /// <summary>The values of all series of a name that have these labels, added up.</summary>
    public double Sum(string name, params (string Label, string Value)[] labels)
    {
        var found = SampleLine().Matches(Text)
            .Where(m => m.Groups[1].Value == name && labels.All(l => m.Groups[2].Value.Contains($"{l.Label}=\"{l.Value}\"", StringComparison.Ordinal)))
            .Select(m => double.Parse(m.Groups[3].Value, CultureInfo.InvariantCulture)).ToArray();
        Assert.True(found.Length > 0, $"/metrics has no {name} with {string.Join(", ", labels)}");
        return found.Sum();
    }

    /// <summary>The names of our metrics that a text mentions: an expression of PromQL, or a document.</summary>
    public static IEnumerable<string> NamesIn(string text) => OwnName().Matches(text).Select(m => m.Value).Distinct();

    [GeneratedRegex(@"(?m)^# TYPE (\w+) (\w+)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex(@"(?m)^(\w+)(?:\{(.*)\})? (\S+)$")]
    private static partial Regex SampleLine();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramSuffix();

    [GeneratedRegex(@"\bpooler_\w+")]
    private static partial Regex OwnName();
}
