using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace ServiceDefaults.Telemetry;

/// <summary>
/// The OpenTelemetry SDK of this process, with the OTLP exporter for all three signals. The SDK reads protocol, headers,
/// timeouts, sampler and resource attributes from the standard OTEL_* settings by itself; they may come from anywhere in
/// the host's configuration, not only from the environment.
/// </summary>
internal sealed class OtlpTelemetry : IDisposable
{
    private static readonly string[] EndpointKeys =
    [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    ];

    private readonly OpenTelemetrySdk _sdk;

    public OtlpTelemetry(IConfiguration configuration, IHostEnvironment environment, ServiceDefaultsOptions options)
    {
        var serviceName = options.ServiceName ?? environment.ApplicationName;

        _sdk = OpenTelemetrySdk.Create(otel =>
        {
            otel.Services.AddSingleton(configuration);
            otel.Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Trace));
            otel.ConfigureResource(resource => resource
                .Clear()
                .AddService(serviceName)
                .AddTelemetrySdk()
                .AddEnvironmentVariableDetector());
            otel.WithTracing(tracing => tracing
                .AddSource([.. options.ActivitySources])
                .AddProcessor(new HealthProbeFilter()));
            otel.WithMetrics(metrics => metrics.AddMeter([.. options.Meters]));
            otel.WithLogging(logging =>
            {
                foreach (var processor in options.LogProcessors) logging.AddProcessor(processor);
            }, logs =>
            {
                logs.IncludeFormattedMessage = true;
                logs.IncludeScopes = true;
            });
            otel.UseOtlpExporter();
        });
    }

    /// <summary>
    /// Logs given to this factory are exported. Levels are not filtered here: the host's own factory, whose provider
    /// forwards to this one, has done that.
    /// </summary>
    public ILoggerFactory LoggerFactory => _sdk.GetLoggerFactory();

    public static bool IsConfigured(IConfiguration configuration) =>
        EndpointKeys.Any(key => !string.IsNullOrWhiteSpace(configuration[key]));

    /// <summary>Sends what is still buffered, for at most <paramref name="timeout"/> per signal.</summary>
    public void Flush(TimeSpan timeout)
    {
        var milliseconds = (int)timeout.TotalMilliseconds;
        _sdk.TracerProvider.ForceFlush(milliseconds);
        _sdk.MeterProvider.ForceFlush(milliseconds);
        _sdk.LoggerProvider.ForceFlush(milliseconds);
    }

    public void Dispose() => _sdk.Dispose();
}
