using System.Collections.Concurrent;
using System.Diagnostics;
using Testing;

namespace Pooler.IntegrationTests.Tracing;

/// <summary>The engine's spans of the traces that a test has begun; other tests' spans come by as well and are left alone.</summary>
internal sealed class RecordedSpans : IDisposable
{
    private readonly ConcurrentQueue<Activity> _spans = new();
    private readonly ActivityListener _listener;

    public RecordedSpans()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == "Pooler",
            // As OpenTelemetry's ParentBased sampler, with all roots.
            Sample = static (ref ActivityCreationOptions<ActivityContext> options) =>
                options.Parent == default || options.Parent.TraceFlags.HasFlag(ActivityTraceFlags.Recorded)
                    ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
            ActivityStopped = _spans.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public static Mark NewMark(bool isSampled = true) =>
        new(ActivityTraceId.CreateRandom(), ActivitySpanId.CreateRandom(), isSampled);

    /// <summary>The spans of a trace, in the order of their beginnings; the longer of two that begin at once is around the other.</summary>
    public Activity[] Of(Mark mark) =>
        [.. _spans.Where(s => s.TraceId == mark.TraceId).OrderBy(s => s.StartTimeUtc).ThenByDescending(s => s.Duration)];

    /// <summary>The roots of a database's traces.</summary>
    public Activity[] RootsOf(string database) =>
        [.. _spans.Where(s => s.ParentSpanId == default && (string?)s.GetTagItem("db.client.connection.pool.name") == $"{database}/{PostgresForPooler.Trusted}")];

    /// <summary>The spans of a trace, once there are that many.</summary>
    public async Task<Activity[]> OfAsync(Mark mark, int count)
    {
        await Eventually.TrueAsync(() => Of(mark).Length >= count);
        return Of(mark);
    }

    /// <summary>The spans of a trace as a text: name(parent), in the order of their beginnings; links behind.</summary>
    public async Task<string> TreeAsync(Mark mark, int count)
    {
        var spans = await OfAsync(mark, count);
        string Parent(Activity span) => span.ParentSpanId == mark.SpanId
            ? "client" : spans.FirstOrDefault(s => s.SpanId == span.ParentSpanId)?.OperationName ?? "unknown";
        return string.Join(' ', spans.Select(s => $"{s.OperationName}({Parent(s)})"));
    }

    public void Dispose() => _listener.Dispose();
}

/// <summary>A client's span.</summary>
internal readonly record struct Mark(ActivityTraceId TraceId, ActivitySpanId SpanId, bool IsSampled)
{
    public string Value => $"00-{TraceId}-{SpanId}-{(IsSampled ? "01" : "00")}";

    /// <summary>As sqlcommenter writes it.</summary>
    public string Comment => $"/*traceparent='{Value}'*/";
}
