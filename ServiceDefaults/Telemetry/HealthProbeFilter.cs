using System.Diagnostics;
using OpenTelemetry;

namespace ServiceDefaults.Telemetry;

/// <summary>
/// Keeps health probes out of the traces. A processor and not a sampler, because a sampler set in code would overrule
/// OTEL_TRACES_SAMPLER. Clearing the flag when the span starts also keeps the spans below it (the probe's own query)
/// out, as samplers follow their parent.
/// </summary>
internal sealed class HealthProbeFilter : BaseProcessor<Activity>
{
    public override void OnStart(Activity data)
    {
        if (data.Kind == ActivityKind.Server
            && data.GetTagItem("url.path") is ServiceDefaultsExtensions.ReadinessPath or ServiceDefaultsExtensions.LivenessPath)
        {
            data.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            data.IsAllDataRequested = false;
        }
    }
}
