using System.Text.Json;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>The alert rules of docs/prometheus in a real Prometheus.</summary>
[Collection(typeof(ScrapedPoolerCollection))]
public sealed class AlertTests(ScrapedPooler scraped)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_rule_is_understood_and_names_metrics_that_exist()
    {
        await Eventually.PassesAsync(async () =>
        {
            var rules = await scraped.Prometheus.RulesAsync();
            Assert.NotEmpty(rules);
            Assert.All(rules, r => Assert.Equal("ok", r.GetProperty("health").GetString()));
        }, cancellationToken: Cancelled);

        foreach (var rule in await scraped.Prometheus.RulesAsync())
        {
            await scraped.KnowsAsync(rule.GetProperty("query").GetString()!);
            foreach (var text in new[] { "summary", "description", "action" })
                Assert.NotEqual("", rule.GetProperty("annotations").GetProperty(text).GetString());
        }
    }

    [Theory]
    [InlineData("PoolerClientsWaiting", ScrapedPooler.Stuck)]
    [InlineData("PoolerPoolExhausted", ScrapedPooler.Stuck)]
    [InlineData("PoolerTimeouts", ScrapedPooler.Hurried)]
    [InlineData("PoolerServerConnectsFailing", ScrapedPooler.Gone)]
    [InlineData("PoolerDatabaseUnreachable", ScrapedPooler.Gone)]
    [InlineData("PoolerAdvice", ScrapedPooler.Stuck)]
    public async Task An_alert_fires_for_the_database_in_trouble(string alert, string database) =>
        await FiresAsync(alert, a => a.GetProperty("labels").GetProperty("database").GetString() == database);

    [Theory]
    [InlineData("PoolerLoginsRefused")]
    public async Task An_alert_fires_for_the_pooler_in_trouble(string alert) =>
        await FiresAsync(alert, _ => true);

    [Fact]
    public async Task Nothing_is_said_of_what_is_well()
    {
        await FiresAsync("PoolerClientsWaiting", _ => true);
        var alerts = await scraped.Prometheus.AlertsAsync();
        Assert.DoesNotContain(alerts, a => NameOf(a) is "PoolerDown" or "PoolerClientLimitNear");
        Assert.DoesNotContain(alerts, a => NameOf(a) == "PoolerDatabaseUnreachable" && a.GetProperty("labels").GetProperty("database").GetString() != ScrapedPooler.Gone);
    }

    private Task FiresAsync(string alert, Func<JsonElement, bool> condition) => Eventually.TrueAsync(
        async () => (await scraped.Prometheus.AlertsAsync()).Any(a => NameOf(a) == alert && a.GetProperty("state").GetString() == "firing" && condition(a)),
        cancellationToken: Cancelled, text: alert);

    private static string NameOf(JsonElement alert) => alert.GetProperty("labels").GetProperty("alertname").GetString()!;
}
