using System.Diagnostics;
using System.Net;
using Testing.Otlp;
using Xunit;

namespace Samples.Tests.Web;

/// <summary>The web without a pooler: what its requests' traces have, and what PostgreSQL is sent.</summary>
// Listeners hear the whole process: one test at a time.
[Collection("listeners")]
public sealed class TracedRequestTests(ShopServers servers)
{
    [Fact]
    public async Task A_page_and_its_statement_are_one_trace_on_a_direct_connection_too()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        await using var site = await WebSite.StartAsync(
            servers, [.. collector.Environment(OtlpReceiver.Http).Select(setting => (setting.Key, setting.Value!))]);
        // Opening the first connection would be a span too.
        await site.PageAsync("/products/1");
        var trace = ActivityTraceId.CreateRandom().ToHexString();
        var caller = ActivitySpanId.CreateRandom().ToHexString();

        using var request = new HttpRequestMessage(HttpMethod.Get, "/products/1") { Headers = { { "traceparent", $"00-{trace}-{caller}-01" } } };
        using var answer = await site.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);

        OtlpSpan? page = null;
        await Eventually.Is(
            () => Task.FromResult((page = collector.Spans.FirstOrDefault(span => span.TraceId == trace && span.Kind == OtlpSpanKind.Server)) is not null),
            "the page's span arrives");
        Assert.Equal(("GET /products/{id:long}", caller, "web"), (page!.Name, page.ParentId, page.Source.Service));
        var statement = Assert.Single(collector.Spans, span => span.TraceId == trace && span.ParentId == page.Id && span.Source.Scope == "Npgsql");
        Assert.InRange(statement.Start, page.Start, page.End);

        // PostgreSQL keeps the text of a connection's last statement as it came.
        var comment = $"/*traceparent='00-{trace}-{statement.Id}-01'*/";
        Assert.Equal(1L, await site.QueryAsync("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'web' AND query LIKE $1", $"SELECT%{comment}"));
    }
}
