using System.Text.Json;
using System.Text.RegularExpressions;
using Testing;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>docs/grafana/pooler.json: its panels, and the questions they ask.</summary>
internal sealed partial class GrafanaDashboard
{
    private GrafanaDashboard(JsonElement root) => Root = root;

    public JsonElement Root { get; }

    /// <summary>All panels, rows and what is folded into them included.</summary>
    public IEnumerable<JsonElement> Panels => Root.GetProperty("panels").EnumerateArray()
        .SelectMany(p => p.TryGetProperty("panels", out var folded) ? folded.EnumerateArray().Prepend(p) : [p]);

    /// <summary>The variables, but for the data source, with what stands for all of their values.</summary>
    public IEnumerable<(string Name, string Query, string All)> Variables =>
        from variable in Root.GetProperty("templating").GetProperty("list").EnumerateArray()
        where variable.GetProperty("type").GetString() == "query"
        select (
            variable.GetProperty("name").GetString()!, variable.GetProperty("query").GetProperty("query").GetString()!,
            variable.GetProperty("allValue").GetString()!);

    /// <summary>Every expression, with the panel that asks it.</summary>
    public IEnumerable<(string Panel, string Expression)> Expressions =>
        from panel in Panels
        where panel.TryGetProperty("targets", out _)
        from target in panel.GetProperty("targets").EnumerateArray()
        select (panel.GetProperty("title").GetString()!, target.GetProperty("expr").GetString()!);

    public static GrafanaDashboard Read() =>
        new(JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "docs", "grafana", "pooler.json"))).RootElement);

    /// <summary>Puts values in the places of variables, as Grafana does before it asks Prometheus.</summary>
    public static string Substitute(string expression, IReadOnlyDictionary<string, string> values) =>
        Variable().Replace(expression, v => values[v.Groups[1].Value]);

    /// <summary>The variables that an expression names.</summary>
    public static IEnumerable<string> VariablesIn(string expression) => Variable().Matches(expression).Select(v => v.Groups[1].Value);

    /// <summary>The label and the selector of <c>label_values(selector, label)</c>.</summary>
    public static (string Label, string Selector) LabelValues(string query)
    {
        var match = LabelValuesQuery().Match(query);
        return match.Success
            ? (match.Groups[2].Value, match.Groups[1].Value)
            : throw new FormatException($"not label_values(selector, label): {query}");
    }

    [GeneratedRegex(@"\$\{?(\w+)\}?")]
    private static partial Regex Variable();

    [GeneratedRegex(@"^label_values\((.+), (\w+)\)$")]
    private static partial Regex LabelValuesQuery();
}
