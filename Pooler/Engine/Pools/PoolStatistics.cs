using System.Runtime.CompilerServices;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Pools;

/// <summary>
/// Counters of one pool on one loop. Only that loop's thread writes them, so the hot path needs neither lock nor
/// atomic; readers add the loops' counters up and may be a few transactions behind.
/// </summary>
public sealed class PoolStatistics
{
    /// <summary>Servers given to clients that had not to wait: waits of 0, which need no record of their own.</summary>
    internal long ImmediateAssignments;

    /// <summary>Servers given to clients that had waited.</summary>
    internal long AwaitedAssignments;

    internal long Transactions;
    internal long Queries;
    internal long BytesReceived;
    internal long BytesSent;
    internal long ClientParses;
    internal long ServerParses;
    internal long Binds;
    internal long Logins;

    /// <summary>Times a named statement was on its server already.</summary>
    internal long StatementHits;

    /// <summary>Waits for a server that ended with one, and those of logins for the pool's first server.</summary>
    internal readonly TimeHistogram Waits = new();

    internal readonly TimeHistogram QueryTimes = new();
    internal readonly TimeHistogram TransactionTimes = new();

    /// <summary>From opening a server connection until it could be used.</summary>
    internal readonly TimeHistogram ConnectTimes = new();

    private volatile StrongBox<PoolTotals>? _inherited;

    /// <summary>What other processes have counted that this one has taken over from. How long each took is not handed over.</summary>
    internal PoolTotals Inherited => _inherited?.Value ?? default;

    /// <summary>Counts in what another process has counted.</summary>
    internal void Add(PoolTotals totals) => _inherited = new StrongBox<PoolTotals>(Inherited + totals);

    /// <summary>What this process has counted.</summary>
    internal PoolTotals Read() => new(
        Volatile.Read(ref ImmediateAssignments) + Volatile.Read(ref AwaitedAssignments), Volatile.Read(ref Transactions),
        Volatile.Read(ref Queries), Volatile.Read(ref BytesReceived), Volatile.Read(ref BytesSent),
        TransactionTimes.Sum, QueryTimes.Sum, Waits.Sum,
        Volatile.Read(ref ClientParses), Volatile.Read(ref ServerParses), Volatile.Read(ref Binds), Volatile.Read(ref Logins));
}

/// <summary>The counters of a pool, or a database, added up at one moment. Times are in microseconds.</summary>
/// <param name="ServerAssignments">Times a client was given a server.</param>
/// <param name="Transactions">Transactions ended.</param>
/// <param name="Queries">Queries (simple) and batches (extended) ended.</param>
/// <param name="BytesReceived">Bytes from clients.</param>
/// <param name="BytesSent">Bytes to clients.</param>
/// <param name="TransactionTime">Time clients spent in transactions.</param>
/// <param name="QueryTime">Time servers spent on queries.</param>
/// <param name="WaitTime">Time clients waited for a server.</param>
/// <param name="ClientParses">Named statements prepared by clients.</param>
/// <param name="ServerParses">Named statements prepared on servers.</param>
/// <param name="Binds">Named statements bound.</param>
/// <param name="Logins">Client logins.</param>
public readonly record struct PoolTotals(
    long ServerAssignments, long Transactions, long Queries, long BytesReceived, long BytesSent, long TransactionTime,
    long QueryTime, long WaitTime, long ClientParses, long ServerParses, long Binds, long Logins)
{
    /// <summary>Adds two sets of counters.</summary>
    public static PoolTotals operator +(PoolTotals a, PoolTotals b) => new(
        a.ServerAssignments + b.ServerAssignments, a.Transactions + b.Transactions, a.Queries + b.Queries,
        a.BytesReceived + b.BytesReceived, a.BytesSent + b.BytesSent, a.TransactionTime + b.TransactionTime,
        a.QueryTime + b.QueryTime, a.WaitTime + b.WaitTime, a.ClientParses + b.ClientParses,
        a.ServerParses + b.ServerParses, a.Binds + b.Binds, a.Logins + b.Logins);

    /// <summary>What has been counted between two moments.</summary>
    public static PoolTotals operator -(PoolTotals a, PoolTotals b) => new(
        a.ServerAssignments - b.ServerAssignments, a.Transactions - b.Transactions, a.Queries - b.Queries,
        a.BytesReceived - b.BytesReceived, a.BytesSent - b.BytesSent, a.TransactionTime - b.TransactionTime,
        a.QueryTime - b.QueryTime, a.WaitTime - b.WaitTime, a.ClientParses - b.ClientParses,
        a.ServerParses - b.ServerParses, a.Binds - b.Binds, a.Logins - b.Logins);

    internal static PoolTotals Of(PoolStatistics[] perLoop)
    {
        var sum = default(PoolTotals);
        foreach (var statistics in perLoop) sum += statistics.Read() + statistics.Inherited;
        return sum;
    }
}
