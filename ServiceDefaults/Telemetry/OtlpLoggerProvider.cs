using Microsoft.Extensions.Logging;

namespace ServiceDefaults.Telemetry;

/// <summary>
/// Carries the host's log messages into the OpenTelemetry SDK, which has a container and a logger factory of its own.
/// It deliberately takes no external scope provider: the host's factory then opens scopes on these loggers, and so they
/// reach the SDK's.
/// </summary>
internal sealed class OtlpLoggerProvider(OtlpTelemetry telemetry) : ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) => telemetry.LoggerFactory.CreateLogger(categoryName);

    // The telemetry owns the factory and outlives this provider.
    public void Dispose()
    {
    }
}
