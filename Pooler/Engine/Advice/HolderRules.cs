using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Advice;

/// <summary>Rules about clients that hold servers for long.</summary>
internal static class HolderRules
{
    // What a well-behaved transaction never needs, and an editor left open over lunch always exceeds.
    private const int SuggestedIdleTransaction = 30;

    // Microseconds. Below, the way to the client and back is most of what is idle.
    private const double ShortTransaction = 5_000;

    private static readonly int[] RoundSeconds = [30, 60, 120, 300, 600, 1800];

    public static readonly IReadOnlyList<AdviceRule> All =
    [
        new("idle-in-transaction", FindIdleInTransaction)
        {
            Sees = "A client has begun a transaction and has sent nothing for an interval (5 s) while others wait for its server; or, with nobody waiting, for a minute.",
            Matters = "The server connection does nothing and nobody else can have it. It keeps its locks, too, and keeps vacuum from removing old rows.",
            Remedy = "Set idle_transaction_timeout, so that such clients are closed; in the application end transactions before slow work such as calls of other services. KILL_CLIENT on the console ends one at once.",
        },
        new("long-transactions", FindLong)
        {
            Sees = "Clients wait, and at least half of the pool's servers have been held by the same clients for an interval (5 s) and longer; or transactions take more than a second on average. With nobody waiting, half of what the pool may have held for a minute.",
            Matters = "More server connections would be held in the same way: the pool is not too small, its transactions are too long, or wait for locks in the database.",
            Remedy = "See what they do (SHOW HELD_SERVERS, the page) and what they wait for (pg_blocking_pids in PostgreSQL). Where clients wait for them, bound them by query_timeout or transaction_timeout; give reports and dumps a pool of their own.",
            Question = AdviceRule.WhyClientsWait,
        },
        new("idle-within-transactions", FindIdleWithin)
        {
            Sees = "Clients wait, and over the last half minute servers in transactions were waiting for the client's next query for more than half of the time (thirty transactions at least, of 5 ms and longer on average).",
            Matters = "The application does other work between BEGIN and COMMIT: calls of services, rendering, or many round trips from far away. Server connections are in use without doing anything.",
            Remedy = "Do that work before BEGIN or after COMMIT, and send fewer, larger queries. A larger pool helps, too, as these servers need no processor time.",
        },
        new("idle-sessions", FindIdleSessions)
        {
            Sees = "In a pool with session mode at least half of the servers belong to clients that have done nothing for an interval (5 s), while others wait; or, with nobody waiting, nearly all for a minute.",
            Matters = "In session mode a server is its client's until the client leaves: the pool saves logins, not connections.",
            Remedy = "pool_mode = transaction for this database or user, where the application allows it; or let the application's own pool give connections up when idle.",
        },
    ];

    private static IEnumerable<Finding> FindIdleInTransaction(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var isWanted = pool.IsPressed || pool.IsStuck;
            var least = input.Periods(isWanted ? 1 : 12);
            var idle = pool.Held.Where(h => IsIdleInTransaction(h) && h.StateFor >= least).OrderByDescending(h => h.StateFor).ToArray();
            if (idle.Length == 0) continue;
            var timeout = pool.IdleTransactionTimeout;
            var isOff = timeout.Value is 0 or > SuggestedIdleTransaction;
            yield return new Finding(
                isWanted ? AdviceLevel.Warning : AdviceLevel.Info,
                $"{AdviceText.Count(idle.Length, "client keeps a server connection", "clients keep server connections")} in a transaction without using it"
                + (isWanted ? $", while {AdviceText.Count(pool.State.ClientsWaiting, "other waits", "others wait")}." : "."),
                $"{idle.Length} of {pool.State.Servers} server connections; {AdviceText.Holders(idle)}",
                $"{(isOff ? $"Set {timeout.Name}; " : "")}end transactions in the application before work that needs no database; KILL_CLIENT {idle[0].ClientId} ends the longest now.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = isOff ? timeout.Name : "",
                Current = isOff ? timeout.Text : "",
                Suggested = isOff ? AdviceText.Number(SuggestedIdleTransaction) : "",
            };
        }
    }

    private static IEnumerable<Finding> FindLong(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var isWanted = pool.IsPressed || pool.IsStuck;
            var working = AtWorkFor(pool, input.Periods(isWanted ? 1 : 12));
            if (HoldsMost(pool, working.Count)) yield return ByHolders(input, pool, working, isWanted);
            else if (pool.IsPressed && IsSlow(input, pool)) yield return Slow(pool);
        }
    }

    private static IEnumerable<Finding> FindIdleWithin(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var now = pool.Now;
            var (queries, transactions) = (now.Counted.QueryTime, now.Counted.TransactionTime);
            if (!pool.IsPressed || now.Counted.Transactions < 30 || now.MeanTransaction < ShortTransaction || queries * 2 > transactions) continue;
            yield return new Finding(
                AdviceLevel.Warning, $"Server connections wait for their clients during {AdviceText.Percent(1 - (double)queries / transactions)} of the time of transactions.",
                $"transactions take {AdviceText.Time(now.MeanTransaction)} on average, {AdviceText.Number((double)now.Counted.Queries / now.Counted.Transactions)} queries in each, together {AdviceText.Time((double)queries / now.Counted.Transactions)}; "
                + AdviceText.Count(pool.State.ClientsWaiting, "client waits", "clients wait"),
                "In the application do other work before BEGIN or after COMMIT, and send fewer queries per transaction.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
            };
        }
    }

    private static IEnumerable<Finding> FindIdleSessions(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (pool.State.Mode != PoolMode.Session || pool.Capacity == int.MaxValue) continue;
            var isWanted = pool.IsPressed || pool.IsStuck;
            var least = input.Periods(isWanted ? 1 : 12);
            var idle = pool.Held.Where(h => IsPinnedIdle(h) && h.StateFor >= least).OrderByDescending(h => h.StateFor).ToArray();
            if (idle.Length < pool.Capacity * (isWanted ? 0.5 : 0.9)) continue;
            yield return new Finding(
                isWanted ? AdviceLevel.Warning : AdviceLevel.Info,
                $"{idle.Length} of {pool.State.Servers} server connections belong to sessions that do nothing"
                + (isWanted ? $", while {AdviceText.Count(pool.State.ClientsWaiting, "client waits", "clients wait")}." : ": the next clients will wait."),
                AdviceText.Holders(idle),
                "Use transaction mode for this database or user, where the application allows it; or let the application close connections that it does not use.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = pool.PoolMode,
                Current = "session",
                Suggested = "transaction",
            };
        }
    }

    /// <summary>Whether long transactions are why clients of a pool wait: then its size is not.</summary>
    public static bool AreLong(AdviceInput input, PoolView pool) =>
        HoldsMost(pool, Held(pool, input.Period).Count()) || IsSlow(input, pool);

    private static Finding ByHolders(AdviceInput input, PoolView pool, IReadOnlyList<HeldServer> working, bool isWanted)
    {
        // One request that does not end, or many in one transaction.
        var inOneRequest = working.Count(h => h.StateFor >= input.Period) * 2 >= working.Count;
        var limit = inOneRequest ? pool.QueryTimeout : pool.TransactionTimeout;
        var suggested = SuggestedLimit(pool, inOneRequest);
        // With nobody waiting they do no harm: a limit would end a dump or a report that may take its time.
        var isOff = isWanted && (limit.Value == 0 || limit.Value > suggested);
        var what = inOneRequest ? "requests that do not end" : "long transactions";
        return new Finding(
            isWanted ? AdviceLevel.Warning : AdviceLevel.Info,
            $"{working.Count} of {pool.State.Servers} server connections are held by {what}"
            + (isWanted ? $", while {AdviceText.Count(pool.State.ClientsWaiting, "client waits", "clients wait")}: they are long or blocked, the pool is not too small." : "."),
            $"held for up to {AdviceText.Time(working[0].HeldFor)}, longest wait {AdviceText.Time(pool.State.MaxWait)}; {AdviceText.Holders(working)}",
            $"Ask PostgreSQL what they wait for: SELECT pid, wait_event_type, pg_blocking_pids(pid) FROM pg_stat_activity WHERE pid IN ({string.Join(", ", working.Take(5).Select(h => h.BackendProcess))})."
            + (isOff ? $" {limit.Name} bounds such cases." : ""))
        {
            Database = pool.State.Database,
            User = pool.State.User,
            Setting = isOff ? limit.Name : "",
            Current = isOff ? limit.Text : "",
            Suggested = isOff ? AdviceText.Number(suggested) : "",
        };
    }

    private static Finding Slow(PoolView pool)
    {
        var now = pool.Now;
        return new Finding(
            AdviceLevel.Warning,
            $"Transactions take {AdviceText.Time(now.MeanTransaction)} on average, and clients wait for them to end.",
            $"{AdviceText.Number(now.PerSecond(now.Counted.Transactions))} transactions a second, 95 % of them within {AdviceText.Time(now.Transactions.Percentile(0.95))}, "
            + $"queries {AdviceText.Time(now.Queries.Percentile(0.5))} at the median; {AdviceText.Count(pool.State.ClientsWaiting, "client waits", "clients wait")}, the longest {AdviceText.Time(pool.State.MaxWait)}",
            "Make them shorter (SHOW SLOW_REQUESTS has the slowest), or give the slow ones a pool of their own: a larger pool only lets more of them run at once.")
        {
            Database = pool.State.Database,
            User = pool.State.User,
        };
    }

    private static IReadOnlyList<HeldServer> AtWorkFor(PoolView pool, TimeSpan time) =>
        [.. Held(pool, time).Where(h => !IsIdleInTransaction(h) && !IsPinnedIdle(h)).OrderByDescending(h => h.HeldFor)];

    /// <summary>
    /// Who has held a server for some time. In session mode that says nothing: there it is who has been at one request, or
    /// at nothing, for that time. Replication has servers of its own, for as long as it likes.
    /// </summary>
    private static IEnumerable<HeldServer> Held(PoolView pool, TimeSpan time) => pool.Held.Where(h =>
        h.Pin != PinReasons.Replication && (pool.State.Mode == PoolMode.Session ? h.StateFor : h.HeldFor) >= time);

    // With nobody waiting it is what the pool may have that counts: a quiet pool has opened no more servers than it needs.
    private static bool HoldsMost(PoolView pool, int held) =>
        held > 0 && held * 2L >= (pool.IsPressed || pool.IsStuck ? Math.Min(pool.Capacity, Math.Max(1, pool.State.Servers)) : pool.Capacity);

    private static bool IsSlow(AdviceInput input, PoolView pool) => pool.Now.MeanTransaction >= input.Period.TotalMicroseconds / 5;

    private static bool IsIdleInTransaction(HeldServer held) => held.State == "idle in transaction";

    private static bool IsPinnedIdle(HeldServer held) => held is { Pin: not null, State: "idle" };

    // Ten times what nearly all of them need, and half a minute, so that it hits only what has gone wrong.
    private static int SuggestedLimit(PoolView pool, bool ofQueries)
    {
        var all = Figures.Of(pool.Intervals);
        var usual = (ofQueries ? all.Queries : all.Transactions).Percentile(0.95) / 1e6;
        return RoundSeconds.FirstOrDefault(s => s >= usual * 10, RoundSeconds[^1]);
    }
}
