using Pooler.Engine.Advice;
using Pooler.Engine.Telemetry;
using Xunit;
using static Pooler.UnitTests.Advice.Made;

namespace Pooler.UnitTests.Advice;

public sealed class SizeRuleTests
{
    // Five servers that 1000 transactions a second keep busy nearly all the time, with clients that wait.
    private static PoolInterval Busy(int waiting = 10, double wait = 40, double milliseconds = 4.9, int active = 5, int size = 5) =>
        Interval(State(size, active: active, waiting: waiting, maxWait: wait), transactions: 5000, milliseconds: milliseconds, wait: wait);

    [Fact]
    public void Clients_that_wait_for_short_transactions_need_a_larger_pool()
    {
        var finding = Input(Pool(Busy().State, Busy().Times(6))).Single("pool-too-small");
        Assert.Equal(("default_pool_size", "5", "10"), (finding.Setting, finding.Current, finding.Suggested));
        Assert.Equal(("shop", "app", AdviceLevel.Info), (finding.Database, finding.User, finding.Level));
        Assert.Contains("1000 transactions a second of 4.9 ms keep 4.9 of 5 busy", finding.Evidence);
    }

    [Theory]
    [InlineData(40, false)]
    [InlineData(150, true)]
    public void Long_waits_make_it_a_warning(double wait, bool isWarning) =>
        Assert.Equal(isWarning ? AdviceLevel.Warning : AdviceLevel.Info, Input(Pool(Busy(wait: wait).State, Busy(wait: wait).Times(6))).Single("pool-too-small").Level);

    [Theory]
    // Waits nobody notices.
    [InlineData(2, 4.9, 5, false)]
    [InlineData(12, 4.9, 5, true)]
    // Servers that have time to spare: the waits have another reason.
    [InlineData(12, 2, 3, false)]
    public void Short_waits_and_servers_with_time_to_spare_are_no_reason(double wait, double milliseconds, int active, bool found)
    {
        var interval = Interval(State(active: active, idle: 5 - active, waiting: active == 5 ? 3 : 0, maxWait: wait), 5000, milliseconds, wait);
        Assert.Equal(found, Input(Pool(interval.State, interval.Times(6))).Finds("pool-too-small"));
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void A_burst_is_not_a_habit(int pressed, bool found)
    {
        var quiet = Interval(State(active: 1, idle: 4), 10);
        Assert.Equal(found, Input(Pool(Busy().State, [.. quiet.Times(6 - pressed), .. Busy().Times(pressed)])).Finds("pool-too-small"));
    }

    [Fact]
    public void What_is_over_is_not_spoken_of()
    {
        var quiet = Interval(State(active: 1, idle: 4), 10);
        Assert.Empty(Input(Pool(quiet.State, [.. Busy().Times(5), quiet])).Rules());
    }

    [Theory]
    // A few wait: what the use at 75 % asks for. Many wait: no more than twice.
    [InlineData(20, 19.8, 1, "27")]
    [InlineData(20, 19.8, 300, "40")]
    public void The_suggested_size_follows_from_use_and_queue(int size, double milliseconds, int waiting, string suggested)
    {
        var interval = Interval(State(size, active: size, waiting: waiting, maxWait: 1500), 5000, milliseconds, wait: waiting);
        Assert.Equal(suggested, Input(Pool(interval.State, interval.Times(6))).Single("pool-too-small").Suggested);
    }

    [Theory]
    // Two cores serve eight.
    [InlineData(2, null, null, "8")]
    // Of 20 connections the pools may have 14, and others have 8 of them.
    [InlineData(null, 20, 13, "6")]
    public void The_suggested_size_stays_within_cores_and_max_connections(int? cores, int? maxConnections, int? demand, string suggested)
    {
        var server = new ServerView { Name = "db:5432", Cores = cores, MaxConnections = maxConnections, Demand = demand };
        Assert.Equal(suggested, Input(Pool(Busy().State, Busy().Times(6), server: server)).Single("pool-too-small").Suggested);
    }

    [Theory]
    // Size, cores of the server, setting, suggested.
    [InlineData(30, null, "default_pool_size", "40")]
    [InlineData(40, null, "server_cores", "")]
    [InlineData(60, null, "server_cores", "")]
    [InlineData(30, 16, "default_pool_size", "60")]
    public void A_server_of_unknown_cores_is_not_given_ever_more_connections(int size, int? cores, string setting, string suggested)
    {
        var interval = Interval(State(size, active: size, waiting: 300, maxWait: 1500), 5000, size * 0.99, wait: 300);
        var finding = Input(Pool(interval.State, interval.Times(6), server: new ServerView { Name = "db:5432", Cores = cores })).Single("pool-too-small");
        Assert.Equal((setting, suggested), (finding.Setting, finding.Suggested));
        Assert.Equal(cores is null, finding.Remedy.Contains("set server_cores", StringComparison.Ordinal));
        Assert.Contains("max_connections is not known", finding.Remedy);
    }

    [Fact]
    public void A_pool_of_four_per_core_is_not_to_grow()
    {
        var input = Input(Pool(Busy(size: 8, active: 8, milliseconds: 7.9).State, Busy(size: 8, active: 8, milliseconds: 7.9).Times(6), server: new ServerView { Name = "db:5432", Cores = 2 }));
        Assert.Equal(["database-saturated"], input.Rules());
        Assert.Equal("", input.Single("database-saturated").Setting);
    }

    [Fact]
    public void A_pool_at_its_part_of_max_connections_needs_more_of_those()
    {
        var input = Input(Pool(Busy().State, Busy().Times(6), server: new ServerView { Name = "db:5432", MaxConnections = 20, Demand = 15 }));
        var finding = input.Single("database-saturated");
        Assert.Equal(("max_connections (PostgreSQL)", "20", "50"), (finding.Setting, finding.Current, finding.Suggested));
        Assert.False(input.Finds("pool-too-small"));
    }

    [Fact]
    public void A_limit_that_spans_pools_is_what_is_to_be_raised()
    {
        var state = State(size: 20, active: 5, waiting: 10, maxWait: 40);
        var finding = Input(Pool(state, Interval(state, 5000, 4.9, 40).Times(6), reachedLimit: new SettingView("max_db_connections", 12))).Single("pool-too-small");
        Assert.Equal(("max_db_connections", "12", "17"), (finding.Setting, finding.Current, finding.Suggested));
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void Servers_held_by_the_same_clients_are_no_sign_of_a_small_pool(int held, bool isLong)
    {
        var input = Input(Pool(Busy().State, Busy().Times(6), held: [.. Enumerable.Range(1, held).Select(i => Held(id: i, seconds: 30))]));
        Assert.Equal(!isLong, input.Finds("pool-too-small"));
        Assert.Equal(isLong, input.Finds("long-transactions"));
    }

    [Fact]
    public void A_pool_that_cannot_open_servers_has_other_troubles()
    {
        var input = Input(Pool(Busy().State, Busy().Times(6), trouble: new LoginTrouble("53300", "sorry, too many clients already", Period)));
        Assert.Equal(["server-logins-failing"], input.Rules());
    }

    [Theory]
    [InlineData(5, false)]
    [InlineData(6, true)]
    public void A_reserve_that_is_always_in_use_belongs_to_the_pool(int times, bool found)
    {
        var (normal, beyond) = (Interval(State(size: 5, active: 5, reserve: 3), 100), Interval(State(size: 5, active: 7, reserve: 3), 100));
        var input = Input(Pool(State(size: 5, active: 7, reserve: 3), [.. normal.Times(12 - times), .. beyond.Times(times)]));
        Assert.Equal(found, input.Finds("reserve-in-use"));
        if (found) Assert.Equal("7", input.Single("reserve-in-use").Suggested);
    }

    [Theory]
    // Cores, servers in use, pool size.
    [InlineData(4, 30, 40, true)]
    [InlineData(4, 30, 32, false)]
    [InlineData(8, 30, 100, false)]
    [InlineData(null, 30, 100, false)]
    public void More_queries_at_once_than_cores_can_run_make_each_other_slow(int? cores, int active, int size, bool found)
    {
        var interval = Interval(State(size, active: active, idle: size - active), 5000, milliseconds: active);
        var input = Input(Pool(interval.State, interval.Times(12), server: new ServerView { Name = "db:5432", Cores = cores }));
        Assert.Equal(found ? ["pool-too-large"] : [], input.Rules());
        if (found) Assert.Equal("16", input.Single("pool-too-large").Suggested);
    }

    [Fact]
    public void Transactions_that_wait_for_their_clients_use_no_cores()
    {
        var interval = Interval(State(40, active: 30, idle: 10), 5000, milliseconds: 30, query: 5);
        Assert.Empty(Input(Pool(interval.State, interval.Times(12), server: new ServerView { Name = "db:5432", Cores = 4 })).Rules());
    }

    [Fact]
    public void A_busy_pool_without_waits_needs_no_advice()
    {
        var interval = Interval(State(20, active: 12, idle: 8), 20000, milliseconds: 3);
        Assert.Empty(Input(Pool(interval.State, interval.Times(180), server: new ServerView { Name = "db:5432", Cores = 8, MaxConnections = 100, Demand = 20 })).Rules());
    }

    [Fact]
    public void A_quiet_pool_needs_no_advice() =>
        Assert.Empty(Input(Pool(State(20, idle: 2), Interval(State(20, idle: 2)).Times(180)), Pool(State(20))).Rules());
}
