using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>
/// Counts what happens seldom by its kind, which is one of a few: no label of a metric may have ever more values. Any thread.
/// </summary>
internal sealed class EventCounts<TKind> where TKind : struct, Enum
{
    /// <summary>All kinds, and how metrics name them.</summary>
    public static readonly ImmutableArray<(TKind Kind, string Name)> Kinds =
        [.. Enum.GetValues<TKind>().Select(k => (k, JsonNamingPolicy.SnakeCaseLower.ConvertName(k.ToString())))];

    private readonly long[] _counts = new long[Kinds.Length];

    public long this[TKind kind] => Volatile.Read(ref _counts[Index(kind)]);

    public void Add(TKind kind) => Interlocked.Increment(ref _counts[Index(kind)]);

    // The kinds are numbered from 0 without gaps.
    private static int Index(TKind kind) => Unsafe.As<TKind, int>(ref kind);
}

/// <summary>What happens to a pool beside its traffic. What processes before this one have counted is not handed over.</summary>
internal sealed class PoolEvents
{
    public EventCounts<TimeoutKind> Timeouts { get; } = new();

    public EventCounts<ConnectFailure> ConnectFailures { get; } = new();

    public EventCounts<ServerClosing> Closings { get; } = new();
}

/// <summary>What happens before it is known which pool it concerns.</summary>
internal sealed class EngineEvents
{
    public EventCounts<LoginRefusal> LoginRefusals { get; } = new();

    public EventCounts<CancelResult> Cancels { get; } = new();

    /// <summary>client_login_timeout, of clients that had no pool yet or no server to log in with.</summary>
    public EventCounts<TimeoutKind> Timeouts { get; } = new();
}

/// <summary>The timeouts that end a client's request or the client.</summary>
internal enum TimeoutKind
{
    /// <summary>No server came free in time.</summary>
    QueryWaitTimeout,

    /// <summary>A query ran, or waited and ran, for too long.</summary>
    QueryTimeout,

    /// <summary>A transaction took too long.</summary>
    TransactionTimeout,

    /// <summary>A client left a transaction open without a request.</summary>
    IdleTransactionTimeout,

    /// <summary>A client without a transaction sent nothing.</summary>
    ClientIdleTimeout,

    /// <summary>A client did not finish its login.</summary>
    ClientLoginTimeout,
}
