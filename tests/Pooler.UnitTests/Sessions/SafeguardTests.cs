using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Sessions;

/// <summary>What must not happen: a queue beside idle servers, an answer for the wrong client, a login that loses bytes.</summary>
public sealed class SafeguardTests
{
    private static readonly byte[] SelectOne = SessionHarness.Messages(w => w.Query("SELECT 1"));

    private static readonly byte[] Selected = SessionHarness.Messages(w =>
    {
        w.CommandComplete("SELECT 1");
        w.ReadyForQuery((byte)'I');
    });

    private static readonly byte[] CopyIn = SessionHarness.Messages(w => w.Begin(Backend.CopyInResponse).Byte(0).Int16(0).End());

    [Fact]
    public void After_a_quiet_time_every_idle_server_is_checked_for_the_clients_that_queue()
    {
        var harness = new SessionHarness(s => s with { DefaultPoolSize = 2 });
        var clients = new[] { harness.Login(), harness.Login(), harness.Login() };
        var servers = OpenTwoServers(harness, clients);
        harness.Loop.Advance(TimeSpan.FromSeconds(40));

        foreach (var client in clients) client.Receive(SelectOne);
        Assert.Equal("Q()", SessionHarness.Transcript(servers[0].TakeSent()));
        Assert.Equal("Q()", SessionHarness.Transcript(servers[1].TakeSent()));
        foreach (var server in servers) server.Receive(SessionHarness.Messages(w => { w.EmptyQueryResponse(); w.ReadyForQuery((byte)'I'); }));
        harness.Loop.Run();
        Assert.Equal("Q(SELECT 1)", SessionHarness.Transcript(servers[0].TakeSent()));
        Assert.Equal("Q(SELECT 1)", SessionHarness.Transcript(servers[1].TakeSent()));
    }

    [Fact]
    public void Requests_pipelined_behind_a_copy_end_both_connections()
    {
        var harness = new SessionHarness();
        var client = harness.Login();
        client.Receive(SessionHarness.Messages(w =>
        {
            w.Parse("", "COPY t FROM STDIN");
            w.Bind("", "");
            w.Execute("");
            w.Sync();
            w.Parse("", "SELECT 1");
            w.Bind("", "");
            w.Execute("");
            w.Sync();
        }));
        var server = harness.Server;
        server.Receive([.. SessionHarness.Messages(w => { w.ParseComplete(); w.BindComplete(); }), .. CopyIn]);

        Assert.EndsWith("E0A000", SessionHarness.Transcript(client.TakeSent()));
        Assert.True(client.IsClosed);
        Assert.True(server.IsClosed);
    }

    [Fact]
    public void A_sync_in_the_middle_of_copy_data_ends_both_connections()
    {
        var harness = new SessionHarness();
        var client = harness.Login();
        client.Receive(SessionHarness.Messages(w => w.Query("COPY t FROM STDIN")));
        var server = harness.Server;
        server.Receive(CopyIn);
        client.TakeSent();
        client.Receive(SessionHarness.Messages(w =>
        {
            w.Begin(Frontend.CopyData).Text("1\n").End();
            w.Sync();
        }));

        Assert.Equal("E08P01", SessionHarness.Transcript(client.TakeSent()));
        Assert.True(server.IsClosed);
    }

    [Fact]
    public void A_query_in_one_piece_with_the_startup_packet_is_answered()
    {
        var harness = new SessionHarness();
        harness.Login();
        var client = harness.Accept();
        client.Receive([.. SessionHarness.Startup(), .. SelectOne]);
        harness.Loop.Run();

        Assert.Equal("Q(SELECT 1)", SessionHarness.Transcript(harness.Server.TakeSent()));
        client.TakeSent();
        harness.Server.Receive(Selected);
        Assert.Equal("C ZI", SessionHarness.Transcript(client.TakeSent()));
    }

    [Fact]
    public void A_name_that_the_pool_gives_to_servers_reaches_nobody_elses_statement()
    {
        var harness = new SessionHarness();
        var owner = harness.Login();
        owner.Receive(SessionHarness.Messages(w => { w.Parse("mine", "SELECT 'secret'"); w.Sync(); }));
        Assert.Equal("P(pooler_1|SELECT 'secret') S", SessionHarness.Transcript(harness.Server.TakeSent()));
        harness.Server.Receive(SessionHarness.Messages(w => { w.ParseComplete(); w.ReadyForQuery((byte)'I'); }));

        var other = harness.Login();
        other.Receive(SessionHarness.Messages(w =>
        {
            w.Bind("", "pooler_1");
            w.DescribeStatement("pooler_1");
            w.CloseStatement("pooler_1");
            w.Sync();
        }));
        Assert.Equal("B(|pooler_none) D(pooler_none) C(pooler_none) S", SessionHarness.Transcript(harness.Server.TakeSent()));
    }

    private static ManualConnection[] OpenTwoServers(SessionHarness harness, ManualConnection[] clients)
    {
        var first = harness.Server;
        clients[0].Receive(SelectOne);
        clients[1].Receive(SelectOne);
        harness.Loop.Run();
        harness.WelcomeServer();
        var servers = new[] { first, harness.Server };
        foreach (var server in servers)
        {
            Assert.Equal("Q(SELECT 1)", SessionHarness.Transcript(server.TakeSent()));
            server.Receive(Selected);
        }
        harness.Loop.Run();
        return servers;
    }
}
