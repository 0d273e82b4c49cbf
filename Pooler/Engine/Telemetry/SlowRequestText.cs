using System.Globalization;

namespace Pooler.Engine.Telemetry;

/// <summary>A slow wait or query as the log tells it: <c>1234.5 ms: SELECT …</c>.</summary>
/// <param name="Request">What was slow.</param>
public sealed record SlowRequestText(SlowRequest Request) : ILogFields
{
    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, object>> ForJson()
    {
        yield return new("duration_ms", Request.Duration.TotalMilliseconds);
        if (Request.Query.Length > 0) yield return new("query", Request.Query);
        if (Request.ApplicationName.Length > 0) yield return new("application_name", Request.ApplicationName);
        if (Request.TraceId is not null) yield return new("trace_id", Request.TraceId);
        if (Request.SpanId is not null) yield return new("span_id", Request.SpanId);
    }

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, object>> AsAttributes()
    {
        // Durations in seconds are OpenTelemetry's rule.
        yield return new("pooler.duration", Request.Duration.TotalSeconds);
        if (Request.Query.Length > 0) yield return new("db.query.text", Request.Query);
        if (Request.ApplicationName.Length > 0) yield return new("pooler.client.application_name", Request.ApplicationName);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Request.Duration.TotalMilliseconds:0.0} ms: {(Request.Query.Length == 0 ? "(not known)" : Request.Query)}");
}
