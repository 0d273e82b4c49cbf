using Pooler.Engine;
using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry.Metrics;
using Xunit;
using static Pooler.UnitTests.Advice.Made;

namespace Pooler.UnitTests.Advice;

/// <summary>The rules about waits, servers, clients and the process, at both sides of their thresholds.</summary>
public sealed class OtherRuleTests
{
    private static readonly ServerView Server = new() { Name = "db:5432", MaxConnections = 100, Demand = 40, Connections = 30, Ours = 20 };

    [Theory]
    [InlineData(true, 5, 5001, true)]
    [InlineData(true, 5, 4999, false)]
    [InlineData(true, 0, 0, false)]
    [InlineData(false, 5, 5001, false)]
    public void Clients_of_a_paused_database(bool held, int waiting, double maxWait, bool found) =>
        Assert.Equal(found ? ["paused"] : [], Input(Pool(State(waiting: waiting, maxWait: maxWait, held: held))).Rules());

    [Theory]
    [InlineData(3, 150, 2, true)]
    [InlineData(2, 150, 2, false)]
    [InlineData(6, 50, 2, false)]
    [InlineData(6, 150, 0, false)]
    public void Clients_that_wait_beside_idle_servers(int times, double maxWait, int idle, bool found)
    {
        var (quiet, waits) = (Interval(State(active: 1, idle: 4), 10), Interval(State(active: 1, idle: idle, waiting: 3, maxWait: maxWait), 10));
        Assert.Equal(found ? ["waiting-with-idle-servers"] : [], Input(Pool(waits.State, [.. quiet.Times(6 - times), .. waits.Times(times)])).Rules());
    }

    [Fact]
    public void Servers_that_are_checked_for_long_are_why_clients_wait_beside_idle_ones()
    {
        var waits = Interval(State(active: 0, idle: 1, tested: 4, waiting: 3, maxWait: 500), 10);
        var finding = Input(Pool(waits.State, waits.Times(6))).Single("waiting-with-idle-servers");
        Assert.Equal(("server_check_delay", "30", "60"), (finding.Setting, finding.Current, finding.Suggested));
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public void Clients_that_gave_up_waiting(int timeouts, bool found) =>
        Assert.Equal(found ? ["query-wait-timeout"] : [], Input(Pool(State(), events: new PoolEventsView { WaitTimeouts = timeouts })).Rules());

    [Theory]
    [InlineData(10, 10, true)]
    [InlineData(9, 30, false)]
    [InlineData(30, 9, false)]
    public void Servers_that_come_and_go(int closed, int opened, bool found)
    {
        var input = Input(Pool(State(8), Interval(State(8, active: 6), 100).Times(20), events: new PoolEventsView { IdleEnds = closed, Opened = opened }));
        Assert.Equal(found ? ["servers-reopened"] : [], input.Rules());
        if (found) Assert.Equal(("min_pool_size", "0", "6"), (input.Single("servers-reopened").Setting, input.Single("servers-reopened").Current, input.Single("servers-reopened").Suggested));
    }

    [Theory]
    [InlineData("53300", "pg_stat_activity")]
    [InlineData("28P01", "auth_file")]
    [InlineData("3D000", "dbname")]
    [InlineData("08006", "firewall")]
    [InlineData("XX000", "error")]
    public void Server_logins_that_fail_have_a_remedy_by_their_error(string sqlState, string remedy)
    {
        var finding = Input(Pool(State(active: 2, waiting: 4), trouble: new LoginTrouble(sqlState, "it says why", Period))).Single("server-logins-failing");
        Assert.Equal(("shop", "app", "Server connections cannot be opened at db:5432: it says why"), (finding.Database, finding.User, finding.Sentence));
        Assert.Contains(remedy, finding.Remedy);
    }

    [Fact]
    public void Pools_that_fail_at_the_same_server_for_the_same_reason_are_told_together()
    {
        var failing = Pool(State(), trouble: new LoginTrouble("08006", "could not connect", Period));
        var finding = Input(failing, failing).Single("server-logins-failing");
        Assert.Equal(("", ""), (finding.Database, finding.User));
        Assert.Contains("pools shop/app, shop/app", finding.Evidence);
    }

    [Theory]
    [InlineData("down", 6, 2, true)]
    [InlineData("down", 4, 2, false)]
    [InlineData("unfit", 60, 2, false)]
    // Of a single one the logins tell.
    [InlineData("down", 60, 1, false)]
    public void A_host_that_is_down_beside_others(string state, double seconds, int hosts, bool found)
    {
        var down = new HostSnapshot("shop", "a", 5432, "10.0.0.1", state, null, TargetSessionAttrs.Any, "refused", Now.AddSeconds(-seconds), null, 0);
        var input = Input() with { Hosts = [down, .. Enumerable.Repeat(down with { Host = "b", State = "up" }, hosts - 1)] };
        Assert.Equal(found ? ["host-down"] : [], input.Rules());
        if (found) Assert.Equal("Host a (10.0.0.1):5432 is down; 1 other can be used.", input.Single("host-down").Sentence);
    }

    [Theory]
    // What the pools may open, max_connections, connections in use.
    [InlineData(70, 100, 75, null)]
    [InlineData(71, 100, 75, "Info")]
    [InlineData(101, 100, 69, "Info")]
    [InlineData(101, 100, 70, "Warning")]
    [InlineData(null, 100, 30, "Info")]
    [InlineData(null, 100, 70, "Warning")]
    [InlineData(500, null, 30, null)]
    public void Pools_that_may_take_most_of_max_connections(int? demand, int? maxConnections, int used, string? level)
    {
        var input = Input() with { Servers = [Server with { Demand = demand, MaxConnections = maxConnections, Databases = 2, Connections = used, Ours = used }] };
        Assert.Equal(level is null ? [] : ["max-connections"], input.Rules());
        if (level is null) return;
        var finding = input.Single("max-connections");
        Assert.Equal((level, "max_db_connections", "35"), (finding.Level.ToString(), finding.Setting, finding.Suggested));
    }

    [Theory]
    [InlineData(1, "max_db_connections", "0")]
    [InlineData(2, "max_db_connections of database db2", "90")]
    public void Where_all_databases_have_a_limit_of_their_own_that_is_what_is_to_be_lowered(int own, string setting, string current)
    {
        SettingView[] limits = [new("max_db_connections of database db1", 60), new("max_db_connections of database db2", 90)];
        var finding = (Input() with { Servers = [Server with { Demand = 150, Databases = 2, OwnLimits = limits[..own] }] }).Single("max-connections");
        Assert.Equal((setting, current, "35"), (finding.Setting, finding.Current, finding.Suggested));
    }

    [Theory]
    [InlineData(85, 20, true)]
    [InlineData(84, 20, false)]
    [InlineData(85, 43, false)]
    public void A_server_that_others_fill(int connections, int ours, bool found) =>
        Assert.Equal(found ? ["server-nearly-full"] : [], (Input() with { Servers = [Server with { Connections = connections, Ours = ours }] }).Rules());

    [Theory]
    // Of a pool of 20.
    [InlineData(new[] { 0, 5, 0 }, true)]
    [InlineData(new[] { 0, 4, 0 }, false)]
    [InlineData(new[] { 3, 4, 3 }, true)]
    [InlineData(new[] { 3, 3, 3 }, false)]
    public void Servers_replaced_in_bursts(int[] ends, bool found)
    {
        var input = Input(Pool(State(20, idle: 20), events: new PoolEventsView { LifetimeEnds = ends }));
        Assert.Equal(found ? ["server-lifetime"] : [], input.Rules());
        if (found) Assert.Equal(("server_lifetime", "3600", "7200"), (input.Single("server-lifetime").Setting, input.Single("server-lifetime").Current, input.Single("server-lifetime").Suggested));
    }

    [Theory]
    // In five seconds.
    [InlineData(25, 25, true)]
    [InlineData(24, 24, false)]
    [InlineData(25, 125, false)]
    [InlineData(25, 124, true)]
    public void Logins_that_dominate(int logins, int transactions, bool found)
    {
        var interval = Interval(State(active: 1, idle: 4), transactions, logins: logins);
        Assert.Equal(found ? ["connect-per-request"] : [], Input(Pool(interval.State, interval.Times(6))).Rules());
    }

    [Theory]
    // Its connections, how many of them have work at most, whether clients wait, cores of the server.
    [InlineData(40, 10, true, null, true)]
    [InlineData(39, 9, true, null, false)]
    [InlineData(40, 10, false, null, false)]
    // All have work: while the pool can grow, it is the pool that is too small.
    [InlineData(40, 40, true, null, false)]
    [InlineData(40, 40, true, 2, true)]
    public void An_application_whose_own_pool_is_larger(int connections, int working, bool isPressed, int? cores, bool found)
    {
        var interval = isPressed ? Interval(State(10, active: 10, waiting: 30, maxWait: 1200), 5000, 9.9, 60) : Interval(State(10, active: 5, idle: 5), 5000, 1);
        var input = Input(Pool(interval.State, interval.Times(6), server: Server with { Cores = cores }, applications: [new ApplicationView("web", "10.0.0.1", connections, working)]));
        Assert.Equal(found, input.Finds("client-pools-too-large"));
    }

    [Theory]
    [InlineData(90, 20, true)]
    // Most of its connections work.
    [InlineData(90, 60, false)]
    // There is room enough.
    [InlineData(50, 20, false)]
    public void An_application_that_takes_up_max_client_conn_with_idle_connections(int clients, int working, bool found)
    {
        var pool = Pool(State(10, active: 5, idle: 5), applications: [new ApplicationView("web", "10.0.0.1", 80, working)]);
        var input = Input(pool) with { ClientLimits = [new ClientLimit(new SettingView("max_client_conn", 100), clients, "", "")] };
        Assert.Equal(found, input.Finds("client-pools-too-large"));
        if (found) Assert.Equal("10", input.Single("client-pools-too-large").Suggested);
    }

    [Theory]
    // Its connections, how many of them had work at most: in the last minute, and in a quarter of an hour.
    [InlineData(50, 1, 4, "10")]
    [InlineData(49, 1, 4, null)]
    [InlineData(50, 1, 5, null)]
    [InlineData(200, 1, 19, "19")]
    // Not seen for as long yet.
    [InlineData(50, 1, null, null)]
    public void An_application_with_many_connections_and_little_traffic(int connections, int working, int? workingOfLong, string? suggested)
    {
        var application = new ApplicationView("web", "several addresses", connections, working) { MostWorkingOfLong = workingOfLong };
        var input = Input(Pool(State(20, active: 1, idle: 4), Interval(State(20, active: 1, idle: 4), 100).Times(6), applications: [application]));
        Assert.Equal(suggested is null ? [] : ["client-pools-too-large"], input.Rules());
        if (suggested is null) return;
        Assert.Equal((AdviceLevel.Info, suggested), (input.Single("client-pools-too-large").Level, input.Single("client-pools-too-large").Suggested));
    }

    [Fact]
    public void Refusals_are_told_when_no_limit_is_near_any_more()
    {
        ClientLimit[] limits = [new(new SettingView("max_client_conn", 1000), 10, "", ""), new(new SettingView("max_db_client_connections", 20), 5, "shop", "")];
        var input = Input() with { ClientLimits = limits, FailedLogins = new Dictionary<LoginRefusal, int> { [LoginRefusal.ConnectionLimit] = 3 } };
        var finding = input.Single("max-client-conn");
        Assert.Equal(("max_db_client_connections", "shop"), (finding.Setting, finding.Database));
        Assert.Contains("3 refused", finding.Evidence);
    }

    [Theory]
    [InlineData(60, "600")]
    [InlineData(600, "1200")]
    public void A_long_idle_timeout_is_made_longer_still(int timeout, string suggested)
    {
        var input = Input(Pool(State(1), events: new PoolEventsView { IdleEnds = 20, Opened = 20 }, minSize: 1));
        input = input with { Configuration = input.Configuration with { Settings = new PoolerSettings { ServerIdleTimeout = TimeSpan.FromSeconds(timeout) } } };
        Assert.Equal(("server_idle_timeout", suggested), (input.Single("servers-reopened").Setting, input.Single("servers-reopened").Suggested));
    }

    [Theory]
    [InlineData(850, 1000, "1500")]
    [InlineData(849, 1000, null)]
    [InlineData(9, 10, "20")]
    [InlineData(1000, 0, null)]
    public void A_limit_of_clients_that_is_nearly_reached(int clients, int limit, string? suggested)
    {
        var input = Input() with { ClientLimits = [new ClientLimit(new SettingView("max_client_conn", limit), clients, "", "")] };
        Assert.Equal(suggested is null ? [] : ["max-client-conn"], input.Rules());
        if (suggested is not null) Assert.Equal(suggested, input.Single("max-client-conn").Suggested);
    }

    [Theory]
    [InlineData(10, 5, true)]
    [InlineData(9, 9, false)]
    // They were not missed.
    [InlineData(10, 4, false)]
    public void Idle_clients_that_come_back(int closed, int logins, bool found)
    {
        var intervals = new[] { Interval(State(), transactions: 100, logins: logins) };
        Assert.Equal(found, Input(Pool(State(), intervals, events: new PoolEventsView { IdleClientsClosed = closed })).Finds("idle-clients-closed"));
    }

    [Theory]
    [InlineData(10, 9, "Warning")]
    [InlineData(10, 11, "Info")]
    [InlineData(9, 0, null)]
    public void Clients_that_are_turned_away(int failed, int let, string? level)
    {
        var input = Input(Pool(State(), [Interval(State(), transactions: 1000, logins: let)])) with
        {
            FailedLogins = new Dictionary<LoginRefusal, int> { [LoginRefusal.Authentication] = failed, [LoginRefusal.Abandoned] = 1000 },
        };
        Assert.Equal(level is null ? [] : ["client-logins-failing"], input.Rules());
        if (level is not null) Assert.Equal(level, input.Single("client-logins-failing").Level.ToString());
    }

    [Theory]
    // Distinct statements (200 are kept), binds and parses in five seconds.
    [InlineData(300, 100, 20, "400")]
    [InlineData(300, 100, 19, null)]
    [InlineData(200, 100, 100, null)]
    [InlineData(300, 10, 4, null)]
    [InlineData(9000, 100, 90, "")]
    public void Prepared_statements_that_are_dropped_too_soon(int distinct, int binds, int parses, string? suggested)
    {
        var interval = Interval(State(active: 1, idle: 4), transactions: 100, binds: binds, serverParses: parses);
        var input = Input(Pool(interval.State, interval.Times(6))) with { PreparedStatements = distinct };
        Assert.Equal(suggested is null ? [] : ["prepared-statements"], input.Rules());
        if (suggested is not null) Assert.Equal(suggested, input.Single("prepared-statements").Suggested);
    }

    [Theory]
    [InlineData(4, true)]
    [InlineData(3, false)]
    public void A_loop_that_has_no_time_left(int times, bool found)
    {
        var input = Input() with { LoopsBusy = [[.. Enumerable.Repeat(0.3, 6 - times), .. Enumerable.Repeat(0.9, times)]] };
        Assert.Equal(found ? ["loop-overloaded"] : [], input.Rules());
        if (found) Assert.Equal(("event_loops", "1", "2"), (input.Single("loop-overloaded").Setting, input.Single("loop-overloaded").Current, input.Single("loop-overloaded").Suggested));
        if (found) Assert.Equal("", (input with { Cores = 1 }).Single("loop-overloaded").Setting);
    }

    [Fact]
    public void What_the_configuration_shows_is_told_with_its_place()
    {
        var input = Input() with { ConfigurationIssues = [("server_lifetime", "0 uses each once"), ("database shop", "min_pool_size 30 is above the pool's size 20")] };
        var found = AdviceRules.All.Single(r => r.Name == "configuration").Find(input).ToArray();
        Assert.Equal([("", "server_lifetime"), ("shop", "")], found.Select(f => (f.Database, f.Setting)));
        Assert.Equal("server_lifetime: 0 uses each once", found[0].Sentence);
    }
}
