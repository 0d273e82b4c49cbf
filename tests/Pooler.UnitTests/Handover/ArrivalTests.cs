using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.UnitTests.Loops;
using Xunit;

namespace Pooler.UnitTests.Handover;

/// <summary>What becomes of connections that another process hands over.</summary>
public sealed class ArrivalTests : IDisposable
{
    private readonly (Socket Here, Socket Peer) _client;
    private readonly (Socket Here, Socket Peer) _server;

    public ArrivalTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "descriptors are passed on Linux only");
        (_client, _server) = (Connect(), Connect());
    }

    public static TheoryData<LoopBackend> Backends => ConnectionTests.Backends;

    public void Dispose()
    {
        foreach (var socket in new[] { _client.Here, _client.Peer, _server.Here, _server.Peer }) socket?.Dispose();
    }

    [Theory, MemberData(nameof(Backends))]
    public void What_is_still_to_be_sent_is_sent_when_the_loop_runs_and_not_before(LoopBackend backend)
    {
        using var group = new LoopGroup(backend, 1, TimeProvider.System, NullLogger.Instance);
        group.Loops[0].Restore(Give(_client.Here), new TestHandler(), [], "pending"u8);
        Assert.Equal(0, _client.Peer.Available);
        group.Start();
        Assert.Equal("pending"u8, LoopHarness.ReceiveExactly(_client.Peer, 7));
    }

    [Fact]
    public async Task A_late_pair_that_makes_no_sense_leaves_nothing_behind()
    {
        await using var engine = StartEngine();
        var writer = new StateWriter();
        Client.WriteTo(writer);
        // A statement that nobody has told of.
        (Server with { Statements = [9] }).WriteTo(writer);
        var arrivals = new Arrivals(engine.Core, engine.Group);
        arrivals.TakeLate(new Frame(FrameKind.Pair, writer.Written.ToArray(), [Give(_client.Here), Give(_server.Here)]));

        Assert.Equal((byte)'E', LoopHarness.ReceiveAll(_client.Peer)[0]);
        LoopHarness.ReceiveAll(_server.Peer);
        _client.Peer.Dispose();
        LoopHarness.Until(() => arrivals.UnderWay == 0 && engine.Core.ClientCount == 0, "the end of the client");
        LoopHarness.Until(() => engine.Group.Loops.Cast<LoopThread>().All(l => l.AcceptedConnections == 0), "the end of its count");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_late_frame_that_cannot_be_read_is_closed(int length)
    {
        await using var engine = StartEngine();
        new Arrivals(engine.Core, engine.Group).TakeLate(new Frame(FrameKind.Client, new byte[length], [Give(_client.Here)]));
        Assert.Empty(LoopHarness.ReceiveAll(_client.Peer));
        LoopHarness.Until(() => engine.Group.Loops.Cast<LoopThread>().All(l => l.AcceptedConnections == 0), "the end of its count");
    }

    [Fact]
    public async Task Who_comes_late_is_held_while_everything_is_suspended()
    {
        await using var engine = StartEngine();
        // Without a console a suspended pooler resumes by itself, unless another process is at it.
        Assert.True(engine.Core.TryBeginHandover());
        await engine.SuspendAsync(TestContext.Current.CancellationToken);
        var writer = new StateWriter();
        Client.WriteTo(writer);
        new Arrivals(engine.Core, engine.Group).TakeLate(new Frame(FrameKind.Client, writer.Written.ToArray(), [Give(_client.Here)]));
        // No request, which is answered at once.
        _client.Peer.Send("?\0\0\0\x04"u8);
        LoopHarness.Until(() => engine.Core.Clients.Any(), "the arrival");
        LoopHarness.Settle(engine.Core.Loops[0]);
        Assert.Equal(0, _client.Peer.Available);

        engine.Resume(null);
        Assert.Equal((byte)'E', LoopHarness.ReceiveExactly(_client.Peer, 1)[0]);
    }

    [Fact]
    public async Task Of_two_processes_that_ask_at_once_one_takes_over()
    {
        await using var engine = StartEngine();
        Assert.True(engine.Core.TryBeginHandover());
        engine.BeginHandover(new HandoverChannel(Give(_server.Here)));
        Assert.Empty(LoopHarness.ReceiveAll(_server.Peer));
    }

    private static ClientHandover Client { get; } = new()
    {
        Id = 1,
        Database = "shop",
        PoolUser = "app",
        LoginUser = "app",
        CancelKey = new byte[8],
        ConnectedAt = DateTimeOffset.UnixEpoch,
        Address = "127.0.0.1",
        Port = 1,
        Mode = PoolMode.Transaction,
        StartupParameters = SessionParameters.Empty,
        Parameters = SessionParameters.Empty,
        Buffers = new BufferState([], []),
    };

    private static ServerHandover Server { get; } = new()
    {
        Id = 2,
        Database = "shop",
        PoolUser = "app",
        Host = "127.0.0.1",
        HostPort = 5432,
        Target = new IPEndPoint(IPAddress.Loopback, 5432),
        ConnectedAt = DateTimeOffset.UnixEpoch,
        Age = 1,
        BackendPid = 3,
        BackendKey = [],
        TransactionStatus = (byte)'T',
        Parameters = SessionParameters.Empty,
        Reported = SessionParameters.Empty,
        Buffers = new BufferState([], []),
    };

    private static PoolerEngine StartEngine()
    {
        var engine = new PoolerEngine(
            new PoolerConfiguration
            {
                Settings = new PoolerSettings { ListenAddr = "127.0.0.1", ListenPort = 0, UnixSocketDir = "", AuthType = AuthType.Trust, EventLoops = 1 },
                Databases = new Dictionary<string, DatabaseSettings> { ["shop"] = new() { Name = "shop", Host = "127.0.0.1" } },
                Users = new Dictionary<string, UserSettings> { ["app"] = new() { Name = "app" } },
            },
            new EngineOptions { LoggerFactory = NullLoggerFactory.Instance });
        engine.Start();
        return engine;
    }

    /// <summary>A descriptor for another to own; the socket is given up.</summary>
    private static int Give(Socket socket)
    {
        var descriptor = Libc.Duplicate((int)socket.SafeHandle.DangerousGetHandle());
        socket.Dispose();
        return descriptor;
    }

    private static (Socket Here, Socket Peer) Connect()
    {
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listening.Listen();
        var peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        {
            ReceiveTimeout = (int)LoopHarness.Deadline.TotalMilliseconds,
        };
        peer.Connect(listening.LocalEndPoint!);
        return (listening.Accept(), peer);
    }
}
