namespace Pooler.Engine.Advice;

/// <summary>Rules about clients that wait for other reasons than the size of the pool.</summary>
internal static class WaitRules
{
    public static readonly IReadOnlyList<AdviceRule> All =
    [
        new("paused", FindPaused)
        {
            Sees = "A client has waited for an interval (5 s) for a server of a database that PAUSE holds.",
            Matters = "Nothing moves until somebody says RESUME; after query_wait_timeout the clients get errors.",
            Remedy = "RESUME on the console, or the page's or Aspire's command, once the work on the database is done.",
        },
        new("waiting-with-idle-servers", FindWaitingWithIdle)
        {
            Sees = "At most ends of the last half minute's intervals clients waited although the pool had idle servers.",
            Matters = "The wait is the pooler's own doing, or that of the checks before a server is used again; a larger pool would not shorten it.",
            Remedy = "Look for loop-overloaded beside this, for the processor time that the machine has left, and at server_check_query and server_check_delay when servers are being checked.",
            Looks = 2,
        },
        new("query-wait-timeout", FindTimeouts)
        {
            Sees = "Clients have got the error query_wait_timeout in the last minute.",
            Matters = "Requests fail that would have been served a little later, or would never have been: the other advice for the same pool tells which.",
            Remedy = "Remove the reason for the wait first. Raise query_wait_timeout only when requests may take that long; it should stay below the client's own timeout, so that the client hears why.",
        },
        new("servers-reopened", FindReopened)
        {
            Sees = "In the last quarter of an hour at least ten servers, and as many as half of the pool, were closed for server_idle_timeout and as many opened again.",
            Matters = "Each burst of traffic waits for logins to PostgreSQL, of some milliseconds each, and PostgreSQL forks a process for each.",
            Remedy = "Keep them: raise min_pool_size to what the bursts use, or server_idle_timeout.",
        },
    ];

    private static IEnumerable<Finding> FindPaused(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var state = pool.State;
            if (!state.IsHeld || state.ClientsWaiting == 0 || state.MaxWait < input.Period.TotalMicroseconds) continue;
            yield return new Finding(
                AdviceLevel.Warning, $"{AdviceText.Count(state.ClientsWaiting, "client waits", "clients wait")} for a database that is paused.",
                $"the longest has waited {AdviceText.Time(state.MaxWait)}; {pool.QueryWaitTimeout.Name} = {pool.QueryWaitTimeout.Text}",
                $"RESUME {state.Database} on the console when the work is done.")
            {
                Database = state.Database,
                User = state.User,
            };
        }
    }

    private static IEnumerable<Finding> FindWaitingWithIdle(AdviceInput input)
    {
        // A tenth of a second, with intervals of five: shorter waits are servers on their way to their clients.
        var least = input.Period.TotalMicroseconds / 50;
        foreach (var pool in input.Pools)
        {
            bool Waits(PoolSnapshot state) => state.ClientsWaiting > 0 && state.MaxWait >= least && state.ServersIdle + state.ServersUsed > 0;
            if (pool.State.IsHeld || pool.Trouble is not null || !pool.MostlyRecently(i => Waits(i.State))) continue;
            var state = pool.Recent[^1].State;
            var isChecked = state.ServersTested > state.ServersIdle;
            yield return new Finding(
                AdviceLevel.Warning, "Clients wait although the pool has idle servers: its size is not the reason.",
                $"{state.ClientsWaiting} waiting for up to {AdviceText.Time(state.MaxWait)}, {state.ServersIdle + state.ServersUsed} idle, {state.ServersTested} being checked",
                isChecked ? "server_check_query takes long: raise server_check_delay, or find out why the server answers slowly."
                    : "See whether the pooler gets enough processor time: loop-overloaded, other programs on its machine.")
            {
                Database = state.Database,
                User = state.User,
                Setting = isChecked ? "server_check_delay" : "",
                Current = isChecked ? AdviceText.Number(input.Settings.ServerCheckDelay.TotalSeconds) : "",
                Suggested = isChecked ? AdviceText.Number(Math.Max(60, input.Settings.ServerCheckDelay.TotalSeconds * 2)) : "",
            };
        }
    }

    private static IEnumerable<Finding> FindTimeouts(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            if (pool.Events.WaitTimeouts == 0) continue;
            yield return new Finding(
                AdviceLevel.Warning, $"{AdviceText.Count(pool.Events.WaitTimeouts, "client has", "clients have")} given up waiting for a server connection in the last minute.",
                $"{pool.QueryWaitTimeout.Name} = {pool.QueryWaitTimeout.Text}; {AdviceText.Count(pool.State.ClientsWaiting, "client waits", "clients wait")} now, the longest {AdviceText.Time(pool.State.MaxWait)}",
                "What else is advised for this pool tells why they wait; a longer timeout would only make the errors later.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
            };
        }
    }

    private static IEnumerable<Finding> FindReopened(AdviceInput input)
    {
        foreach (var pool in input.Pools)
        {
            var (closed, opened) = (pool.Events.IdleEnds, pool.Events.Opened);
            if (Math.Min(closed, opened) < Math.Max(10, pool.State.Size / 2)) continue;
            var most = pool.Intervals.Count == 0 ? 0 : pool.Intervals.Max(i => i.State.ServersActive);
            var wanted = Math.Min(Math.Max(most, (int)pool.MinSize.Value + 1), pool.Capacity);
            yield return new Finding(
                AdviceLevel.Info, "Server connections are closed when they are idle, and opened again soon after.",
                $"{closed} closed for server_idle_timeout = {AdviceText.Number(input.Settings.ServerIdleTimeout.TotalSeconds)} and {opened} opened in the last {AdviceText.Time(input.Periods(180))}; up to {most} in use at once",
                $"Keep them open: raise {pool.MinSize.Name}, or server_idle_timeout.")
            {
                Database = pool.State.Database,
                User = pool.State.User,
                Setting = wanted > pool.MinSize.Value ? pool.MinSize.Name : "server_idle_timeout",
                Current = wanted > pool.MinSize.Value ? pool.MinSize.Text : AdviceText.Number(input.Settings.ServerIdleTimeout.TotalSeconds),
                Suggested = wanted > pool.MinSize.Value ? AdviceText.Number(wanted) : AdviceText.Number(Math.Max(600, input.Settings.ServerIdleTimeout.TotalSeconds * 2)),
            };
        }
    }
}
