using Pooler.Engine;
using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.UnitTests.Advice;

/// <summary>Made-up figures for the rules. Times are in milliseconds; intervals are of five seconds.</summary>
internal static class Made
{
    public static readonly DateTimeOffset Now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    public static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    public static PoolSnapshot State(
        int size = 5, int active = 0, int idle = 0, int waiting = 0, double maxWait = 0, int tested = 0, int reserve = 0, bool held = false,
        PoolMode mode = PoolMode.Transaction) =>
        new("shop", "app", active + 10, waiting, active, idle, 0, tested, 0, 0, (long)(maxWait * 1000), size, default) { Reserve = reserve, IsHeld = held, Mode = mode };

    /// <summary>Five seconds with so many transactions, each of one query unless told otherwise.</summary>
    public static PoolInterval Interval(
        PoolSnapshot state, int transactions = 0, double milliseconds = 1, double wait = 0, double? query = null, int logins = 0, int binds = 0, int serverParses = 0) =>
        new(Now, Period, state,
            new PoolTotals(
                transactions, transactions, transactions, 0, 0, (long)(transactions * milliseconds * 1000), (long)(transactions * (query ?? milliseconds) * 1000),
                (long)(transactions * wait * 1000), 0, serverParses, binds, logins),
            Times(transactions, wait), Times(transactions, query ?? milliseconds), Times(transactions, milliseconds));

    /// <summary>The same interval again and again.</summary>
    public static PoolInterval[] Times(this PoolInterval interval, int count) => [.. Enumerable.Repeat(interval, count)];

    public static HeldServer Held(string state = "active", double seconds = 60, double? stateSeconds = null, long id = 7, string? pin = null) => new(
        "shop", "app", id, $"c{id}", $"s{id}", $"10.0.0.{id}:5000", "app", "web", 4000 + (int)id, state, TimeSpan.FromSeconds(seconds),
        TimeSpan.FromSeconds(stateSeconds ?? seconds), pin, "UPDATE stock SET n = ?", null);

    public static PoolView Pool(
        PoolSnapshot state, IReadOnlyList<PoolInterval>? intervals = null, IReadOnlyList<HeldServer>? held = null, ServerView? server = null,
        SettingView? reachedLimit = null, LoginTrouble? trouble = null, PoolEventsView? events = null, IReadOnlyList<ApplicationView>? applications = null,
        double idleTransactionTimeout = 0, double queryTimeout = 0, double transactionTimeout = 0, int minSize = 0) => new()
        {
            Period = Period,
            State = state,
            Intervals = intervals ?? [],
            Held = held ?? [],
            Size = new SettingView("default_pool_size", state.Size),
            MinSize = new SettingView("min_pool_size", minSize),
            Server = server ?? new ServerView { Name = "db:5432" },
            ReachedLimit = reachedLimit,
            Trouble = trouble,
            Events = events ?? new PoolEventsView(),
            Applications = applications ?? [],
            IdleTransactionTimeout = new SettingView("idle_transaction_timeout", idleTransactionTimeout),
            QueryTimeout = new SettingView("query_timeout", queryTimeout),
            TransactionTimeout = new SettingView("transaction_timeout", transactionTimeout),
        };

    public static AdviceInput Input(params PoolView[] pools) => new()
    {
        Now = Now,
        Period = Period,
        Configuration = new PoolerConfiguration
        {
            Settings = new PoolerSettings(),
            Databases = new Dictionary<string, DatabaseSettings>(),
            Users = new Dictionary<string, UserSettings>(),
        },
        Pools = pools,
        Cores = 4,
    };

    /// <summary>The names of the rules that find something, once for each finding.</summary>
    public static string[] Rules(this AdviceInput input) => [.. AdviceRules.All.SelectMany(rule => rule.Find(input).Select(_ => rule.Name))];

    public static Finding Single(this AdviceInput input, string rule) => AdviceRules.All.Single(r => r.Name == rule).Find(input).Single();

    public static bool Finds(this AdviceInput input, string rule) => AdviceRules.All.Single(r => r.Name == rule).Find(input).Any();

    private static TimeDistribution Times(int count, double milliseconds)
    {
        var histogram = new TimeHistogram();
        for (var i = 0; i < count; i++) histogram.Record((long)(milliseconds * 1000));
        return TimeDistribution.Of([histogram], 0);
    }
}
