namespace Pooler.Engine.Pools;

/// <summary>
/// Counters of one pool on one loop. Only that loop's thread writes them, so the hot path needs neither lock nor
/// atomic; readers add the loops' counters up and may be a few transactions behind. Times are in microseconds.
/// </summary>
public sealed class PoolStatistics
{
    internal long ServerAssignments;
    internal long Transactions;
    internal long Queries;
    internal long BytesReceived;
    internal long BytesSent;
    internal long TransactionTime;
    internal long QueryTime;
    internal long WaitTime;
    internal long ClientParses;
    internal long ServerParses;
    internal long Binds;
    internal long Logins;

    /// <summary>Counts in what another process has counted.</summary>
    internal void Add(PoolTotals totals)
    {
        ServerAssignments += totals.ServerAssignments;
        Transactions += totals.Transactions;
        Queries += totals.Queries;
        BytesReceived += totals.BytesReceived;
        BytesSent += totals.BytesSent;
        TransactionTime += totals.TransactionTime;
        QueryTime += totals.QueryTime;
        WaitTime += totals.WaitTime;
        ClientParses += totals.ClientParses;
        ServerParses += totals.ServerParses;
        Binds += totals.Binds;
        Logins += totals.Logins;
    }
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
        foreach (var s in perLoop)
        {
            sum += new PoolTotals(
                Volatile.Read(ref s.ServerAssignments), Volatile.Read(ref s.Transactions), Volatile.Read(ref s.Queries),
                Volatile.Read(ref s.BytesReceived), Volatile.Read(ref s.BytesSent),
                Volatile.Read(ref s.TransactionTime), Volatile.Read(ref s.QueryTime), Volatile.Read(ref s.WaitTime),
                Volatile.Read(ref s.ClientParses), Volatile.Read(ref s.ServerParses), Volatile.Read(ref s.Binds),
                Volatile.Read(ref s.Logins));
        }
        return sum;
    }
}
