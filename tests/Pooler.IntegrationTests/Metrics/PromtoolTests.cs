using System.Net;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Pooler.IntegrationTests.Process;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>Prometheus' own judgement of what the pooler answers and of the files in docs/prometheus.</summary>
[Collection(typeof(ScrapedPoolerCollection))]
public sealed class PromtoolTests(ScrapedPooler scraped)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_metrics_of_a_troubled_pooler_are_named_as_Prometheus_wants_it()
    {
        var page = await MetricsPage.GetAsync(scraped.HttpPort);
        await SucceedsAsync(new Command(await Tools.PromtoolAsync(cancellationToken: Cancelled), "check", "metrics") { Input = page.Text });
    }

    [Fact]
    public async Task The_example_configuration_and_the_rules_are_sound() =>
        await SucceedsAsync(new Command(await Tools.PromtoolAsync(cancellationToken: Cancelled), "check", "config", Path.Combine(PrometheusFiles.Folder, "prometheus.yml")));

    [Fact]
    public async Task Alerts_fire_after_their_time_and_say_what_to_do()
    {
        using var directory = new ThrowawayDirectory();
        directory.Write("alerts.yml", PrometheusFiles.Read("alerts.yml"));
        var cases = directory.Write("cases.yml", File.ReadAllText(
            Path.Combine(Repository.Root, "tests", "Pooler.IntegrationTests", "Metrics", "alert-cases.yml")));
        await SucceedsAsync(new Command(await Tools.PromtoolAsync(cancellationToken: Cancelled), "test", "rules", cases));
    }

    /// <summary>Prometheus asks for OpenMetrics first, and takes the older format as well; others ask for one, or for anything.</summary>
    [Theory]
    [InlineData("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")]
    [InlineData("application/openmetrics-text;version=1.0.0")]
    [InlineData("text/plain;version=0.0.4")]
    [InlineData("text/html,*/*;q=0.8")]
    public async Task The_answer_is_in_the_format_that_its_type_names(string accept)
    {
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{scraped.HttpPort}/metrics");
        request.Headers.TryAddWithoutValidation("Accept", accept);
        using var answer = await client.SendAsync(request, Cancelled);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);

        var text = await answer.Content.ReadAsStringAsync(Cancelled);
        var counters = new MetricsPage(text).Types.Where(t => t.Value == "counter").Select(t => t.Key).ToArray();
        Assert.NotEmpty(counters);
        var isOpenMetrics = answer.Content.Headers.ContentType!.MediaType == "application/openmetrics-text";
        // In OpenMetrics a counter's name has no suffix, its sample has, and the end is marked.
        Assert.All(counters, c => Assert.Equal(!isOpenMetrics, c.EndsWith("_total", StringComparison.Ordinal)));
        Assert.Equal(isOpenMetrics, text.EndsWith("# EOF\n", StringComparison.Ordinal));
        Assert.Equal(
            isOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8",
            answer.Content.Headers.ContentType.ToString());
    }

    private static async Task SucceedsAsync(Command command)
    {
        var result = await command.RunAsync(Cancelled);
        Assert.True(result.Succeeded, result.AllOutput);
    }
}
