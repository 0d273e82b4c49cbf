using System.Security.Cryptography;
using System.Text;
using Pooler.Engine;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Server.Http.Page;

/// <summary>How urgently a pool wants to be looked at.</summary>
internal enum Trouble
{
    /// <summary>Nobody uses it.</summary>
    Quiet,

    /// <summary>It works.</summary>
    None,

    /// <summary>Paused, disabled, or there is a warning about it.</summary>
    Notable,

    /// <summary>Clients wait.</summary>
    Waiting,

    /// <summary>A client has been waiting for more than a second.</summary>
    Stuck,
}

/// <summary>A pool as the page shows it: its counts of the moment and what it did in the last minutes.</summary>
internal sealed class PoolView
{
    private static readonly TimeSpan Recently = TimeSpan.FromMinutes(1);
    private const int StuckAfter = 1_000_000;

    public PoolView(PoolSnapshot now, IReadOnlyList<PoolInterval> history)
    {
        Now = now;
        History = history;
        Id = "pool-" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{now.Database}\0{now.User}")).AsSpan(0, 8));
        if (history.Count == 0) return;

        var since = history[^1].End - Recently;
        var counted = default(PoolTotals);
        foreach (var interval in history)
        {
            if (interval.End <= since) continue;
            RecentLength += interval.Length;
            counted += interval.Counted;
            RecentWaits += interval.Waits;
            RecentQueries += interval.Queries;
        }
        Recent = counted;
        var last = history[^1];
        TransactionsPerSecond = last.Counted.Transactions / last.Length.TotalSeconds;
        QueriesPerSecond = last.Counted.Queries / last.Length.TotalSeconds;
    }

    /// <summary>Of its elements in the document; the same as long as there is a pool of these names.</summary>
    public string Id { get; }

    public PoolSnapshot Now { get; }

    public IReadOnlyList<PoolInterval> History { get; }

    /// <summary>A piece of advice with level warning concerns it.</summary>
    public bool IsWarnedOf { get; init; }

    /// <summary>Over the last few seconds.</summary>
    public double TransactionsPerSecond { get; }

    /// <summary>Over the last few seconds.</summary>
    public double QueriesPerSecond { get; }

    /// <summary>Counted in the last minute.</summary>
    public PoolTotals Recent { get; }

    public TimeSpan RecentLength { get; }

    /// <summary>Of the last minute.</summary>
    public TimeDistribution RecentWaits { get; } = TimeDistribution.Empty;

    /// <summary>Of the last minute.</summary>
    public TimeDistribution RecentQueries { get; } = TimeDistribution.Empty;

    public Trouble Trouble =>
        Now.ClientsWaiting > 0 ? Now.MaxWait > StuckAfter ? Trouble.Stuck : Trouble.Waiting
        : Now.IsHeld || Now.IsDisabled || IsWarnedOf ? Trouble.Notable
        : Now.ClientsActive > 0 || Now.ServersActive > 0 || Recent.Transactions > 0 ? Trouble.None
        : Trouble.Quiet;

    /// <summary>Trouble first, then by name: an order by figures would never stand still.</summary>
    public static IReadOnlyList<PoolView> Sort(IEnumerable<PoolView> pools) =>
        [.. pools.OrderByDescending(p => p.Trouble).ThenBy(p => p.Now.Database, StringComparer.Ordinal).ThenBy(p => p.Now.User, StringComparer.Ordinal)];
}
