using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;
using Pooler.UnitTests.Sessions;
using Xunit;

namespace Pooler.UnitTests.Hosts;

/// <summary>Which host a server connection goes to. Hosts are 10.0.0.1 and on; their ends are played by the test.</summary>
public sealed class HostChoiceTests
{
    private static readonly byte[] SelectOne = SessionHarness.Messages(w => w.Query("SELECT 1"));

    private static readonly byte[] Selected = SessionHarness.Messages(w => { w.CommandComplete("SELECT 1"); w.ReadyForQuery((byte)'I'); });

    [Fact]
    public void Hosts_take_turns()
    {
        var harness = Harness("10.0.0.1,10.0.0.2,10.0.0.3");

        Assert.Equal("1 2 3 1 2", string.Join(' ', Enumerable.Range(0, 5).Select(_ => Connect(harness))));
    }

    [Fact]
    public void With_load_balancing_disabled_a_host_is_kept_until_it_fails()
    {
        var harness = Harness("10.0.0.1,10.0.0.2,10.0.0.3", d => d with { LoadBalanceHosts = "disable" });

        Assert.Equal("1 1", $"{Connect(harness)} {Connect(harness)}");
        Assert.Equal("1x2 2 2", $"{Connect(harness, failing: "1")} {Connect(harness)} {Connect(harness)}");
    }

    [Fact]
    public void A_host_that_is_down_is_passed_over_and_probed_until_it_is_back()
    {
        var harness = Harness("10.0.0.1,10.0.0.2", settings: s => s with { ServerLoginRetry = TimeSpan.FromSeconds(2) });
        using var _ = new Client(harness);
        Assert.Equal("2 1x2 2 2", $"{Connect(harness)} {Connect(harness, failing: "1")} {Connect(harness)} {Connect(harness)}");
        Assert.Equal("down since=0 try=2 Connection refused", Row(harness, "10.0.0.1"));

        var begun = harness.Loop.Begun.Count;
        harness.Loop.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(begun, harness.Loop.Begun.Count);
        harness.Loop.Advance(TimeSpan.FromSeconds(1.2));
        Assert.Equal("1", Host(harness.Server));
        harness.Server.Refuse();
        Assert.Equal("2", Connect(harness));

        harness.Loop.Advance(TimeSpan.FromSeconds(2.2));
        var probe = harness.Loop.Begun.Last(c => Host(c) == "1");
        probe.Handler.OnConnected(probe);
        Assert.True(probe.IsClosed);
        Assert.Empty(probe.TakeSent());
        Assert.Equal("1 2", string.Join(' ', new[] { Connect(harness), Connect(harness) }.Order()));
    }

    [Fact]
    public void When_no_host_does_the_pool_pauses_and_who_waited_too_long_hears_of_each()
    {
        var harness = Harness("10.0.0.1,10.0.0.2", settings: s => s with { ServerLoginRetry = TimeSpan.FromSeconds(2), ClientLoginTimeout = TimeSpan.FromSeconds(1.2) });
        var client = harness.Accept();
        client.Receive(SessionHarness.Startup());
        harness.Loop.Run();
        harness.Server.Refuse();
        harness.Server.Handler.OnConnected(harness.Server);
        harness.Server.Receive(SessionHarness.Messages(w => PgError.Fatal("57P03", "the database system is starting up").WriteTo(w)));
        harness.Loop.Run();

        Assert.Empty(client.TakeSent());
        harness.Loop.Advance(TimeSpan.FromSeconds(1.5));
        var text = System.Text.Encoding.UTF8.GetString(client.TakeSent());
        Assert.Contains("client_login_timeout (server down)", text, StringComparison.Ordinal);
        Assert.Contains("10.0.0.1:5432: could not connect", text, StringComparison.Ordinal);
        Assert.Contains("10.0.0.2:5432: the database system is starting up", text, StringComparison.Ordinal);
        harness.Accept().Receive(SessionHarness.Startup());
        harness.Loop.Run();
        Assert.Equal(2, harness.Loop.Begun.Count);
        harness.Loop.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(3, harness.Loop.Begun.Count);
    }

    [Fact]
    public void A_host_that_does_not_answer_gives_way_to_the_next_after_server_connect_timeout()
    {
        var harness = Harness("10.0.0.1,10.0.0.2", settings: s => s with { ServerConnectTimeout = TimeSpan.FromSeconds(3) });
        harness.Accept().Receive(SessionHarness.Startup());
        harness.Loop.Run();
        Assert.Equal("1", Host(harness.Server));

        harness.Loop.Advance(TimeSpan.FromSeconds(3.1));

        Assert.Equal("2", Host(harness.Server));
        Assert.StartsWith("down", Row(harness, "10.0.0.1"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_that_is_silent_gives_way_to_the_next_at_once_and_one_that_answers_gets_all_its_time()
    {
        var harness = Harness("10.0.0.1,10.0.0.2", settings: s => s with { ServerConnectTimeout = TimeSpan.FromSeconds(15) });
        harness.Accept().Receive(SessionHarness.Startup());
        harness.Loop.Run();
        harness.Loop.Advance(TimeSpan.FromSeconds(4.1));
        Assert.Equal("2", Host(harness.Server));

        var server = harness.Server;
        server.Handler.OnConnected(server);
        harness.Loop.Advance(TimeSpan.FromSeconds(14));
        Assert.False(server.IsClosed);
        harness.Loop.Advance(TimeSpan.FromSeconds(1.1));
        Assert.True(server.IsClosed);
    }

    [Fact]
    public void A_wrong_password_is_no_dead_host()
    {
        var harness = Harness("10.0.0.1,10.0.0.2");
        harness.Accept().Receive(SessionHarness.Startup());
        harness.Loop.Run();
        harness.Server.Handler.OnConnected(harness.Server);
        harness.Server.Receive(SessionHarness.Messages(w => PgError.Fatal("28P01", "password authentication failed").WriteTo(w)));
        harness.Loop.Run();

        Assert.Equal("2", Host(harness.Server));
        Assert.StartsWith("untried", Row(harness, "10.0.0.1"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(TargetSessionAttrs.Any, "1")]
    [InlineData(TargetSessionAttrs.Primary, "1u2")]
    [InlineData(TargetSessionAttrs.ReadWrite, "1u2")]
    [InlineData(TargetSessionAttrs.Standby, "1")]
    [InlineData(TargetSessionAttrs.PreferStandby, "1")]
    public void A_host_that_is_not_what_is_wanted_gives_way_to_the_next(TargetSessionAttrs wanted, string expected)
    {
        var harness = Harness("10.0.0.1,10.0.0.2", d => d with { TargetSessionAttrs = wanted });

        Assert.Equal(expected, Connect(harness, standbys: "1"));
    }

    [Fact]
    public void Prefer_standby_takes_a_primary_rather_than_nothing_and_does_not_try_it_in_vain_each_time()
    {
        var harness = Harness("10.0.0.1,10.0.0.2", d => d with { TargetSessionAttrs = TargetSessionAttrs.PreferStandby });

        Assert.Equal("1u2x1", Connect(harness, failing: "2"));
        Assert.Equal("1", Connect(harness, failing: "2"));
        Assert.StartsWith("up", Row(harness, "10.0.0.1"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_does_not_tell_is_asked_before_connect_query()
    {
        var harness = Harness("10.0.0.1,10.0.0.2", d => d with { TargetSessionAttrs = TargetSessionAttrs.Primary, ConnectQuery = "SET x = 1" });
        harness.Accept().Receive(SessionHarness.Startup());
        harness.Loop.Run();
        foreach (var (inRecovery, next) in new[] { ("t", "2"), ("f", "2") })
        {
            var server = harness.Server;
            server.Handler.OnConnected(server);
            server.TakeSent();
            server.Receive(SessionHarness.ServerWelcome);
            Assert.Equal("Q(SELECT pg_catalog.pg_is_in_recovery())", SessionHarness.Transcript(server.TakeSent()));
            server.Receive(SessionHarness.Messages(w =>
            {
                w.Begin(Backend.DataRow).Int16(1).Int32(1).Text(inRecovery).End();
                w.CommandComplete("SELECT 1");
                w.ReadyForQuery((byte)'I');
            }));
            harness.Loop.Run();
            Assert.Equal(next, Host(harness.Server));
            Assert.Equal(inRecovery == "t" ? "X" : "Q(SET x = 1)", SessionHarness.Transcript(server.TakeSent()));
        }
    }

    [Fact]
    public void A_promotion_that_a_server_tells_closes_all_servers_there_as_they_come_free()
    {
        var harness = Harness(
            "10.0.0.1,10.0.0.2", d => d with { TargetSessionAttrs = TargetSessionAttrs.Standby }, s => s with { DefaultPoolSize = 2 });
        using var first = new Client(harness, standbys: "12");
        using var second = new Client(harness);
        first.Connection.Receive(SelectOne);
        second.Connection.Receive(SelectOne);
        harness.Loop.Run();
        Welcome(harness.Server, isStandby: true);
        harness.Loop.Run();
        var servers = harness.Loop.Begun.Where(c => !c.IsClosed).ToArray();
        Assert.Equal("1 2", string.Join(' ', servers.Select(Host).Order()));
        var promoted = servers.Single(s => Host(s) == "1");

        promoted.Receive([.. SessionHarness.Messages(w => w.ParameterStatus("in_hot_standby", "off")), .. Selected]);
        harness.Loop.Run();

        Assert.True(promoted.IsClosed);
        Assert.False(servers.Single(s => Host(s) == "2").IsClosed);
        Assert.StartsWith("unfit", Row(harness, "10.0.0.1"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_from_another_process_tells_its_promotion_and_is_nobodys_turn()
    {
        var harness = Harness("10.0.0.1,10.0.0.2,10.0.0.3", d => d with { TargetSessionAttrs = TargetSessionAttrs.Standby });
        using var client = new Client(harness, standbys: "123");
        var pool = harness.Core.Directory.Pools.Single();
        var state = ((ServerSession)pool.Servers.Single()).Save(harness.Loop.Now);
        pool.CloseServers("test", markOthers: false);
        var connection = new ManualConnection(harness.Loop);
        var context = harness.Core.ContextOf(harness.Loop);
        pool.AddRestored(
            ServerSession.Restore(context, connection, pool, 1000, state, new Dictionary<long, PreparedStatement>()), harness.Loop, idle: true);

        client.Connection.Receive(SelectOne);
        connection.Receive([.. SessionHarness.Messages(w => w.ParameterStatus("in_hot_standby", "off")), .. Selected]);
        harness.Loop.Run();

        Assert.True(connection.IsClosed);
        Assert.StartsWith("unfit", Row(harness, "10.0.0.1"), StringComparison.Ordinal);
        Assert.Equal("2", Connect(harness, standbys: "23"));
    }

    [Theory, InlineData(TargetSessionAttrs.ReadWrite, true), InlineData(TargetSessionAttrs.Any, false)]
    public void A_write_refused_as_read_only_closes_the_server_when_writes_are_wanted(TargetSessionAttrs wanted, bool closes)
    {
        var harness = Harness("10.0.0.1", d => d with { TargetSessionAttrs = wanted });
        using var client = new Client(harness);
        client.Connection.Receive(SelectOne);
        harness.Loop.Run();
        var server = harness.Server;

        server.Receive(SessionHarness.Messages(w =>
        {
            PgError.Error("25006", "cannot execute INSERT in a read-only transaction").WriteTo(w);
            w.ReadyForQuery((byte)'I');
        }));
        harness.Loop.Run();

        Assert.Equal(closes, server.IsClosed);
        Assert.Equal("E25006 ZI", SessionHarness.Transcript(client.Connection.TakeSent()));
    }

    [Fact]
    public async Task Addresses_of_a_name_take_turns_and_one_that_fails_gives_way_to_the_next()
    {
        var resolver = new FakeResolver { Answer = name => Task.FromResult(name == "db.test" ? "10.0.0.1 10.0.0.2 10.0.0.3" : "!no such name") };
        var harness = new SessionHarness(s => s with { DnsMaxTtl = TimeSpan.FromHours(1), DnsNxdomainTtl = TimeSpan.FromHours(1) }, d => d with { Host = "nowhere.test,db.test" }, resolver);
        // Answers that are there already are used at once, on the loop.
        await harness.Core.Hosts.Dns.LookUpAsync("nowhere.test");
        await harness.Core.Hosts.Dns.LookUpAsync("db.test");

        Assert.Equal("2 3 1 2x3 3", $"{Connect(harness)} {Connect(harness)} {Connect(harness)} {Connect(harness, failing: "2")} {Connect(harness)}");
        Assert.Equal(2, resolver.Asked.Count);
    }

    [Fact]
    public async Task Servers_at_an_address_that_is_gone_from_DNS_are_closed_when_free()
    {
        var resolver = new FakeResolver { Answer = _ => Task.FromResult("10.0.0.1") };
        var harness = new SessionHarness(database: d => d with { Host = "db.test" }, resolver: resolver);
        await harness.Core.Hosts.Dns.LookUpAsync("db.test");
        using var client = new Client(harness);
        client.Connection.Receive(SelectOne);
        harness.Loop.Run();
        var server = harness.Server;

        resolver.Answer = _ => Task.FromResult("10.0.0.2");
        resolver.Serial = _ => 1;
        await harness.Core.Hosts.Dns.CheckZonesAsync();
        await Testing.Eventually.TrueAsync(() => harness.Core.Servers.Single().CloseNeeded, cancellationToken: TestContext.Current.CancellationToken);
        Assert.False(server.IsClosed);
        server.Receive(Selected);
        harness.Loop.Run();

        Assert.True(server.IsClosed);
        client.Connection.Receive(SelectOne);
        harness.Loop.Run();
        Assert.Equal("2", Host(harness.Server));
    }

    private static SessionHarness Harness(
        string hosts, Func<DatabaseSettings, DatabaseSettings>? database = null, Func<PoolerSettings, PoolerSettings>? settings = null) =>
        new(settings, d => (database?.Invoke(d) ?? d) with { Host = hosts });

    /// <summary>Has a server connection opened and closes it again: the hosts it went to, with x behind those that failed and u behind those let go.</summary>
    private static string Connect(SessionHarness harness, string failing = "", string standbys = "")
    {
        foreach (var pool in harness.Core.Directory.Pools) pool.CloseServers("test", markOthers: false);
        harness.Loop.Run();
        var client = harness.Accept();
        client.Receive(SessionHarness.Startup());
        client.Receive(SelectOne);
        var way = "";
        for (var tries = 0; tries < 10; tries++)
        {
            harness.Loop.Run();
            var server = harness.Server;
            way += Host(server);
            if (failing.Contains(Host(server)))
            {
                server.Refuse();
                way += "x";
                continue;
            }
            Welcome(server, standbys.Contains(Host(server)));
            harness.Loop.Run();
            if (harness.Server != server)
            {
                way += "u";
                continue;
            }
            server.Receive(Selected);
            break;
        }
        client.End();
        harness.Loop.Run();
        return way;
    }

    private static void Welcome(ManualConnection server, bool isStandby)
    {
        server.Handler.OnConnected(server);
        server.TakeSent();
        server.Receive(SessionHarness.Messages(w =>
        {
            w.AuthenticationOk();
            w.ParameterStatus("in_hot_standby", isStandby ? "on" : "off");
            w.ParameterStatus("default_transaction_read_only", "off");
            w.BackendKeyData(77, [1, 2, 3, 4]);
            w.ReadyForQuery((byte)'I');
        }));
    }

    private static string Host(ManualConnection connection) => connection.EndPoint!.ToString()!.Split(':')[0].Split('.')[^1];

    private static string Row(SessionHarness harness, string host)
    {
        var row = EngineSnapshot.TakeHosts(harness.Core).Single(h => h.Host == host);
        var now = harness.Clock.GetUtcNow();
        return $"{row.State} since={(now - row.Since)?.TotalSeconds:0} try={(row.NextTry - now)?.TotalSeconds:0} {row.LastError?.Split(": ")[^1]}";
    }

    /// <summary>A client that is logged in; the first one's login opens a server.</summary>
    private sealed class Client : IDisposable
    {
        public Client(SessionHarness harness, string standbys = "")
        {
            Connection = harness.Accept();
            Connection.Receive(SessionHarness.Startup());
            harness.Loop.Run();
            if (Connection.TakeSent().Length == 0)
            {
                Welcome(harness.Server, standbys.Contains(Host(harness.Server)));
                harness.Loop.Run();
            }
            Connection.TakeSent();
        }

        public ManualConnection Connection { get; }

        public void Dispose() => Connection.End();
    }
}
