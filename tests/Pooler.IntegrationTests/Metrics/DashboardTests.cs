using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>The Grafana dashboard of docs/grafana asks what Prometheus can answer.</summary>
[Collection(typeof(ScrapedPoolerCollection))]
public sealed class DashboardTests(ScrapedPooler scraped)
{
    private static readonly GrafanaDashboard Dashboard = GrafanaDashboard.Read();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public static TheoryData<string, string> Expressions => [.. Dashboard.Expressions.Select(e => new TheoryDataRow<string, string>(e.Panel, e.Expression))];

    public static TheoryData<string, string> Variables => [.. Dashboard.Variables.Select(v => new TheoryDataRow<string, string>(v.Name, v.Query))];

    // All of everything, and four scrapes for a rate, as Grafana has it.
    private static Dictionary<string, string> Values =>
        new(Dashboard.Variables.Select(v => KeyValuePair.Create(v.Name, v.All))) { ["__rate_interval"] = "4s" };

    [Theory, MemberData(nameof(Expressions))]
    public async Task A_panel_shows_what_happens(string panel, string expression)
    {
        var substituted = GrafanaDashboard.Substitute(expression, Values);

        await scraped.KnowsAsync(substituted);
        // There is no percentile where nothing happened, so some members may be no numbers.
        await Eventually.TrueAsync(
            async () => (await scraped.Prometheus.QueryAsync(substituted)).Any(s => double.IsFinite(s.Value)), cancellationToken: Cancelled, text: $"{panel}: {substituted}");
    }

    [Theory, MemberData(nameof(Variables))]
    public async Task A_variable_offers_values(string name, string query)
    {
        var (label, selector) = GrafanaDashboard.LabelValues(GrafanaDashboard.Substitute(query, Values));
        Assert.Equal(name, label);
        await Eventually.TrueAsync(
            async () => (await scraped.Prometheus.LabelValuesAsync(label, selector)).Count > 0, cancellationToken: Cancelled, text: query);
    }

    [Fact]
    public void Every_panel_has_a_place_and_a_number_of_its_own_and_says_what_it_shows()
    {
        var panels = Dashboard.Panels.ToArray();
        Assert.Equal(panels.Length, panels.Select(p => p.GetProperty("id").GetInt32()).Distinct().Count());
        var cells = from panel in panels
                    let place = panel.GetProperty("gridPos")
                    from x in Enumerable.Range(place.GetProperty("x").GetInt32(), place.GetProperty("w").GetInt32())
                    from y in Enumerable.Range(place.GetProperty("y").GetInt32(), place.GetProperty("h").GetInt32())
                    select (x, y);
        Assert.All(cells.CountBy(c => c), c => Assert.Equal(1, c.Value));
        Assert.All(cells, c => Assert.InRange(c.x, 0, 23));
        Assert.All(panels.Where(p => p.GetProperty("type").GetString() != "row"), p =>
        {
            Assert.NotEqual("", p.GetProperty("description").GetString());
            Assert.Equal("${datasource}", p.GetProperty("datasource").GetProperty("uid").GetString());
            Assert.All(p.GetProperty("targets").EnumerateArray(), t => Assert.Equal("${datasource}", t.GetProperty("datasource").GetProperty("uid").GetString()));
        });
    }

    [Fact]
    public void Every_variable_that_is_used_is_declared_and_every_one_that_is_declared_is_used()
    {
        var list = Dashboard.Root.GetProperty("templating").GetProperty("list").EnumerateArray().Select(v => v.GetProperty("name").GetString()!).ToArray();
        Assert.Equal("datasource", list[0]);
        var used = Dashboard.Expressions.Select(e => e.Expression).Concat(Dashboard.Variables.Select(v => v.Query)).SelectMany(GrafanaDashboard.VariablesIn).Distinct();
        Assert.Equal(list.Skip(1).Order(), used.Where(v => !v.StartsWith("__", StringComparison.Ordinal)).Order());
    }
}
