using Microsoft.Extensions.Diagnostics.HealthChecks;
using SampleQueue;

namespace SampleWorker.Supervision;

/// <summary>
/// Healthy while the executor's heartbeat arrives in Redis, which shows all that matters at once: the executor lives,
/// its loops run, and Redis answers.
/// </summary>
internal sealed class ExecutorHealthCheck(TaskMonitor monitor, WorkerOptions options) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var workers = await monitor.ReadWorkersAsync();
        var worker = workers.FirstOrDefault(worker => worker.Name == options.Name);
        return worker?.State switch
        {
            null => HealthCheckResult.Unhealthy("The executor has not started yet."),
            WorkerState.Running or WorkerState.Recycling => HealthCheckResult.Healthy($"{worker.Running} tasks running."),
            WorkerState.Draining => HealthCheckResult.Degraded("The worker is stopping."),
            _ => HealthCheckResult.Unhealthy("The executor's heartbeat is missing."),
        };
    }
}
