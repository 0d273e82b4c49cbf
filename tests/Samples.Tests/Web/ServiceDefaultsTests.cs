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
using Xunit;

namespace Samples.Tests.Web;

public sealed class ServiceDefaultsTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Traces_metrics_and_logs_reach_the_collector_at_the_latest_when_the_service_stops()
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
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.Address),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=open-sesame"),
            ("OTEL_SERVICE_NAME", "named-by-the-environment"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=instance-7")))
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

        Assert.All(["traces", "metrics", "logs"], signal =>
        {
            var exports = collector.Received(signal);
            Assert.NotEmpty(exports);
            Assert.All(exports, export =>
            {
                Assert.NotEmpty(export.Body);
                Assert.Equal("application/x-protobuf", export.ContentType);
                Assert.Equal("open-sesame", export.ApiKey);
                Assert.True(export.Contains("named-by-the-environment"));
                Assert.True(export.Contains("instance-7"));
            });
        });

        Assert.True(collector.Has("traces", "counting the till"));
        Assert.True(collector.Has("traces", "Microsoft.AspNetCore"));
        Assert.True(collector.HasTrace(work), "the request's span joins its caller's trace");
        Assert.False(collector.HasTrace(probe), "probes are kept out of the traces");
        Assert.True(collector.Has("metrics", "shop.coins"));
        Assert.True(collector.Has("metrics", "http.server.request.duration"));
        Assert.True(collector.Has("metrics", "dotnet.gc.collections"));
        Assert.True(collector.Has("logs", "Counted 4711 coins"));
        Assert.True(collector.Has("logs", "aisle-nine"), "scopes are exported");
        Assert.True(collector.Has("logs", "Application started"), "messages of the start are exported");
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
    private static async Task GetAsync(WebApplication app, string path, ActivityTraceId trace)
    {
        using var handler = new SocketsHttpHandler { ActivityHeadersPropagator = null };
        using var client = new HttpClient(handler) { BaseAddress = new Uri(app.Urls.First()) };
        client.DefaultRequestHeaders.Add("traceparent", $"00-{trace}-{ActivitySpanId.CreateRandom()}-01");
        using var response = await client.GetAsync(path, Cancellation);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
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
