using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Pooler.IntegrationTests.Metrics;
using Testing;
using Testing.Otlp;
using Xunit;

namespace Pooler.IntegrationTests.Story;

/// <summary>Whoever looks at one and the same trouble hears one and the same story, wherever it is that he looks.</summary>
public sealed partial class OneStoryTests(PostgresForPooler postgres)
{
    private const string Advice = "long-transactions";

    /// <summary>
    /// A bound of the histograms, in seconds. What was asked while the table was locked took longer, as the advice wants to see
    /// five seconds of it, and nothing else did.
    /// </summary>
    private const double Long = 2.5;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Thirty_requests_for_a_locked_table_on_five_servers_are_told_alike_everywhere()
    {
        await using var pool = await BlockedPool.StartAsync(postgres, Cancelled);
        var before = await FiguresAsync(pool);
        await pool.AskAsync();

        // It speaks last, having seen for a while that this does not pass.
        await Eventually.TrueAsync(async () => (await pool.ShowAsync("SHOW ADVICE")).Any(a => a["rule"] is Advice), TimeSpan.FromSeconds(60), Cancelled);
        var holders = await AssertConsoleAsync(pool);
        AssertFinding(await pool.LogLineAsync(Advice));
        AssertMetrics(new MetricsPage(await pool.GetAsync("/metrics")));
        await AssertPageAsync(pool);
        await AssertOtlpMetricsAsync(pool);

        Assert.All(await pool.ReleaseAsync(), a => Assert.Equal("T D(0) C(SELECT 1) Z(I)", a));
        var waits = await SpansAsync(pool, "pool wait", BlockedPool.Waiting);
        var queries = await SpansAsync(pool, "query", BlockedPool.Requests);
        var figures = await FiguresAsync(pool) - before;
        AssertWaits(waits, figures);
        AssertQueries(queries, waits, figures);
        Assert.Equal(holders.Order(), queries.Where(q => Seconds(q) > Long).Select(q => q.TraceId).Order());
        await AssertSlowRequestsAsync(pool, waits);
    }

    /// <returns>The traces of those that hold servers.</returns>
    private static async Task<IReadOnlyList<string>> AssertConsoleAsync(BlockedPool pool)
    {
        var row = Assert.Single(await pool.ShowAsync($"SELECT * FROM SHOW POOLS WHERE database = '{BlockedPool.Database}'"));
        Assert.Equal((BlockedPool.Waiting, BlockedPool.Servers), (Number(row["cl_waiting"]), Number(row["cl_active"])));
        Assert.Equal((BlockedPool.Servers, 0, 0), (Number(row["sv_active"]), Number(row["sv_idle"]), Number(row["sv_login"])));
        Assert.True(Number(row["maxwait"]) > 0);

        var states = await pool.ShowAsync($"SELECT state, COUNT(*) FROM SHOW CLIENTS WHERE database = '{BlockedPool.Database}' GROUP BY state ORDER BY state");
        Assert.Equal([("active", BlockedPool.Servers), ("waiting", BlockedPool.Waiting)], states.Select(s => ((string)s["state"], Number(s["count"]))));

        var held = await pool.ShowAsync("SHOW HELD_SERVERS");
        Assert.Equal(BlockedPool.Servers, held.Count);
        Assert.All(held, h => Assert.Equal(("shop", BlockedPool.Application, "active"), (h["database"], h["application_name"], h["state"])));

        var advice = Assert.Single(await pool.ShowAsync("SHOW ADVICE"), a => a["rule"] is Advice);
        Assert.Equal((BlockedPool.Database, BlockedPool.User, "warning"), (advice["database"], advice["user"], advice["level"]));
        AssertFinding((string)advice["finding"]);
        return [.. held.Select(h => (string)h["trace_id"])];
    }

    private static void AssertMetrics(MetricsPage page)
    {
        Assert.Equal(BlockedPool.Waiting, page.Sum("pooler_client_connections", ("state", "waiting")));
        Assert.Equal(BlockedPool.Servers, page.Sum("pooler_client_connections", ("state", "linked")));
        Assert.Equal(0, page.Sum("pooler_client_connections", ("state", "idle")));
        Assert.Equal(BlockedPool.Servers, page.Sum("pooler_server_connections", ("state", "used")));
        Assert.Equal(BlockedPool.Servers, page.Sum("pooler_server_connections"));
        Assert.Equal(BlockedPool.Servers, page.Sum("pooler_server_connections_max"));
        Assert.True(page.Sum("pooler_wait_oldest_seconds") > 0);
    }

    private static async Task AssertPageAsync(BlockedPool pool)
    {
        var text = TextOf(await pool.GetAsync("/"));
        Assert.Contains($"Waiting {BlockedPool.Waiting} oldest ", text, StringComparison.Ordinal);
        Assert.Contains($"Servers {BlockedPool.Servers} in use, of {BlockedPool.Servers} open", text, StringComparison.Ordinal);
        var held = text[text.IndexOf("Those that have held theirs longest come first.", StringComparison.Ordinal)..];
        Assert.Equal(BlockedPool.Servers, Regex.Count(held[..held.IndexOf("Slowest of the last minutes", StringComparison.Ordinal)], BlockedPool.Application));
        AssertFinding(text[text.IndexOf(" Advice ", StringComparison.Ordinal)..]);
    }

    private static async Task AssertOtlpMetricsAsync(BlockedPool pool)
    {
        double? Last(string name, params (string Name, string Value)[] attributes) => pool.Collector.Points.LastOrDefault(p =>
            p.Name == name && p.Attributes.Text("db.client.connection.pool.name") == $"{BlockedPool.Database}/{BlockedPool.User}"
            && attributes.All(a => p.Attributes.Text(a.Name) == a.Value))?.Value;

        await Eventually.PassesAsync(() =>
        {
            Assert.Equal(BlockedPool.Waiting, Last("db.client.connection.pending_requests"));
            Assert.Equal(BlockedPool.Servers, Last("db.client.connection.count", ("db.client.connection.state", "used")));
            Assert.Equal(BlockedPool.Servers, Last("db.client.connection.max"));
            return Task.CompletedTask;
        }, cancellationToken: Cancelled);
    }

    /// <summary>One span in each trace of those that waited; together as long as the histogram and SHOW STATS have it.</summary>
    private static void AssertWaits(IReadOnlyList<OtlpSpan> waits, Figures figures)
    {
        Assert.Equal(BlockedPool.Waiting, waits.DistinctBy(w => w.TraceId).Count());
        Assert.All(waits, w => Assert.True(Seconds(w) > Long, w.ToString()));

        Assert.Equal((BlockedPool.Requests, BlockedPool.Waiting), (figures.Waits, figures.LongWaits));
        // Spans have the pooler's own microseconds. The five that got a server at once may have waited for one or two of them.
        Assert.Equal(waits.Sum(Seconds), figures.WaitTime, tolerance: 0.001);
        Assert.Equal(figures.WaitTime, figures.ConsoleWaitTime, tolerance: 0.000_01);
    }

    private static void AssertQueries(IReadOnlyList<OtlpSpan> queries, IReadOnlyList<OtlpSpan> waits, Figures figures)
    {
        var (blocked, quick) = (queries.Where(q => Seconds(q) > Long).ToArray(), queries.Where(q => Seconds(q) <= Long).ToArray());
        Assert.Equal((BlockedPool.Servers, BlockedPool.Waiting), (blocked.Length, quick.Length));
        // Those that were on a server are the ones that did not wait for it.
        Assert.Equal(waits.Select(w => w.TraceId).Order(), quick.Select(q => q.TraceId).Order());

        Assert.Equal((BlockedPool.Requests, BlockedPool.Servers), (figures.Queries, figures.LongQueries));
        Assert.Equal(queries.Sum(Seconds), figures.QueryTime, tolerance: 0.01);
    }

    private static async Task AssertSlowRequestsAsync(BlockedPool pool, IReadOnlyList<OtlpSpan> waits)
    {
        var slow = await pool.ShowAsync("SHOW SLOW_REQUESTS");
        Assert.Equal(BlockedPool.Servers, slow.Count(s => s["kind"] is "query"));
        Assert.Equal(waits.Select(w => w.TraceId).Order(), slow.Where(s => s["kind"] is "wait").Select(s => (string)s["trace_id"]).Order());
        await Eventually.TrueAsync(
            async () => await pool.GetAsync("/") is var page && waits.Any(w => page.Contains(w.TraceId, StringComparison.Ordinal)), cancellationToken: Cancelled);
    }

    /// <summary>The spans of a name, each under the span of the client that it belongs to.</summary>
    private static async Task<IReadOnlyList<OtlpSpan>> SpansAsync(BlockedPool pool, string name, int count)
    {
        var traces = pool.Traces.ToDictionary(t => t.TraceId, t => t.SpanId);
        OtlpSpan[] Found() => [.. pool.Collector.Spans.Where(s => s.Name == name && traces.ContainsKey(s.TraceId))];

        await Eventually.TrueAsync(() => Found().Length >= count, cancellationToken: Cancelled);
        var spans = Found();
        Assert.Equal(count, spans.Length);
        Assert.All(spans, s => Assert.Equal(traces[s.TraceId], s.ParentId));
        return spans;
    }

    private static async Task<Figures> FiguresAsync(BlockedPool pool)
    {
        var totals = Assert.Single(await pool.ShowAsync($"SELECT * FROM SHOW STATS_TOTALS WHERE database = '{BlockedPool.Database}'"));
        var page = new MetricsPage(await pool.GetAsync("/metrics"));
        (int Count, int Long, double Sum) Of(string histogram)
        {
            var count = (int)page.Sum(histogram + "_count");
            return (count, count - (int)page.Sum(histogram + "_bucket", ("le", Long.ToString(CultureInfo.InvariantCulture))), page.Sum(histogram + "_sum"));
        }
        var (waits, queries) = (Of("pooler_wait_duration_seconds"), Of("pooler_query_duration_seconds"));
        return new Figures(waits.Count, waits.Long, waits.Sum, queries.Count, queries.Long, queries.Sum, Number(totals["wait_time"]) / 1e6);
    }

    private static void AssertFinding(string text)
    {
        Assert.Contains($"{BlockedPool.Servers} of {BlockedPool.Servers} server connections are held", text, StringComparison.Ordinal);
        Assert.Contains($"{BlockedPool.Waiting} clients wait", text, StringComparison.Ordinal);
    }

    private static long Number(object value) => Convert.ToInt64(value, CultureInfo.InvariantCulture);

    private static double Seconds(OtlpSpan span) => (span.End - span.Start) / 1e9;

    /// <summary>What a reader sees of a page, white space apart.</summary>
    private static string TextOf(string html) => Space().Replace(WebUtility.HtmlDecode(Tag().Replace(Unseen().Replace(html, ""), " ")), " ");

    [GeneratedRegex("(?s)<(style|script)\\b.*?</\\1>")]
    private static partial Regex Unseen();

    [GeneratedRegex("<[^>]*>")]
    private static partial Regex Tag();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();

    /// <summary>What /metrics and SHOW STATS_TOTALS have counted; times in seconds.</summary>
    private sealed record Figures(int Waits, int LongWaits, double WaitTime, int Queries, int LongQueries, double QueryTime, double ConsoleWaitTime)
    {
        public static Figures operator -(Figures a, Figures b) => new(
            a.Waits - b.Waits, a.LongWaits - b.LongWaits, a.WaitTime - b.WaitTime, a.Queries - b.Queries, a.LongQueries - b.LongQueries,
            a.QueryTime - b.QueryTime, a.ConsoleWaitTime - b.ConsoleWaitTime);
    }
}
