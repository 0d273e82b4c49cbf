using Pooler.Engine.Protocol;
using Pooler.UnitTests.Sessions;
using Xunit;

namespace Pooler.UnitTests.Pools;

/// <summary>A server that ends on its way to a waiter on another loop.</summary>
public sealed class LostGrantTests
{
    private static readonly byte[] SelectOne = SessionHarness.Messages(w => w.Query("SELECT 1"));

    private static readonly byte[] Selected = SessionHarness.Messages(w => { w.CommandComplete("SELECT 1"); w.ReadyForQuery((byte)'I'); });

    [Fact]
    public void The_waiter_is_the_next_to_be_served()
    {
        var harness = new SessionHarness(loops: 2);
        var (here, there) = (harness.Loops[0], harness.Loops[1]);
        var busy = harness.Login();
        var waiting = Login(harness, there);
        var later = Login(harness, there);
        busy.Receive(SelectOne);
        waiting.Receive(SelectOne);
        later.Receive(SelectOne);
        var lost = harness.Server;
        lost.Receive(Selected);
        Assert.Same(there, lost.Loop);

        lost.End();
        there.Run();
        here.Run();

        var next = Assert.Single(there.Begun);
        next.Handler.OnConnected(next);
        next.TakeSent();
        next.Receive(SessionHarness.ServerWelcome);
        there.Run();
        Assert.StartsWith("Q", SessionHarness.Transcript(next.TakeSent()), StringComparison.Ordinal);
        next.Receive(Selected);
        there.Run();
        Assert.Equal("C ZI", SessionHarness.Transcript(waiting.TakeSent()));
        Assert.Empty(later.TakeSent());
    }

    private static ManualConnection Login(SessionHarness harness, ManualLoop loop)
    {
        var client = harness.Accept(loop);
        client.Receive(SessionHarness.Startup());
        loop.Run();
        client.TakeSent();
        return client;
    }
}
