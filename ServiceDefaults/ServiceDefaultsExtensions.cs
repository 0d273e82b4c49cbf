using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using ServiceDefaults.Health;
using ServiceDefaults.Telemetry;

namespace ServiceDefaults;

/// <summary>What every service of the stack has in common: telemetry over OTLP, and health endpoints.</summary>
public static class ServiceDefaultsExtensions
{
    /// <summary>Path that answers 200 when the service can do its work: every registered check passes.</summary>
    public const string ReadinessPath = "/health";

    /// <summary>Path that answers 200 while the process works at all: only checks tagged <see cref="LiveTag"/>.</summary>
    public const string LivenessPath = "/alive";

    /// <summary>Tag of the health checks that <see cref="LivenessPath"/> runs.</summary>
    public const string LiveTag = "live";

    /// <summary>
    /// Adds OTLP export of traces, metrics and logs, when <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> (or one of its per-signal
    /// forms) is configured, and a liveness check. Call it before the service's own registrations.
    /// </summary>
    /// <param name="builder">The host's builder.</param>
    /// <param name="configure">Adds the service's own activity sources and meters.</param>
    public static TBuilder AddServiceDefaults<TBuilder>(this TBuilder builder, Action<ServiceDefaultsOptions>? configure = null)
        where TBuilder : IHostApplicationBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);

        var options = new ServiceDefaultsOptions();
        configure?.Invoke(options);

        if (OtlpTelemetry.IsConfigured(builder.Configuration))
        {
            // ASP.NET Core fills in OpenTelemetry's attributes of a request's span only when asked to, and the span
            // processor that leaves out health probes reads them. The switch has to be set before the host is built.
            AppContext.SetSwitch("Microsoft.AspNetCore.Hosting.SuppressActivityOpenTelemetryData", false);

            builder.Services.AddSingleton(options);
            builder.Services.AddSingleton<OtlpTelemetry>();
            builder.Services.AddSingleton<ILoggerProvider, OtlpLoggerProvider>();
            builder.Services.AddHostedService<OtlpTelemetryService>();
            builder.Services.AddSingleton<IStartupFilter, RequestSpans>();
        }

        // A probe that fails is its asker's to report, and the answer says why: a service that waits for its database
        // would otherwise fill its log with one error per probe.
        builder.Logging.AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.None);
        builder.Services.AddHealthChecks().AddCheck("self", () => HealthCheckResult.Healthy(), [LiveTag]);
        return builder;
    }

    /// <summary>
    /// Maps <see cref="ReadinessPath"/> and <see cref="LivenessPath"/>. Both answer JSON with the state of each check:
    /// 200 when healthy or degraded, 503 otherwise.
    /// </summary>
    /// <param name="endpoints">The application.</param>
    public static IEndpointRouteBuilder MapDefaultEndpoints(this IEndpointRouteBuilder endpoints)
    {
        ArgumentNullException.ThrowIfNull(endpoints);

        Map(ReadinessPath, _ => true);
        Map(LivenessPath, check => check.Tags.Contains(LiveTag));
        return endpoints;

        // Probes come every few seconds for ever: they would drown the request metrics of the service itself.
        void Map(string path, Func<HealthCheckRegistration, bool> predicate) => endpoints
            .MapHealthChecks(path, new HealthCheckOptions { Predicate = predicate, ResponseWriter = HealthReportJson.WriteAsync })
            .AllowAnonymous()
            .DisableHttpMetrics();
    }
}
