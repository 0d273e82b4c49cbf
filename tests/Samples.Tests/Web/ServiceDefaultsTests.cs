using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using ServiceDefaults;
using Testing.Otlp;
using Xunit;

namespace Samples.Tests.Web;

// Listeners hear the whole process: one test at a time.
[Collection("listeners")]
public sealed class ServiceDefaultsTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(OtlpReceiver.Http)]
    [InlineData(OtlpReceiver.Grpc)]
    public async Task Traces_metrics_and_logs_reach_the_collector_at_the_latest_when_the_service_stops(string protocol)
    {
        await using var collector = await OtlpReceiver.StartAsync();
        using var source = new ActivitySource("Shop.Test." + Guid.NewGuid().ToString("N"));
        using var meter = new Meter(source.Name);
        var work = ActivityTraceId.CreateRandom();
        var probe = ActivityTraceId.CreateRandom();

        await using (var app = Build(
            options =>
            {
                options.ActivitySources.Add(source.Name);
                options.Meters.Add(meter.Name);
            },
            [
                .. collector.Environment(protocol, "x-otlp-api-key=open-sesame,x-second=yes").Select(setting => (setting.Key, setting.Value!)),
                ("OTEL_SERVICE_NAME", "named-by-the-environment"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=instance-7"),
            ]))
        {
            app.MapGet("/work", (ILogger<ServiceDefaultsTests> logger) =>
            {
                using var activity = source.StartActivity("counting the till");
                using var scope = logger.BeginScope(new Dictionary<string, object> { ["shop.aisle"] = "aisle-nine" });
                logger.LogInformation("Counted {Coins} coins", 4711);
                return "done";
            });
            await app.StartAsync(Cancellation);
            meter.CreateCounter<int>("shop.coins").Add(3);
            await GetAsync(app, "/work", work);
            await GetAsync(app, "/health", probe);
            await app.StopAsync(Cancellation);
        }

        Assert.Equal(["logs", "metrics", "traces"], collector.Exports.Select(export => export.Signal).Distinct().Order());
        Assert.All(collector.Exports, export =>
        {
            Assert.Equal(protocol, export.Protocol);
            Assert.Equal(protocol == OtlpReceiver.Grpc ? "application/grpc" : "application/x-protobuf", export.ContentType);
            Assert.Equal("open-sesame", export.Headers["x-otlp-api-key"]);
            Assert.Equal("yes", export.Headers["x-second"]);
        });
        Assert.All(
            collector.Spans.Select(span => span.Source).Concat(collector.Points.Select(point => point.Source)).Concat(collector.Logs.Select(log => log.Source)),
            from =>
            {
                Assert.Equal("named-by-the-environment", from.Service);
                Assert.Equal("instance-7", from.Resource["service.instance.id"]);
            });

        // The request's span joins its caller's trace; probes are kept out of the traces.
        var request = Assert.Single(collector.Spans, span => span.Name == "GET /work");
        Assert.Equal((work.ToHexString(), OtlpSpanKind.Server, "Microsoft.AspNetCore"), (request.TraceId, request.Kind, request.Source.Scope));
        var counting = Assert.Single(collector.Spans, span => span.Name == "counting the till");
        Assert.Equal((request.TraceId, request.Id), (counting.TraceId, counting.ParentId));
        Assert.DoesNotContain(collector.Spans, span => span.TraceId == probe.ToHexString());

        Assert.Contains(collector.Points, point => point is { Name: "shop.coins", Kind: OtlpMetricKind.Sum, Value: 3 });
        Assert.Contains(collector.Points, point => point is { Name: "http.server.request.duration", Kind: OtlpMetricKind.Histogram, Unit: "s" });
        Assert.Contains(collector.Points, point => point.Name == "dotnet.gc.collections");

        var counted = Assert.Single(collector.Logs, log => log.Body == "Counted 4711 coins");
        Assert.Equal(("aisle-nine", 4711L), (counted.Attributes["shop.aisle"], counted.Attributes["Coins"]));
        Assert.Equal((counting.TraceId, counting.Id), (counted.TraceId, counted.SpanId));
        Assert.Contains(collector.Logs, log => log.Body.StartsWith("Application started", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_failed_requests_span_has_the_route_that_was_asked_for_and_the_error()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var (broken, missing) = (ActivityTraceId.CreateRandom(), ActivityTraceId.CreateRandom());
        await using (var app = Build(null, [.. collector.Environment(OtlpReceiver.Http).Select(setting => (setting.Key, setting.Value!))]))
        {
            app.UseExceptionHandler("/error");
            app.UseStatusCodePagesWithReExecute("/error");
            app.UseRouting();
            app.MapGet("/error", () => "sorry");
            app.MapGet("broken/{part}", string (string part) => throw new InvalidOperationException(part));
            await app.StartAsync(Cancellation);
            await GetAsync(app, "/broken/till", broken, HttpStatusCode.InternalServerError);
            await GetAsync(app, "/no/such/page", missing, HttpStatusCode.NotFound);
            await app.StopAsync(Cancellation);
        }

        var failed = Assert.Single(collector.Spans, span => span.TraceId == broken.ToHexString());
        Assert.Equal(("GET /broken/{part}", 2, "500"), (failed.Name, failed.Status, failed.Attributes.Text("http.response.status_code")));
        Assert.Equal(typeof(InvalidOperationException).FullName, failed.Attributes.Text("error.type"));

        // The client's mistake is no error of the server's.
        var unknown = Assert.Single(collector.Spans, span => span.TraceId == missing.ToHexString());
        Assert.Equal(("GET", 0, "404"), (unknown.Name, unknown.Status, unknown.Attributes.Text("http.response.status_code")));
        Assert.DoesNotContain("error.type", unknown.Attributes.Keys);
        Assert.DoesNotContain("http.route", unknown.Attributes.Keys);
    }

    [Fact]
    public async Task Without_an_endpoint_nothing_listens_to_the_service()
    {
        using var source = new ActivitySource("Shop.Test." + Guid.NewGuid().ToString("N"));
        await using var app = Build(options => options.ActivitySources.Add(source.Name));
        await app.StartAsync(Cancellation);

        Assert.False(source.HasListeners());
    }

    [Fact]
    public async Task A_collector_that_is_gone_neither_fails_the_service_nor_its_end()
    {
        await using var app = Build(
            null,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"));
        await app.StartAsync(Cancellation);

        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/alive", Cancellation)).StatusCode);
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task Health_needs_every_check_and_alive_only_the_live_ones()
    {
        var state = HealthStatus.Healthy;
        await using var app = Build(configureBuilder: builder => builder.Services.AddHealthChecks()
            .AddCheck("till", () => new HealthCheckResult(state, "the till")));
        await app.StartAsync(Cancellation);
        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };

        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/health", Cancellation)).StatusCode);
        state = HealthStatus.Unhealthy;
        using var health = await client.GetAsync("/health", Cancellation);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
        using var json = JsonDocument.Parse(await health.Content.ReadAsStringAsync(Cancellation));
        Assert.Equal("Unhealthy", json.RootElement.GetProperty("status").GetString());
        var till = json.RootElement.GetProperty("checks").GetProperty("till");
        Assert.Equal("Unhealthy", till.GetProperty("status").GetString());
        Assert.Equal("the till", till.GetProperty("description").GetString());
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/alive", Cancellation)).StatusCode);
    }

    [Fact]
    public async Task A_health_response_does_not_tell_what_an_exception_said()
    {
        await using var app = Build(configureBuilder: builder => builder.Services.AddHealthChecks()
            .AddCheck("till", () => throw new InvalidOperationException("Password=hunter2 was wrong")));
        await app.StartAsync(Cancellation);
        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };

        using var health = await client.GetAsync("/health", Cancellation);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
        Assert.DoesNotContain("hunter2", await health.Content.ReadAsStringAsync(Cancellation));
    }

    /// <summary>Requests a page as part of a trace, without a span of the test's own.</summary>
    private static async Task GetAsync(
        WebApplication app, string path, ActivityTraceId trace, HttpStatusCode expected = HttpStatusCode.OK)
    {
        using var handler = new SocketsHttpHandler { ActivityHeadersPropagator = null };
        using var client = new HttpClient(handler) { BaseAddress = new Uri(app.Urls.First()) };
        client.DefaultRequestHeaders.Add("traceparent", $"00-{trace}-{ActivitySpanId.CreateRandom()}-01");
        using var response = await client.GetAsync(path, Cancellation);
        Assert.Equal(expected, response.StatusCode);
    }

    private static WebApplication Build(
        Action<ServiceDefaultsOptions>? configure = null,
        params (string Key, string Value)[] settings) => Build(configure, null, settings);

    private static WebApplication Build(
        Action<ServiceDefaultsOptions>? configure = null,
        Action<WebApplicationBuilder>? configureBuilder = null,
        params (string Key, string Value)[] settings)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Configuration.AddInMemoryCollection(settings.ToDictionary(setting => setting.Key, setting => (string?)setting.Value));
        builder.AddServiceDefaults(configure);
        configureBuilder?.Invoke(builder);
        var app = builder.Build();
        app.Urls.Add("http://127.0.0.1:0");
        app.MapDefaultEndpoints();
        return app;
    }
}
