using System.Buffers.Binary;
using System.Net.Sockets;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>What a connection promises its handler, the same for every backend.</summary>
public sealed class ConnectionTests
{
    public static TheoryData<LoopBackend> Backends { get; } =
        OperatingSystem.IsLinux() ? [LoopBackend.Epoll, LoopBackend.Sockets] : [LoopBackend.Sockets];

    [Theory, MemberData(nameof(Backends))]
    public void Bytes_come_back_from_an_echo(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(_ => new TestHandler { Received = Echo });
        var peer = harness.ConnectPeer();
        for (var length = 1; length < 40_000; length = length * 3 + 1)
        {
            var sent = LoopHarness.Pattern(length);
            peer.Send(sent);
            Assert.Equal(sent, LoopHarness.ReceiveExactly(peer, length));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void Unconsumed_bytes_are_delivered_again_in_front_of_the_next(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(_ => new TestHandler { Received = EchoFrames });
        var peer = harness.ConnectPeer();

        foreach (var length in (int[])[1, 5, 100, 3_000, 20_000, 300_000, 7])
        {
            var body = LoopHarness.Pattern(length, length);
            var header = new byte[4];
            BinaryPrimitives.WriteInt32BigEndian(header, length);
            byte[] frame = [.. header, .. body];

            // In pieces of many sizes, so that headers and bodies are cut everywhere.
            var piece = 1;
            for (var offset = 0; offset < frame.Length; offset += piece, piece = Math.Min(piece * 2 + 1, 30_000))
                peer.Send(frame.AsSpan(offset, Math.Min(piece, frame.Length - offset)));
            Assert.Equal(body, LoopHarness.ReceiveExactly(peer, length));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void The_end_of_the_stream_closes_after_the_last_byte(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var received = 0;
        var handler = new TestHandler { Received = (_, data) => Count(ref received, data) };
        harness.Listen(_ => handler);
        var peer = harness.ConnectPeer();
        peer.Send(new byte[100_000]);
        peer.Shutdown(SocketShutdown.Send);

        LoopHarness.Until(() => handler.ClosedCalls == 1, "OnClosed");
        Assert.Equal(100_000, received);
        Assert.Null(handler.Error);
        Assert.Empty(handler.Violations);
        Assert.Equal(0, peer.Receive(new byte[1]));
    }

    private static int Echo(Connection connection, Span<byte> data)
    {
        connection.Send(data);
        return data.Length;
    }

    /// <summary>Answers each frame (length, body) with its body, once it is complete.</summary>
    private static int EchoFrames(Connection connection, Span<byte> data)
    {
        var consumed = 0;
        while (data.Length - consumed >= 4)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(data[consumed..]);
            if (data.Length - consumed - 4 < length)
                break;
            connection.Send(data.Slice(consumed + 4, length));
            consumed += 4 + length;
        }

        return consumed;
    }

    private static int Count(ref int counter, Span<byte> data)
    {
        Interlocked.Add(ref counter, data.Length);
        return data.Length;
    }
}
