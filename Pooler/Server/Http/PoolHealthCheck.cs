using Microsoft.Extensions.Diagnostics.HealthChecks;
using Pooler.Engine;

namespace Pooler.Server.Http;

/// <summary>Readiness: a server connection can be had.</summary>
internal sealed class PoolHealthCheck(PoolerEngine engine) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var report = await engine.CheckHealthAsync(cancellationToken);
        return report.IsHealthy ? HealthCheckResult.Healthy(report.Description) : HealthCheckResult.Unhealthy(report.Description);
    }
}
