using Pooler.Engine.Configuration;

namespace Pooler.Engine.Advice;

/// <summary>Rules about the sizes of pools.</summary>
internal static class SizeRules
{
    /// <summary>Two to four server connections per core are what PostgreSQL serves best; this is the upper end.</summary>
    public const int MostPerCore = 4;

    // With more of its time taken, a server connection that is free when it is wanted is luck.
    private const double WantedUtilisation = 0.75;

    // Intervals.
    private const int Minute = 12;

    // For a server whose cores nobody has told: what ten of them serve, which most servers have not.
    private const int MostOfUnknown = 40;

    // From here on people complain.
    private const long LongWait = 100_000;

    public static readonly IReadOnlyList<AdviceRule> All =
    [
        new("pool-too-small", FindTooSmall)
        {
            Sees = "In most of the last half minute all servers of a pool were in use and clients waited noticeably (a second, or 95 % of waits beyond 10 ms and together a quarter of the time of the transactions), while transactions were short.",
            Matters = "The wait for a server connection is part of every request; with query_wait_timeout it becomes an error. The database has room for more.",
            Remedy = "Raise the size that limits the pool. The suggested value follows from the transactions per second and their mean time (Little's law) at 75 % utilisation, at most twice the present one, and within four per core of the server and 70 % of its max_connections. Where its cores are not known (server_cores) no figure above 40 is suggested.",
            Question = AdviceRule.WhyClientsWait,
        },
        new("database-saturated", FindSaturated)
        {
            Sees = "As pool-too-small, but the pool has as many servers as the database can serve: four per core, or 70 % of max_connections.",
            Matters = "The database is the bottleneck. More server connections would compete for its cores, and each request would take longer.",
            Remedy = "Make the most frequent and the slowest queries cheaper, let replicas answer reads, or give the database more cores. Where it is max_connections that ends the growth, raise that.",
            Question = AdviceRule.WhyClientsWait,
        },
        new("reserve-in-use", FindReserve)
        {
            Sees = "At half of the ends of the last minute's intervals and more the pool had more servers in use than its size: the reserve was at work.",
            Matters = "The reserve is for rare peaks, and only opens after clients have waited for reserve_pool_timeout: as a habit that wait is part of many requests.",
            Remedy = "Make the pool larger by what it uses of the reserve.",
        },
        new("pool-too-large", FindTooLarge)
        {
            Sees = "Over the last minute more queries than four per core of the server ran at once on average, in a pool of more than eight servers per core.",
            Matters = "The server's cores cannot run them at once: they take turns, hold their locks and memory for longer, and each is slower than it would be in a smaller pool.",
            Remedy = "Make the pool smaller; the rest of the requests then waits in the pooler, where waiting costs nothing, and is done no later. Where the server's cores are not known (it is on another machine), server_cores tells them.",
        },
    ];

    /// <summary>Whether clients of a pool wait that has as many servers as the database can serve.</summary>
    public static bool IsAtItsLimit(AdviceInput input, PoolView pool) => SuggestionFor(input, pool) is { IsPossible: false };

    private static IEnumerable<Finding> FindTooSmall(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (SuggestionFor(input, pool) is not { IsPossible: true } suggestion) continue;
            yield return Base(pool, $"The pool is too small: clients wait {AdviceText.Time(pool.Now.MeanWait)} on average for one of {pool.Capacity} server connections.",
                RemedyFor(input, pool, suggestion)) with
            {
                Setting = suggestion.HasFigure ? suggestion.Setting.Name : "server_cores",
                Current = suggestion.HasFigure ? suggestion.Setting.Text : AdviceText.Number(input.Settings.ServerCores),
                Suggested = suggestion.HasFigure ? AdviceText.Number(suggestion.Setting.Value + suggestion.Size - pool.Capacity) : "",
            };
        }
    }

    private static string RemedyFor(AdviceInput input, PoolView pool, Suggestion suggestion)
    {
        var remedy = suggestion.HasFigure
            ? $"Raise {suggestion.Setting.Name}, and look again: it is raised by no more than twice at a time."
            : $"{pool.Capacity} server connections are as many as {pool.Capacity / MostPerCore} cores can use: raise {suggestion.Setting.Name} only if the server has more.";
        if (pool.Server.Cores is null) remedy += $" How many cores {pool.Server.Name} has is not known: set server_cores, the best size is two to four per core.";
        if (pool.Server.MaxConnections is null) remedy += " Its max_connections is not known yet: see that it allows as many.";
        return remedy;
    }

    private static IEnumerable<Finding> FindSaturated(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (SuggestionFor(input, pool) is not { IsPossible: false } suggestion) continue;
            if (suggestion.EndsByCores)
            {
                yield return Base(pool, $"The database is the bottleneck: clients wait although the pool has {pool.Capacity} server connections for the server's {pool.Server.Cores} cores.",
                    "Make the most frequent queries cheaper, let replicas answer reads, or give the database more cores: with more connections each of them would be slower.");
            }
            else
            {
                yield return Base(pool, $"Clients wait, and the pool cannot grow within the server's max_connections = {pool.Server.MaxConnections}.",
                    $"Raise max_connections of {pool.Server.Name}, then {suggestion.Setting.Name}; or make the transactions shorter.") with
                {
                    Setting = "max_connections (PostgreSQL)",
                    Current = AdviceText.Number(pool.Server.MaxConnections!.Value),
                    Suggested = AdviceText.Number(Math.Ceiling((pool.Server.MaxConnections.Value + suggestion.Size - pool.Capacity) / 50.0) * 50),
                };
            }
        }
    }

    private static IEnumerable<Finding> FindReserve(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (pool.State.Size == 0 || pool.State.Reserve == 0 || pool.Trouble is not null || HolderRules.AreLong(input, pool)) continue;
            var minute = pool.Last(Minute);
            var used = minute.Where(i => i.State.ServersActive > pool.State.Size).ToArray();
            if (used.Length < Minute / 2 || SuggestionFor(input, pool) is not null) continue;
            var most = used.Max(i => i.State.ServersActive);
            var size = Math.Min(most, MostFor(Room(pool)));
            if (size <= pool.State.Size) continue;
            yield return new Finding(
                AdviceLevel.Info, "The reserve of the pool is in constant use.",
                $"{used.Length} of {minute.Count} times in the last {AdviceText.Time(input.Periods(Minute))}, up to {most - pool.State.Size} of {pool.State.Reserve} beyond the pool's size of {pool.State.Size}",
                $"Raise {pool.Size.Name} by what is used of the reserve.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = pool.Size.Name,
                Current = pool.Size.Text,
                Suggested = AdviceText.Number(size),
            };
        }
    }

    private static IEnumerable<Finding> FindTooLarge(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (pool.Server.Cores is not { } cores || (pool.State.Size > 0 && pool.State.Size <= cores * ConfigurationAdvice.MostPerCore)) continue;
            var minute = pool.Last(Minute);
            if (minute.Count < Minute || HolderRules.AreLong(input, pool)) continue;
            var figures = Figures.Of(minute);
            var running = figures.Counted.QueryTime / figures.Time;
            if (running <= cores * MostPerCore || figures.Active <= cores * MostPerCore) continue;
            yield return new Finding(
                AdviceLevel.Info, $"The pool is larger than the server can use: {AdviceText.Number(running)} queries run at once on {AdviceText.Count(cores, "core", "cores")}.",
                $"pool of {pool.Size.Text}, on average {AdviceText.Number(figures.Active)} in use; queries take {AdviceText.Time(figures.Queries.Percentile(0.5))} at the median, {AdviceText.Time(figures.Queries.Percentile(0.95))} at 95 %",
                $"Lower {pool.Size.Name} and compare the queries' times: with fewer at once each should be faster.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = pool.Size.Name,
                Current = pool.Size.Text,
                Suggested = AdviceText.Number(cores * MostPerCore),
            };
        }
    }

    private static Finding Base(PoolView pool, string sentence, string remedy)
    {
        var now = pool.Now;
        var isBad = pool.State.MaxWait >= 10 * LongWait || now.Waits.Percentile(0.95) >= LongWait;
        return new Finding(
            isBad ? AdviceLevel.Warning : AdviceLevel.Info, sentence,
            $"{AdviceText.Number(now.PerSecond(now.Counted.Transactions))} transactions a second of {AdviceText.Time(now.MeanTransaction)} keep {AdviceText.Number(now.Busy)} of {pool.Capacity} busy; "
            + $"95 % of the waits end within {AdviceText.Time(now.Waits.Percentile(0.95))}; {AdviceText.Number(now.Queue)} clients wait on average, the longest of the moment {AdviceText.Time(pool.State.MaxWait)}",
            remedy)
        {
            Database = pool.State.Database,
            User = pool.State.User,
        };
    }

    /// <summary>How large a pool whose clients wait should be; null when its size is not why they do.</summary>
    private static Suggestion? SuggestionFor(AdviceInput input, PoolView pool)
    {
        // A pool that cannot open servers, or may not give them out, has other troubles.
        if (!pool.IsPressed || pool.State.IsHeld || pool.Trouble is not null || HolderRules.AreLong(input, pool)) return null;
        var now = pool.Now;
        var byUse = Math.Ceiling(now.Busy / WantedUtilisation);
        var byQueue = Math.Min(Math.Ceiling(now.Busy + now.Queue), pool.Capacity * 2.0);
        var wanted = (int)Math.Max(Math.Max(byUse, byQueue), pool.Capacity + 1);
        var (byCores, byConnections) = (MostFor(pool.Server.Cores * MostPerCore), MostFor(Room(pool)));
        var size = Math.Min(wanted, Math.Min(byCores, byConnections));
        var setting = pool.ReachedLimit ?? pool.Size;
        if (size <= pool.Capacity) return new Suggestion(setting, wanted, IsPossible: false, EndsByCores: byCores <= byConnections, HasFigure: false);
        // Without a bound it would double for ever, on a server that may have two cores.
        if (pool.Server.Cores is null) size = Math.Min(size, Math.Max(MostOfUnknown, pool.Capacity));
        return new Suggestion(setting, size, IsPossible: true, EndsByCores: false, HasFigure: size > pool.Capacity);
    }

    /// <summary>What this pool may grow to when all pools together are to stay within their part of max_connections.</summary>
    private static int? Room(PoolView pool) => pool.Server.MaxConnections is { } max
        ? (int)(max * ConfigurationAdvice.MostOfServer) - Math.Max(0, (pool.Server.Demand ?? 0) - pool.Capacity)
        : null;

    private static int MostFor(int? limit) => limit ?? int.MaxValue;

    private sealed record Suggestion(SettingView Setting, int Size, bool IsPossible, bool EndsByCores, bool HasFigure);
}
