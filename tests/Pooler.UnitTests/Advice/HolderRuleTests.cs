using Pooler.Engine;
using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;
using Xunit;
using static Pooler.UnitTests.Advice.Made;

namespace Pooler.UnitTests.Advice;

public sealed class HolderRuleTests
{
    // Nobody gets a server: the oldest waits for longer than an interval.
    private static PoolSnapshot Stuck(int size = 5, PoolMode mode = PoolMode.Transaction) => State(size, active: size, waiting: 25, maxWait: 6000, mode: mode);

    private static HeldServer[] Holders(int count, string state = "active", double seconds = 6, double? stateSeconds = null, string? pin = null) =>
        [.. Enumerable.Range(1, count).Select(i => Held(state, seconds, stateSeconds, i, pin))];

    [Fact]
    public void Servers_that_are_held_while_others_wait_are_told_with_their_holders()
    {
        var input = Input(Pool(Stuck(), Interval(State(active: 5), 2000, 2).Times(6), held: Holders(5)));
        Assert.Equal(["long-transactions"], input.Rules());
        var finding = input.Single("long-transactions");
        Assert.Equal(AdviceLevel.Warning, finding.Level);
        Assert.Contains("client 1 (web, 10.0.0.1:5000, user app) active for 6 s, holds backend 4001 for 6 s: UPDATE stock SET n = ?", finding.Evidence);
        Assert.Contains("; and 2 more", finding.Evidence);
        Assert.Contains("WHERE pid IN (4001, 4002, 4003, 4004, 4005)", finding.Remedy);
    }

    [Theory]
    [InlineData(6, 5.9, true, "query_timeout")]
    [InlineData(6, 1, true, "transaction_timeout")]
    [InlineData(4.9, 4.9, false, "")]
    public void One_long_request_is_bounded_otherwise_than_many_in_one_transaction(double heldFor, double requestFor, bool found, string setting)
    {
        var input = Input(Pool(Stuck(), held: Holders(5, seconds: heldFor, stateSeconds: requestFor)));
        Assert.Equal(found, input.Finds("long-transactions"));
        if (found) Assert.Equal(setting, input.Single("long-transactions").Setting);
    }

    [Theory]
    // Nearly all took 2 ms, 400 ms, 4 s.
    [InlineData(2, "30")]
    [InlineData(400, "30")]
    [InlineData(4000, "60")]
    public void The_suggested_limit_is_far_above_what_is_usual(double usual, string suggested) => Assert.Equal(
        suggested, Input(Pool(Stuck(), Interval(State(active: 1), 10, usual).Times(20), held: Holders(5))).Single("long-transactions").Suggested);

    [Fact]
    public void A_limit_that_is_set_is_not_suggested_again() =>
        Assert.Equal("", Input(Pool(Stuck(), held: Holders(5), queryTimeout: 30)).Single("long-transactions").Setting);

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void With_nobody_waiting_half_of_the_pool_for_a_minute_is_worth_a_word(int holders, bool found)
    {
        var input = Input(Pool(State(active: 4, idle: 1), held: Holders(holders, seconds: 61)));
        Assert.Equal(found, input.Finds("long-transactions"));
        if (found) Assert.Equal((AdviceLevel.Info, ""), (input.Single("long-transactions").Level, input.Single("long-transactions").Setting));
        Assert.False(Input(Pool(State(active: 4, idle: 1), held: Holders(holders, seconds: 59))).Finds("long-transactions"));
    }

    [Fact]
    public void A_dump_in_a_quiet_pool_is_nobodys_concern() =>
        Assert.Empty(Input(Pool(State(20, active: 1), Interval(State(20, active: 1)).Times(20), held: Holders(1, seconds: 600))).Rules());

    [Fact]
    public void A_query_is_not_cut_between_the_halves_of_a_character()
    {
        var held = Held() with { Query = new string('x', 99) + "\U0001F418 and more" };
        Assert.Contains("xxx…", Input(Pool(Stuck(), held: [held, held, held])).Single("long-transactions").Evidence);
    }

    [Theory]
    [InlineData(900, false)]
    [InlineData(1100, true)]
    public void Transactions_of_more_than_a_second_are_slow_not_many(double milliseconds, bool isSlow)
    {
        var interval = Interval(State(active: 5, waiting: 8, maxWait: 2000), (int)(24_000 / milliseconds), milliseconds, wait: 2000);
        var input = Input(Pool(interval.State, interval.Times(6)));
        Assert.Equal([isSlow ? "long-transactions" : "pool-too-small"], input.Rules());
    }

    [Fact]
    public void Replication_holds_servers_of_its_own() =>
        Assert.False(Input(Pool(Stuck(), held: Holders(5, seconds: 9000, pin: PinReasons.Replication))).Finds("long-transactions"));

    [Fact]
    public void Sessions_of_session_mode_that_work_are_not_long_transactions()
    {
        var state = Stuck(mode: PoolMode.Session);
        var interval = Interval(state, 5000, 4.9);
        Assert.Equal(["pool-too-small"], Input(Pool(state, interval.Times(6), held: Holders(5, seconds: 9000, stateSeconds: 0.01, pin: PinReasons.SessionMode))).Rules());
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void Sessions_of_session_mode_that_do_nothing_are_told(int idle, bool found)
    {
        var input = Input(Pool(Stuck(mode: PoolMode.Session), held: [.. Holders(idle, "idle", 9000, 6, PinReasons.SessionMode), .. Holders(5 - idle, "active", 9000, 0, PinReasons.SessionMode)]));
        Assert.Equal(found ? ["idle-sessions"] : [], input.Rules());
        if (found) Assert.Equal(("pool_mode", "session", "transaction"), (input.Single("idle-sessions").Setting, input.Single("idle-sessions").Current, input.Single("idle-sessions").Suggested));
    }

    [Theory]
    [InlineData(4, 61, false)]
    [InlineData(5, 59, false)]
    [InlineData(5, 61, true)]
    public void With_nobody_waiting_idle_sessions_matter_when_nearly_all_servers_are_theirs(int idle, double seconds, bool found) => Assert.Equal(
        found, Input(Pool(State(active: 5, mode: PoolMode.Session), held: Holders(idle, "idle", 9000, seconds, PinReasons.SessionMode))).Finds("idle-sessions"));

    [Theory]
    // State, seconds, somebody waits, level.
    [InlineData("idle in transaction", 6, true, "Warning")]
    [InlineData("idle in transaction", 4, true, null)]
    [InlineData("idle in transaction", 59, false, null)]
    [InlineData("idle in transaction", 61, false, "Info")]
    [InlineData("active", 61, false, null)]
    public void Who_sits_in_a_transaction_is_told_sooner_when_others_wait(string state, double seconds, bool isWanted, string? level)
    {
        var input = Input(Pool(isWanted ? Stuck() : State(active: 1, idle: 4), held: Holders(1, state, seconds)));
        Assert.Equal(level is null ? [] : ["idle-in-transaction"], input.Rules());
        if (level is null) return;
        var finding = input.Single("idle-in-transaction");
        Assert.Equal((level, "idle_transaction_timeout", "0", "30"), (finding.Level.ToString(), finding.Setting, finding.Current, finding.Suggested));
        Assert.Contains("KILL_CLIENT 1 ", finding.Remedy);
    }

    [Theory]
    [InlineData(20, "")]
    [InlineData(600, "30")]
    public void A_short_idle_transaction_timeout_will_do_its_work(double timeout, string suggested) => Assert.Equal(
        suggested, Input(Pool(Stuck(), held: Holders(1, "idle in transaction"), idleTransactionTimeout: timeout)).Single("idle-in-transaction").Suggested);

    [Theory]
    // Of transactions of 20 ms.
    [InlineData(9, true)]
    [InlineData(11, false)]
    public void Transactions_that_wait_for_their_clients_are_told(double query, bool found)
    {
        var interval = Interval(State(active: 5, waiting: 5, maxWait: 60), 1250, 20, wait: 60, query: query);
        Assert.Equal(found, Input(Pool(interval.State, interval.Times(6))).Finds("idle-within-transactions"));
    }
}
