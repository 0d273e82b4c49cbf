using Pooler.Engine.Pools;

namespace Pooler.Engine.Telemetry;

/// <summary>What a pool did in the last minutes.</summary>
/// <param name="Database">Database.</param>
/// <param name="User">User that the servers log in as.</param>
/// <param name="Intervals">Oldest first; the last one has just ended.</param>
public sealed record PoolHistory(string Database, string User, IReadOnlyList<PoolInterval> Intervals);

/// <summary>A few seconds of a pool's life.</summary>
/// <param name="End">When it ended.</param>
/// <param name="Length">How long it was.</param>
/// <param name="State">The pool at its end; the totals and times in it count since the start.</param>
/// <param name="Counted">What was counted in it.</param>
/// <param name="Waits">How long clients waited for a server, of the waits that ended in it; 0 for those that had not to.</param>
/// <param name="Queries">How long the queries took that ended in it.</param>
/// <param name="Transactions">How long the transactions took that ended in it.</param>
public sealed record PoolInterval(
    DateTimeOffset End, TimeSpan Length, PoolSnapshot State, PoolTotals Counted,
    TimeDistribution Waits, TimeDistribution Queries, TimeDistribution Transactions);
