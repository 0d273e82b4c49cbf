using Pooler.Engine;
using Pooler.Engine.Protocol;
using Pooler.UnitTests.Sessions;
using Xunit;

namespace Pooler.UnitTests.Pools;

/// <summary>Databases and pools that are forgotten as unused while a client is on its way to them.</summary>
public sealed class ForgettingTests
{
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(1);

    private readonly SessionHarness _harness = new(s => s with { MaxUserConnections = 1 }, d => d with { Name = "*" });

    private PoolDirectory Directory => _harness.Core.Directory;

    [Fact]
    public void A_client_whose_database_is_forgotten_finds_the_one_that_the_next_has_made()
    {
        var client = WelcomeAndLoseServer();
        Assert.Empty(Directory.ForgetUnusedDatabases(Idle, 1));
        Assert.Single(Directory.ForgetUnusedDatabases(Idle, 2_000_000));

        MeetAnother(client);
    }

    [Fact]
    public void A_client_whose_pool_is_forgotten_finds_the_one_that_the_next_has_made()
    {
        var client = WelcomeAndLoseServer();
        Assert.Empty(Directory.ForgetUnusedPools(Idle, 1));
        Assert.Single(Directory.ForgetUnusedPools(Idle, 2_000_000));

        MeetAnother(client);
    }

    [Fact]
    public void A_database_for_whose_server_somebody_waits_is_not_forgotten()
    {
        var busy = _harness.Login();
        busy.Receive(SessionHarness.Messages(w => w.Query("SELECT 1")));
        var waiting = _harness.Accept();
        waiting.Receive(SessionHarness.Messages(w => w.StartupMessage("me", "other", [])));
        _harness.Loop.Run();
        Assert.Equal(0, Directory.KnownDatabase("other")!.ServerCount);

        foreach (var now in (long[])[1, 2_000_000]) Assert.Empty(Directory.ForgetUnusedDatabases(Idle, now));

        Assert.False(waiting.IsClosed);
    }

    /// <summary>A client is about to be let in, and all that its pool had is gone again.</summary>
    private ManualConnection WelcomeAndLoseServer()
    {
        var client = Begin();
        _harness.Server.Handler.OnConnected(_harness.Server);
        _harness.Server.Receive(SessionHarness.ServerWelcome);
        Directory.Pools.Single().CloseServers("test", markOthers: false);
        Assert.Empty(_harness.Core.Servers);
        return client;
    }

    private void MeetAnother(ManualConnection client)
    {
        var another = Begin();
        _harness.Loop.Run();
        _harness.WelcomeServer();

        Assert.NotEmpty(client.TakeSent());
        Assert.NotEmpty(another.TakeSent());
        Assert.Equal(2, _harness.Core.Clients.Count());
        Assert.All(_harness.Core.Clients, c => Assert.Same(Directory.Pools.Single(), c.Pool));
        Assert.Equal(2, Directory.KnownDatabase("db")!.ClientCount);
    }

    private ManualConnection Begin()
    {
        var client = _harness.Accept();
        client.Receive(SessionHarness.Startup());
        return client;
    }
}
