using System.Diagnostics;

namespace Pooler.Engine.Sessions;

/// <summary>A request under way that has something to do with tracing: a simple query, or an extended batch up to its Sync.</summary>
/// <param name="context">The client's span; the default when the request is not to be traced.</param>
/// <param name="startedAt">When its first byte was forwarded, in loop microseconds.</param>
internal sealed class TracedRequest(in ActivityContext context, long startedAt)
{
    public ActivityContext Context { get; } = context;

    public long StartedAt { get; } = startedAt;
}
