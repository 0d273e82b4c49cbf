using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using Testing;
using Testing.Otlp;
using Xunit;

namespace LocalRun.Tests.Stacks;

/// <summary>What the product tells of itself over OTLP.</summary>
public sealed class TelemetryTests(TracedStack stack) : IClassFixture<TracedStack>
{
    // Services have clocks of their own, and the pooler follows the system's with some tolerance.
    private const ulong ClockTolerance = 25_000_000;

    private readonly ActivityTraceId _trace = ActivityTraceId.CreateRandom();
    private readonly ActivitySpanId _caller = ActivitySpanId.CreateRandom();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_request_its_statement_its_wait_for_a_server_and_its_query_are_one_trace()
    {
        await WaitInThePoolAsync(HttpMethod.Get, "/api/products/1", HttpStatusCode.OK);

        var spans = await TraceAsync(
            """
            web: GET /api/products/{id:long}
              web: postgresql SELECT
                pooler: pool wait
                pooler: query SELECT
            """);
        var (request, statement, wait, query) = (spans[0], spans[1], spans[2], spans[3]);

        Assert.Equal(_caller.ToHexString(), request.ParentId);
        Assert.Equal([OtlpSpanKind.Server, OtlpSpanKind.Client, OtlpSpanKind.Internal, OtlpSpanKind.Client], spans.Select(span => span.Kind));
        Assert.Equal(["Microsoft.AspNetCore", "Npgsql", "Pooler", "Pooler"], spans.Select(span => span.Source.Scope));
        Assert.All(spans, span => Assert.NotEqual(2, span.Status));

        Assert.Equal("/api/products/{id:long}", request.Attributes.Text("http.route"));
        Assert.Equal("/api/products/1", request.Attributes.Text("url.path"));
        Assert.Equal("200", request.Attributes.Text("http.response.status_code"));

        Assert.Equal($"{stack.PoolerPort}", statement.Attributes.Text("server.port"));
        Assert.DoesNotContain("traceparent", statement.Attributes.Text("db.query.text"), StringComparison.Ordinal);

        Assert.All([wait, query], span =>
        {
            Assert.Equal("postgresql", span.Attributes.Text("db.system.name"));
            Assert.Equal("shop", span.Attributes.Text("db.namespace"));
            Assert.Equal("shop/postgres", span.Attributes.Text("db.client.connection.pool.name"));
            Assert.Equal($"{stack.PostgresPort}", span.Attributes.Text("server.port"));
            Assert.Equal(wait.Attributes.Text("pooler.client.id"), span.Attributes.Text("pooler.client.id"));
            Assert.Equal(wait.Attributes.Text("pooler.server.id"), span.Attributes.Text("pooler.server.id"));
        });
        Assert.StartsWith("0xc", wait.Attributes.Text("pooler.client.id"), StringComparison.Ordinal);
        Assert.Contains("LIMIT ?", query.Attributes.Text("db.query.text"), StringComparison.Ordinal);

        // One within the other, and the query after the wait.
        Assert.InRange(statement.Start, request.Start, request.End);
        Assert.InRange(statement.End, statement.Start, request.End);
        Assert.InRange(wait.Start, statement.Start - ClockTolerance, wait.End);
        Assert.InRange(query.Start, wait.End, query.End);
        Assert.InRange(query.End, query.Start, statement.End + ClockTolerance);

        // The log names the same connection.
        Assert.Single(
            stack.Collector.Logs,
            log => log.EventName == "login_attempt" && log.Attributes.Text("pooler.client.id") == wait.Attributes.Text("pooler.client.id"));
    }

    [Fact]
    public async Task A_transaction_is_one_trace_with_all_its_statements()
    {
        await WaitInThePoolAsync(
            HttpMethod.Post, "/api/checkout", HttpStatusCode.Created,
            new { customer = "Ada", items = new[] { new { product_id = 1, quantity = 1 }, new { product_id = 2, quantity = 1 } } });

        var spans = await TraceAsync(
            """
            web: POST /api/checkout
              web: postgresql SELECT
                pooler: pool wait
                pooler: transaction
                  pooler: query SELECT
                  pooler: query SELECT
                  pooler: query SAVEPOINT
                  pooler: query BATCH
                  pooler: query RELEASE
                  pooler: query COMMIT
              web: postgresql SELECT
              web: postgresql SAVEPOINT
              web: postgresql INSERT
              web: postgresql RELEASE
            """);

        // The statements that came later are not the transaction's parent: their queries are linked to them.
        var statements = spans.Where(span => span.Source.Scope == "Npgsql").Skip(1).Select(span => (_trace.ToHexString(), span.Id));
        Assert.Equal(statements, spans.Where(span => span.Name == "query").SelectMany(span => span.Links));
        Assert.Single(spans.Select(span => span.Attributes.Text("pooler.server.id")).Where(server => server is not null).Distinct());
    }

    [Fact]
    public async Task Every_service_tells_its_figures_and_its_log_over_grpc_with_the_key()
    {
        await WaitInThePoolAsync(HttpMethod.Get, "/api/products/2", HttpStatusCode.OK);

        await ArrivesAsync("pooler", "db.client.connection.max", OtlpMetricKind.Sum, "{connection}", point => point.Value == TracedStack.PoolSize);
        await ArrivesAsync("pooler", "db.client.connection.count", OtlpMetricKind.Sum, "{connection}", point => point.Attributes.Text("db.client.connection.pool.name") == "shop/postgres");
        await ArrivesAsync("pooler", "db.client.connection.wait_time", OtlpMetricKind.Histogram, "s", point => point is { Count: > 0, Value: > 0, Bounds.Count: > 3 });
        await ArrivesAsync("web", "http.server.request.duration", OtlpMetricKind.Histogram, "s", point => point.Attributes.Text("http.route") == "/api/products/{id:long}");
        await ArrivesAsync("web", "db.client.operation.duration", OtlpMetricKind.Histogram, "s", point => point.Attributes.Text("db.client.connection.pool.name") == "shop");
        await ArrivesAsync("worker", "messaging.client.consumed.messages", OtlpMetricKind.Sum, "{message}", point => point.Value > 0);

        await SaysAsync("pooler", log => log.Severity == "Information" && log.Body.Contains("process up", StringComparison.Ordinal));
        await SaysAsync("web", log => log.Body.StartsWith("The database has been migrated", StringComparison.Ordinal));
        // What is said within a span says so.
        await SaysAsync("worker", log => log.Body.StartsWith("Product ", StringComparison.Ordinal)
            && stack.Collector.Spans.Any(span => span.Name == "process webscraper" && (span.TraceId, span.Id) == (log.TraceId, log.SpanId)));

        Assert.All(stack.Collector.Exports, export =>
            Assert.Equal((OtlpReceiver.Grpc, "application/grpc", "open-sesame"), (export.Protocol, export.ContentType, export.Headers["x-otlp-api-key"])));
    }

    /// <summary>Sends a request of a trace of the test's own while all servers are busy, and lets it go on once it waits.</summary>
    private async Task WaitInThePoolAsync(HttpMethod method, string path, HttpStatusCode expected, object? body = null)
    {
        // The web has a connection to the pooler from now on: opening one would be a span too.
        await stack.Web.GetStringAsync("/api/products/1", Cancelled);

        Task<HttpResponseMessage> answer;
        await using (await stack.HoldServersAsync(Cancelled))
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
            request.Headers.Add("traceparent", $"00-{_trace}-{_caller}-01");
            answer = stack.Web.SendAsync(request, Cancelled);
            await Eventually.TrueAsync(
                async () => await stack.ConsoleAsync("SELECT count(*) FROM SHOW CLIENTS WHERE state = 'waiting' AND application_name = 'web'", Cancelled) is 1L,
                cancellationToken: Cancelled);
        }

        using var response = await answer;
        Assert.Equal(expected, response.StatusCode);
    }

    /// <summary>Waits until the trace has come, as this tree, and returns its spans in the tree's order.</summary>
    private async Task<IReadOnlyList<OtlpSpan>> TraceAsync(string expected)
    {
        List<(OtlpSpan Span, string Line)> tree = [];
        await Eventually.PassesAsync(
            () =>
            {
                var spans = stack.Collector.Spans.Where(span => span.TraceId == _trace.ToHexString()).ToList();
                tree = [.. Below(_caller.ToHexString(), "")];
                Assert.Equal(expected, string.Join('\n', tree.Select(node => node.Line)));
                Assert.Equal(spans.Count, tree.Count);
                return Task.CompletedTask;

                IEnumerable<(OtlpSpan, string)> Below(string parent, string indent) => spans
                    .Where(span => span.ParentId == parent)
                    .OrderBy(span => span.Start)
                    .SelectMany(span => Below(span.Id, indent + "  ").Prepend((span, $"{indent}{span.Source.Service}: {span.Name}{Operation(span)}")));
            },
            TimeSpan.FromSeconds(10),
            Cancelled);
        return [.. tree.Select(node => node.Span)];

        // Npgsql does not name it.
        static string Operation(OtlpSpan span) =>
            (span.Attributes.Text("db.operation.name") ?? (span.Source.Scope == "Npgsql" ? span.Attributes.Text("db.query.text")?.Split(' ')[0] : null)) is { } operation
                ? " " + operation
                : "";
    }

    private Task ArrivesAsync(string service, string metric, OtlpMetricKind kind, string unit, Func<OtlpPoint, bool> condition) =>
        Eventually.TrueAsync(
            () => stack.Collector.Points.Any(point =>
                (point.Source.Service, point.Name, point.Kind, point.Unit) == (service, metric, kind, unit) && condition(point)),
            TimeSpan.FromSeconds(10), Cancelled, $"{metric} of {service}");

    private Task SaysAsync(string service, Func<OtlpLog, bool> condition) =>
        Eventually.TrueAsync(
            () => stack.Collector.Logs.Any(log => log.Source.Service == service && condition(log)), TimeSpan.FromSeconds(10), Cancelled, $"log of {service}");
}
