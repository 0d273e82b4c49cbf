using System.Text;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Sessions;

/// <summary>Replication clients and the servers that are opened for them alone.</summary>
public sealed class ReplicationTests
{
    private static readonly (string, string) Logical = ("replication", "database");

    private readonly SessionHarness _harness = new();

    [Fact]
    public void The_server_gets_the_clients_startup_parameters_as_they_are()
    {
        var client = Begin(Logical, ("options", "-c x.y=1 --anything"), ("application_name", "walreceiver"));
        var server = _harness.Server;
        server.Handler.OnConnected(server);

        var startup = Encoding.UTF8.GetString(server.TakeSent());
        Assert.Contains("replication\0database\0", startup);
        Assert.Contains("options\0-c x.y=1 --anything\0", startup);
        Assert.Contains("application_name\0walreceiver\0", startup);
        Assert.DoesNotContain("pooler", startup);
        Assert.Empty(client.TakeSent());

        server.Receive(SessionHarness.ServerWelcome);
        _harness.Loop.Run();
        Assert.Equal("R S S K Zi", SessionHarness.Transcript(client.TakeSent()), ignoreCase: true);
    }

    [Fact]
    public void Its_server_ends_with_it_and_never_meets_another_client()
    {
        var client = Begin(Logical);
        _harness.WelcomeServer();
        client.TakeSent();
        var own = _harness.Server;
        client.Receive(SessionHarness.Messages(w => w.Query("IDENTIFY_SYSTEM")));
        Assert.Equal("Q(IDENTIFY_SYSTEM)", SessionHarness.Transcript(own.TakeSent()));
        own.Receive(SessionHarness.Messages(w =>
        {
            w.CommandComplete("IDENTIFY_SYSTEM");
            w.ReadyForQuery((byte)'I');
        }));
        Assert.Equal("C ZI", SessionHarness.Transcript(client.TakeSent()));

        client.Receive(SessionHarness.Messages(w => w.Terminate()));
        _harness.Loop.Run();

        Assert.True(own.IsClosed);
        Assert.Equal("X", SessionHarness.Transcript(own.TakeSent()));
        Assert.Empty(_harness.Core.Servers);
    }

    [Fact]
    public void A_client_that_leaves_while_its_server_is_being_opened_takes_it_along()
    {
        var client = Begin(Logical);
        var own = _harness.Server;
        Assert.Single(_harness.Core.Servers);

        client.End();
        _harness.Loop.Run();

        Assert.True(own.IsClosed);
        Assert.Empty(_harness.Core.Servers);
    }

    [Fact]
    public void A_client_that_leaves_while_the_pool_is_full_leaves_no_trace()
    {
        Begin(Logical);
        var waiting = Begin(Logical);
        Assert.Equal(1, _harness.Core.Directory.Pools.Single().WaitingCount);

        waiting.End();
        _harness.WelcomeServer();

        Assert.Equal(0, _harness.Core.Directory.Pools.Single().WaitingCount);
        Assert.Equal(ServerState.Active, Assert.Single(_harness.Core.Servers).State);
    }

    [Fact]
    public void A_client_waits_for_its_place_until_query_wait_timeout()
    {
        var harness = new SessionHarness(s => s with
        {
            ClientLoginTimeout = TimeSpan.FromSeconds(1), QueryTimeout = TimeSpan.FromSeconds(1), QueryWaitTimeout = TimeSpan.FromSeconds(3),
        });
        Begin(harness, Logical);
        harness.WelcomeServer();
        var waiting = Begin(harness, Logical);

        harness.Loop.Advance(TimeSpan.FromSeconds(2));
        Assert.False(waiting.IsClosed);
        harness.Loop.Advance(TimeSpan.FromSeconds(2));

        Assert.True(waiting.IsClosed);
        Assert.Contains("query_wait_timeout", Encoding.UTF8.GetString(waiting.TakeSent()));
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_busy_pool_makes_room_for_it_also_when_a_limit_over_pools_is_reached(bool ofUser)
    {
        var harness = new SessionHarness(s => s with
        {
            DefaultPoolSize = 5, MaxUserConnections = ofUser ? 1 : 0, MaxDbConnections = ofUser ? 0 : 1,
        });
        var first = harness.Login();
        var second = harness.Login();
        var shared = harness.Server;
        var query = SessionHarness.Messages(w => w.Query("SELECT 1"));
        first.Receive(query);
        var replication = Begin(harness, Logical);
        second.Receive(query);

        shared.Receive(SessionHarness.Messages(w =>
        {
            w.CommandComplete("SELECT 1");
            w.ReadyForQuery((byte)'I');
        }));
        harness.Loop.Run();

        Assert.True(shared.IsClosed);
        harness.WelcomeServer();
        Assert.Equal("R S S K Zi", SessionHarness.Transcript(replication.TakeSent()), ignoreCase: true);
    }

    [Fact]
    public void The_reserve_is_not_for_it_when_reserve_pool_timeout_is_zero()
    {
        var harness = new SessionHarness(s => s with { ReservePoolSize = 1, ReservePoolTimeout = TimeSpan.Zero });
        Begin(harness, Logical);
        harness.WelcomeServer();

        Begin(harness, Logical);
        harness.Loop.Advance(TimeSpan.FromSeconds(2));

        Assert.Single(harness.Loop.Begun);
    }

    [Fact]
    public void A_pool_in_which_it_waits_is_not_forgotten()
    {
        var directory = _harness.Core.Directory;
        directory.KnownDatabase("db")!.Paused = true;
        Begin(Logical);

        foreach (var now in (long[])[1, 1_000_000]) Assert.Empty(directory.ForgetUnusedPools(TimeSpan.FromMicroseconds(1), now));

        Assert.Equal(1, directory.Pools.Single().WaitingCount);
    }

    [Fact]
    public void A_failed_login_of_a_replication_server_does_not_put_off_others()
    {
        var client = Begin(Logical);
        var own = _harness.Server;
        own.Handler.OnConnected(own);
        own.Receive(SessionHarness.Messages(w => PgError.Fatal("42501", "permission denied to start WAL sender").WriteTo(w)));
        _harness.Loop.Run();

        Assert.Equal("E42501", SessionHarness.Transcript(client.TakeSent()));
        Assert.Null(_harness.Core.Directory.Pools.Single().LastFailure);
        _harness.Login();
        Assert.Single(_harness.Core.Clients);
    }

    [Fact]
    public void Ordinary_clients_do_not_learn_the_parameters_of_a_replication_server()
    {
        Begin(Logical);
        _harness.WelcomeServer();

        Assert.Null(_harness.Core.Directory.Pools.Single().Welcome);
    }

    private ManualConnection Begin(params (string, string)[] parameters) => Begin(_harness, parameters);

    private static ManualConnection Begin(SessionHarness harness, params (string, string)[] parameters)
    {
        var client = harness.Accept();
        client.Receive(SessionHarness.Startup(parameters));
        harness.Loop.Run();
        return client;
    }
}
