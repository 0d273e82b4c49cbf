using System.Diagnostics;

namespace Pooler.Engine.Sessions;

/// <summary>What tracing knows of a client; only clients that have marked something as part of a trace have one.</summary>
internal sealed class SessionTrace
{
    /// <summary>The extended batch that has begun and has no Sync yet, when it is part of a trace.</summary>
    public TracedRequest? Batch { get; set; }

    /// <summary>What the request that waits for a server is part of.</summary>
    public ActivityContext Waiting { get; set; }

    /// <summary>The span of the transaction in progress.</summary>
    public Activity? Transaction { get; set; }

    /// <summary>What <see cref="Transaction"/> is a part of.</summary>
    public ActivityContext TransactionParent { get; set; }
}
