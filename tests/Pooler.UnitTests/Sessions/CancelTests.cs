using Pooler.Engine.Console;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Xunit;

namespace Pooler.UnitTests.Sessions;

/// <summary>Cancel requests: whom they reach, and that they never reach the next client of a server.</summary>
public sealed class CancelTests
{
    private readonly SessionHarness _harness = new();

    private Pool Pool => _harness.Core.Directory.Pools.Single();

    [Fact]
    public void The_request_goes_out_with_the_backends_own_key_and_is_answered_by_its_end()
    {
        var (_, server, key) = RunningQuery();
        var requester = Cancel(key);
        var delivery = Delivery(server);
        Assert.Equal(new CancelCounts(0, 1, 1), Counts);
        Assert.False(requester.IsClosed);

        delivery.Handler.OnConnected(delivery);
        Assert.Equal([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 77, 1, 2, 3, 4], delivery.TakeSent());
        Assert.Equal(new CancelCounts(1, 0, 0), Counts);
        Assert.Equal(DeliveryState.Sent, Assert.Single(_harness.Core.CancelRequests).Delivery!.State);

        delivery.End();
        _harness.Loop.Run();
        Assert.True(requester.IsClosed);
        Assert.Empty(requester.TakeSent());
        Assert.Empty(_harness.Core.CancelRequests);
        Assert.Equal(default, Counts);
    }

    [Fact]
    public void A_request_that_is_not_sent_when_the_query_ends_is_dropped()
    {
        var (client, server, key) = RunningQuery();
        var requester = Cancel(key);
        var delivery = Delivery(server);

        Answer(server);

        Assert.Equal("C ZI", SessionHarness.Transcript(client.TakeSent()));
        Assert.Equal(ServerState.Idle, Assert.Single(_harness.Core.Servers).State);
        Assert.True(delivery.IsClosed);
        _harness.Loop.Run();
        Assert.True(requester.IsClosed);
    }

    [Fact]
    public void A_server_meets_no_other_client_before_a_sent_request_is_dealt_with()
    {
        var (_, server, key) = RunningQuery();
        Cancel(key);
        var delivery = Delivery(server);
        delivery.Handler.OnConnected(delivery);
        var next = _harness.Login();
        next.Receive(Query("SELECT 'next'"));

        Answer(server);
        server.TakeSent();
        Assert.Equal(ServerState.BeingCanceled, Assert.Single(_harness.Core.Servers).State);

        delivery.End();
        _harness.Loop.Run();
        Assert.Equal("Q(SELECT 'next')", SessionHarness.Transcript(server.TakeSent()));
    }

    [Fact]
    public void A_request_that_never_gets_an_answer_gives_the_server_free_after_a_while()
    {
        var (_, server, key) = RunningQuery();
        var requester = Cancel(key);
        var delivery = Delivery(server);
        delivery.Handler.OnConnected(delivery);
        Answer(server);

        _harness.Loop.Advance(_harness.Core.Settings.CancelWaitTimeout + TimeSpan.FromSeconds(1));

        Assert.Equal(ServerState.Idle, Assert.Single(_harness.Core.Servers).State);
        Assert.True(delivery.IsClosed);
        Assert.True(requester.IsClosed);
    }

    [Fact]
    public void As_many_requests_as_the_pool_has_servers_are_under_way_at_once()
    {
        var (_, server, key) = RunningQuery();
        Cancel(key);
        var first = Delivery(server);
        Cancel(key);
        Assert.Same(first, Delivery(server));
        Assert.Equal(new CancelCounts(0, 2, 1), Counts);

        first.Handler.OnConnected(first);
        first.End();
        _harness.Loop.Run();

        Assert.NotSame(first, Delivery(server));
        Assert.Equal(new CancelCounts(0, 1, 1), Counts);
    }

    [Fact]
    public void Idle_clients_and_wrong_keys_cause_no_connection()
    {
        var (client, server, key) = RunningQuery();
        Answer(server);
        client.TakeSent();
        var begun = _harness.Loop.Begun.Count;

        Assert.True(Cancel(key).IsClosed);
        key[^1] ^= 1;
        Assert.True(Cancel(key).IsClosed);
        Assert.Equal(begun, _harness.Loop.Begun.Count);
    }

    [Fact]
    public void Long_keys_of_servers_are_shown_in_full()
    {
        var secret = Enumerable.Range(1, 255).Select(i => (byte)i).ToArray();
        var (server, key) = RunningQueryOn(w => w.BackendKeyData(7, secret));

        Cancel(key);
        var delivery = Delivery(server);
        delivery.Handler.OnConnected(delivery);

        Assert.Equal([0, 0, 1, 11, 4, 210, 22, 46, 0, 0, 0, 7, .. secret], delivery.TakeSent());
    }

    [Theory]
    [InlineData(-1), InlineData(0), InlineData(3), InlineData(257)]
    public void Servers_without_a_key_of_possible_length_are_not_asked_to_cancel(int length)
    {
        var (server, key) = RunningQueryOn(w =>
        {
            if (length >= 0) w.BackendKeyData(7, new byte[length]);
        });

        Assert.True(Cancel(key).IsClosed);
        Assert.Same(server, _harness.Server);
    }

    private (ManualConnection Server, byte[] Key) RunningQueryOn(Action<MessageWriter> keyData)
    {
        var client = _harness.Accept();
        client.Receive(SessionHarness.Startup());
        _harness.Loop.Run();
        var server = _harness.Server;
        server.Handler.OnConnected(server);
        server.Receive(SessionHarness.Messages(w =>
        {
            w.AuthenticationOk();
            keyData(w);
            w.ReadyForQuery((byte)'I');
        }));
        _harness.Loop.Run();
        var key = KeyIn(client.TakeSent());
        client.Receive(Query("SELECT 1"));
        return (server, key);
    }

    private CancelCounts Counts => CancelCounts.Of(_harness.Core.Cancels.DeliveriesOf(Pool));

    /// <summary>A client whose query is being worked on, its server, and the client's key.</summary>
    private (ManualConnection Client, ManualConnection Server, byte[] Key) RunningQuery()
    {
        var client = _harness.Accept();
        client.Receive(SessionHarness.Startup());
        _harness.Loop.Run();
        _harness.WelcomeServer();
        var key = KeyIn(client.TakeSent());
        client.Receive(Query("SELECT 1"));
        var server = _harness.Server;
        Assert.Equal("Q(SELECT 1)", SessionHarness.Transcript(server.TakeSent()));
        return (client, server, key);
    }

    /// <summary>The connection opened last, which is not the server's.</summary>
    private ManualConnection Delivery(ManualConnection server)
    {
        Assert.NotSame(server, _harness.Server);
        return _harness.Server;
    }

    private ManualConnection Cancel(byte[] key)
    {
        var requester = _harness.Accept();
        requester.Receive([0, 0, 0, (byte)(8 + key.Length), 4, 210, 22, 46, .. key]);
        _harness.Loop.Run();
        return requester;
    }

    private static void Answer(ManualConnection server) => server.Receive(SessionHarness.Messages(w =>
    {
        w.CommandComplete("SELECT 1");
        w.ReadyForQuery((byte)'I');
    }));

    private static byte[] Query(string sql) => SessionHarness.Messages(w => w.Query(sql));

    private static byte[] KeyIn(byte[] messages)
    {
        var at = 0;
        while (messages[at] != (byte)'K') at += 1 + System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(messages.AsSpan(at + 1));
        return messages[(at + 5)..(at + 13)];
    }
}
