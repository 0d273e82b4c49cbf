using Microsoft.Extensions.Hosting;

namespace ServiceDefaults.Telemetry;

/// <summary>
/// Starts telemetry before any other hosted service starts, and flushes it after all of them have stopped, so that the
/// spans and logs of starting and stopping are exported too. The container disposes the SDK itself.
/// </summary>
internal sealed class OtlpTelemetryService(OtlpTelemetry telemetry) : IHostedLifecycleService
{
    // A collector that is gone must not hold up the end of the process for long.
    private static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(2);

    // Being constructed with the telemetry is what starts it.
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) =>
        Task.Run(() => telemetry.Flush(FlushTimeout), CancellationToken.None);
}
