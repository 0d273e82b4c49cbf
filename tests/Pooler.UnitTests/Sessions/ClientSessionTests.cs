using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Sessions;

public sealed class ClientSessionTests
{
    private static readonly byte[] SelectOne = SessionHarness.Messages(w => w.Query("SELECT 1"));
    private static readonly byte[] Begin = SessionHarness.Messages(w => w.Query("BEGIN"));

    private static readonly byte[] Selected = SessionHarness.Messages(w =>
    {
        w.CommandComplete("SELECT 1");
        w.ReadyForQuery((byte)'I');
    });

    private static readonly byte[] Begun = SessionHarness.Messages(w =>
    {
        w.CommandComplete("BEGIN");
        w.ReadyForQuery((byte)'T');
    });

    [Theory]
    [InlineData("59 00000004", "an unknown type")]
    [InlineData("70 00000004", "a password, out of time")]
    [InlineData("00 00000008", "a startup packet, out of time")]
    [InlineData("51 00000003", "shorter than its own length")]
    [InlineData("51 FFFFFFFF", "a negative length")]
    [InlineData("51 80000000", "the most negative length")]
    [InlineData("50 00000006 7353", "a string without an end")]
    [InlineData("58 00000000", "a goodbye without a length")]
    public void A_malformed_message_is_a_protocol_violation_whether_idle_or_at_work(string hex, string what)
    {
        var message = Convert.FromHexString(hex.Replace(" ", ""));
        var harness = new SessionHarness();
        var idle = harness.Login();
        idle.Receive(message);
        Assert.Equal("E08P01", SessionHarness.Transcript(idle.TakeSent()));
        Assert.True(idle.IsClosed, what);

        var working = harness.Login();
        working.Receive(Begin);
        harness.Server.Receive(Begun);
        working.TakeSent();
        working.Receive(message);
        Assert.Equal("E08P01", SessionHarness.Transcript(working.TakeSent()));
        Assert.True(working.IsClosed);
        Assert.Equal("Q(BEGIN) Q(ROLLBACK)", SessionHarness.Transcript(harness.Server.TakeSent()));
    }

    [Fact]
    public void A_client_that_only_says_goodbye_needs_no_server()
    {
        var harness = new SessionHarness();
        var client = harness.Login();
        var other = harness.Login();
        other.Receive(Begin);
        harness.Server.Receive(Begun);

        client.Receive(SessionHarness.Messages(w => w.Terminate()));

        Assert.True(client.IsClosed);
        Assert.Equal(1, harness.Core.ClientCount);
        Assert.Single(harness.Loop.Begun);
    }

    [Fact]
    public void A_batch_that_began_before_the_last_one_was_answered_keeps_the_server()
    {
        var harness = new SessionHarness();
        var client = harness.Login();
        var next = harness.Login();
        var server = harness.Server;

        client.Receive(SelectOne);
        client.Receive(SessionHarness.Messages(w =>
        {
            w.Bind("", "");
            w.Execute("");
        }));
        server.Receive(Selected);
        next.Receive(SelectOne);
        harness.Loop.Run();
        Assert.Equal("Q(SELECT 1) B(|) E", SessionHarness.Transcript(server.TakeSent()));

        client.Receive(SessionHarness.Messages(w => w.Sync()));
        server.Receive(SessionHarness.Messages(w => w.ReadyForQuery((byte)'I')));
        harness.Loop.Run();
        Assert.Equal("S Q(SELECT 1)", SessionHarness.Transcript(server.TakeSent()));
    }

    [Fact]
    public void A_busy_servers_client_that_goes_has_the_query_cancelled_and_the_server_closed()
    {
        var harness = new SessionHarness();
        var client = harness.Login();
        var server = harness.Server;
        client.Receive(SelectOne);

        client.End();

        Assert.True(server.IsClosed);
        var cancel = harness.Loop.Begun[1];
        cancel.Handler.OnConnected(cancel);
        Assert.Equal([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 77, 1, 2, 3, 4], cancel.TakeSent());
    }

    [Fact]
    public void Query_wait_timeout_counts_from_when_the_client_began_to_wait()
    {
        var harness = new SessionHarness(s => s with { QueryWaitTimeout = TimeSpan.FromSeconds(10), QueryWaitNotify = 4 });
        var holder = harness.Login();
        var client = harness.Login();
        holder.Receive(Begin);
        harness.Server.Receive(Begun);
        harness.Loop.Advance(TimeSpan.FromSeconds(60));
        client.Receive(SelectOne);

        harness.Loop.Advance(TimeSpan.FromSeconds(9.9));
        Assert.Equal("N", SessionHarness.Transcript(client.TakeSent()));
        harness.Loop.Advance(TimeSpan.FromSeconds(0.3));

        Assert.Equal("E08P01", SessionHarness.Transcript(client.TakeSent()));
        Assert.False(holder.IsClosed);
    }

    public static TheoryData<string, string> Timeouts => new()
    {
        { "query", "E57014" }, { "idle transaction", "E25P03" }, { "transaction", "E25P04" }, { "client idle", "E57P05" },
    };

    [Theory, MemberData(nameof(Timeouts))]
    public void A_timeout_ends_its_client_when_it_is_over_and_not_before(string which, string error)
    {
        var limit = TimeSpan.FromSeconds(10);
        var harness = new SessionHarness(s => which switch
        {
            "query" => s with { QueryTimeout = limit },
            "idle transaction" => s with { IdleTransactionTimeout = limit },
            "transaction" => s with { TransactionTimeout = limit },
            _ => s with { ClientIdleTimeout = limit },
        });
        var client = harness.Login();
        if (which != "client idle")
        {
            client.Receive(Begin);
            harness.Server.Receive(Begun);
        }
        if (which == "query") client.Receive(SelectOne);
        client.TakeSent();

        harness.Loop.Advance(limit - TimeSpan.FromSeconds(0.2));
        Assert.Equal("", SessionHarness.Transcript(client.TakeSent()));
        harness.Loop.Advance(TimeSpan.FromSeconds(0.5));

        Assert.Equal(error, SessionHarness.Transcript(client.TakeSent()));
        Assert.True(client.IsClosed);
        Assert.Equal(which != "client idle", harness.Loop.Begun[0].IsClosed);
    }

    [Fact]
    public void Server_idle_timeout_and_reserve_pool_timeout_keep_to_the_clock()
    {
        var harness = new SessionHarness(s => s with
        {
            ReservePoolSize = 1, ReservePoolTimeout = TimeSpan.FromSeconds(5), ServerIdleTimeout = TimeSpan.FromSeconds(30), QueryWaitNotify = 0,
        });
        var holder = harness.Login();
        var client = harness.Login();
        holder.Receive(Begin);
        harness.Server.Receive(Begun);
        client.Receive(SelectOne);

        harness.Loop.Advance(TimeSpan.FromSeconds(4.8));
        Assert.Single(harness.Loop.Begun);
        harness.Loop.Advance(TimeSpan.FromSeconds(0.5));
        Assert.Equal(2, harness.Loop.Begun.Count);
        harness.WelcomeServer();
        harness.Server.Receive(Selected);
        Assert.Equal("C ZI", SessionHarness.Transcript(client.TakeSent()));

        harness.Loop.Advance(TimeSpan.FromSeconds(29.8));
        Assert.False(harness.Server.IsClosed);
        harness.Loop.Advance(TimeSpan.FromSeconds(0.5));
        Assert.True(harness.Server.IsClosed);
        Assert.False(harness.Loop.Begun[0].IsClosed);
    }

    [Fact]
    public void A_server_that_sends_nonsense_costs_its_client_and_is_closed()
    {
        var harness = new SessionHarness();
        var client = harness.Login();
        client.Receive(SelectOne);

        harness.Server.Receive([(byte)'T', 0, 0, 0, 1]);

        Assert.Equal("E08P01", SessionHarness.Transcript(client.TakeSent()));
        Assert.True(harness.Server.IsClosed);
    }

    [Fact]
    public void Statement_mode_ends_who_begins_a_transaction_and_rolls_it_back()
    {
        var harness = new SessionHarness(s => s with { PoolMode = PoolMode.Statement });
        var client = harness.Login();
        client.Receive(Begin);

        harness.Server.Receive(Begun);

        Assert.Equal("E08P01", SessionHarness.Transcript(client.TakeSent()));
        Assert.Equal("Q(BEGIN) Q(ROLLBACK)", SessionHarness.Transcript(harness.Server.TakeSent()));
        Assert.Equal(0, EngineSnapshot.Take(harness.Core).Clients);
    }
}
