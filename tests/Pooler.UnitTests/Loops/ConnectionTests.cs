using System.Buffers.Binary;
using System.Net;
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

    [Theory, MemberData(nameof(Backends))]
    public void A_slow_reader_gets_everything_in_order_and_the_sender_hears_when_it_is_drained(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new TestHandler();
        var (connection, peer) = harness.Pair(harness.Loop, handler);
        var all = LoopHarness.Pattern(20_000_000);
        var sent = 0;
        var refusals = 0;
        handler.Drained = _ => SendMore();
        LoopHarness.On(harness.Loop, SendMore);

        Assert.True(refusals > 0);
        Assert.Equal(all, LoopHarness.ReceiveExactly(peer, all.Length));
        LoopHarness.Until(() => !LoopHarness.On(harness.Loop, () => connection.HasPendingOutput), "the last drain");
        LoopHarness.Until(() => handler.DrainedCalls == refusals, "OnDrained after each refusal");
        Assert.Empty(handler.Violations);

        void SendMore()
        {
            while (sent < all.Length)
            {
                var length = Math.Min(100_000, all.Length - sent);
                sent += length;
                if (!connection.Send(all.AsSpan(sent - length, length)))
                {
                    refusals++;
                    return;
                }
            }
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void Output_that_is_pending_stays_in_front_of_later_output(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var (connection, peer) = harness.Pair(harness.Loop, new TestHandler());
        var all = LoopHarness.Pattern(12_000_000);
        LoopHarness.On(harness.Loop, () =>
        {
            for (var offset = 0; offset < all.Length; offset += 50_000)
                connection.Send(all.AsSpan(offset, 50_000));
        });
        Assert.Equal(all, LoopHarness.ReceiveExactly(peer, all.Length));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Two_connections_forward_a_stream_with_back_pressure(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var (source, target) = (new TestHandler(), new TestHandler());
        var (sourceConnection, sourcePeer) = harness.Pair(harness.Loop, source);
        var (targetConnection, targetPeer) = harness.Pair(harness.Loop, target);
        var pauses = 0;
        source.Received = (connection, data) =>
        {
            if (!targetConnection.Send(data))
            {
                pauses++;
                connection.PauseReading();
            }

            return data.Length;
        };
        target.Drained = _ => sourceConnection.ResumeReading();
        source.Closed = _ => targetConnection.CloseAfterSend();

        var all = LoopHarness.Pattern(30_000_000);
        var sending = Task.Run(
            () =>
            {
                sourcePeer.Send(all);
                sourcePeer.Close();
            },
            TestContext.Current.CancellationToken);
        LoopHarness.Until(() => Volatile.Read(ref pauses) > 0, "the first pause");
        Assert.Equal(all, LoopHarness.ReceiveAll(targetPeer));
        await sending.WaitAsync(LoopHarness.Deadline, TestContext.Current.CancellationToken);
        Assert.Empty(source.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Kept_bytes_wait_while_reading_is_paused_and_come_first_when_it_resumes(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var deliveries = new List<byte[]>();
        var pausing = true;
        var handler = new TestHandler();
        handler.Received = (connection, data) =>
        {
            lock (deliveries)
                deliveries.Add(data.ToArray());
            if (!pausing)
                return data.Length;
            connection.PauseReading();
            return 2;
        };
        var (connection, peer) = harness.Pair(harness.Loop, handler);
        peer.Send([1, 2, 3, 4, 5]);
        LoopHarness.Until(() => Deliveries() == 1, "the first delivery");
        Assert.True(LoopHarness.On(harness.Loop, () => connection.HasKeptInput));

        // Nobody may hear of these before reading is resumed.
        peer.Send([6, 7]);
        LoopHarness.Settle(harness.Loop);
        Assert.Equal(1, Deliveries());

        pausing = false;
        LoopHarness.On(harness.Loop, () =>
        {
            connection.ResumeReading();
            connection.ResumeReading();
            Assert.Equal(1, Deliveries());
        });
        LoopHarness.Until(() => deliveries.Sum(delivery => delivery.Length) == 5 + 5, "the rest");
        Assert.Equal((byte[])[3, 4, 5], deliveries[1][..3]);
        Assert.Equal((byte[])[3, 4, 5, 6, 7], deliveries.Skip(1).SelectMany(delivery => delivery));
        Assert.False(LoopHarness.On(harness.Loop, () => connection.HasKeptInput));

        int Deliveries()
        {
            lock (deliveries)
                return deliveries.Count;
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_message_larger_than_any_buffer_is_gathered(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new TestHandler();
        var all = LoopHarness.Pattern(5_000_000);
        var complete = false;
        handler.Received = (_, data) =>
        {
            if (data.Length < all.Length)
                return 0;
            complete = data.SequenceEqual(all);
            return data.Length;
        };
        var (_, peer) = harness.Pair(harness.Loop, handler);
        peer.Send(all);
        LoopHarness.Until(() => Volatile.Read(ref complete), "the whole message");
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_refused_read_leaves_the_bytes_until_reading_is_resumed(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var ready = false;
        var asked = 0;
        var received = new List<byte>();
        var handler = new TestHandler
        {
            Readable = (_, _) =>
            {
                Interlocked.Increment(ref asked);
                return ready ? ReadAnswer.Read : ReadAnswer.Pause;
            },
            Received = (_, data) =>
            {
                received.AddRange(data);
                return data.Length;
            },
        };
        var (connection, peer) = harness.Pair(harness.Loop, handler);
        peer.Send([1, 2, 3]);
        LoopHarness.Until(() => Volatile.Read(ref asked) == 1, "the question");
        peer.Send([4]);
        LoopHarness.Settle(harness.Loop);
        Assert.Equal(1, asked);
        Assert.Empty(received);

        LoopHarness.On(harness.Loop, () =>
        {
            ready = true;
            connection.ResumeReading();
        });
        LoopHarness.Until(() => LoopHarness.On(harness.Loop, () => received.Count) == 4, "all bytes");
        Assert.Equal((byte[])[1, 2, 3, 4], received);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_paused_handler_may_drop_a_connection_whose_peer_has_left_with_bytes_unread(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new TestHandler
        {
            Readable = (_, readiness) => readiness == Readiness.Bytes ? ReadAnswer.Pause : ReadAnswer.Close,
        };
        var (_, peer) = harness.Pair(harness.Loop, handler);
        peer.Send([1, 2, 3]);
        LoopHarness.Settle(harness.Loop);
        peer.Close();
        LoopHarness.Until(() => handler.ClosedCalls == 1, "OnClosed");
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_paused_handler_may_leave_the_end_until_it_reads_again(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var endSeen = 0;
        var received = 0;
        var paused = true;
        var handler = new TestHandler
        {
            Readable = (_, readiness) =>
            {
                if (readiness != Readiness.Bytes)
                    Interlocked.Increment(ref endSeen);
                return Volatile.Read(ref paused) ? ReadAnswer.Pause : ReadAnswer.Read;
            },
            Received = (_, data) => Count(ref received, data),
        };
        var (connection, peer) = harness.Pair(harness.Loop, handler);
        peer.Send(new byte[10_000]);
        peer.Shutdown(SocketShutdown.Send);
        LoopHarness.Until(() => Volatile.Read(ref endSeen) > 0, "the end seen behind unread bytes");
        LoopHarness.Settle(harness.Loop);
        Assert.Equal(0, handler.ClosedCalls);
        Assert.Equal(1, endSeen);

        LoopHarness.On(harness.Loop, () =>
        {
            paused = false;
            connection.ResumeReading();
        });
        LoopHarness.Until(() => handler.ClosedCalls == 1, "OnClosed");
        Assert.Equal(10_000, received);
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_reset_by_the_peer_closes_with_an_error(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new TestHandler();
        var (_, peer) = harness.Pair(harness.Loop, handler);
        peer.LingerState = new LingerOption(true, 0);
        peer.Close();
        LoopHarness.Until(() => handler.ClosedCalls == 1, "OnClosed");
        Assert.Equal(SocketError.ConnectionReset, Assert.IsType<SocketException>(handler.Error).SocketErrorCode);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Sending_to_a_peer_that_is_gone_closes(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new TestHandler();

        // Only the failing send can tell: the gate leaves everything else alone.
        var (connection, peer) = harness.Pair(harness.Loop, handler);
        peer.LingerState = new LingerOption(true, 0);
        LoopHarness.On(harness.Loop, () =>
        {
            peer.Close();
            for (var i = 0; i < 100; i++)
                connection.Send([1, 2, 3]);
            Assert.Equal(0, handler.ClosedCalls);
        });
        LoopHarness.Until(() => handler.ClosedCalls == 1, "OnClosed");
        Assert.IsType<SocketException>(handler.Error);
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Connecting_where_nobody_listens_ends_in_OnClosed_with_the_error(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        int port;
        using (var free = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            // Bound, not listening: nobody else gets the port meanwhile.
            free.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            port = ((IPEndPoint)free.LocalEndPoint!).Port;
            var handler = new TestHandler();
            LoopHarness.On(harness.Loop, () =>
            {
                harness.Loop.Connect(new IPEndPoint(IPAddress.Loopback, port), SocketOptions.Default, handler);
                Assert.Equal(0, handler.ClosedCalls);
            });
            LoopHarness.Until(() => handler.ClosedCalls == 1, "OnClosed");
            Assert.Equal(SocketError.ConnectionRefused, Assert.IsType<SocketException>(handler.Error).SocketErrorCode);
            Assert.Equal(0, handler.ConnectedCalls);
        }

        var missing = new TestHandler();
        LoopHarness.On(harness.Loop, () =>
        {
            harness.Loop.Connect(new UnixDomainSocketEndPoint("/nonexistent/.s.PGSQL.5432"), SocketOptions.Default, missing);
            Assert.Equal(0, missing.ClosedCalls);
        });
        LoopHarness.Until(() => missing.ClosedCalls == 1, "OnClosed for the missing Unix socket");
        Assert.IsType<SocketException>(missing.Error);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_begun_connection_sends_what_was_given_before_it_was_established(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(_ => new TestHandler { Received = Echo });
        var answer = new List<byte>();
        var handler = new TestHandler
        {
            Received = (_, data) =>
            {
                answer.AddRange(data);
                return data.Length;
            },
        };
        handler.Connected = connection => connection.Send([3, 4]);
        var options = new SocketOptions { KeepAlive = true, KeepIdle = 60, KeepInterval = 10, KeepCount = 3, UserTimeout = 5_000, BufferSize = 65_536 };
        var connection = LoopHarness.On(harness.Loop, () =>
        {
            var connection = harness.Loop.Connect(harness.EndPoint, options, handler);
            Assert.False(connection.Send([1, 2]));
            return connection;
        });
        LoopHarness.Until(() => LoopHarness.On(harness.Loop, () => answer.Count) == 4, "the echo");
        Assert.Equal((byte[])[1, 2, 3, 4], answer);
        Assert.Equal(1, handler.ConnectedCalls);
        Assert.Equal(harness.EndPoint, connection.RemoteEndPoint);
        Assert.IsType<IPEndPoint>(connection.LocalEndPoint);
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Closing_after_sending_lets_the_peer_read_everything(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var last = LoopHarness.Pattern(3_000_000);
        var handler = new TestHandler
        {
            // The peer's bytes are never read: a plain close would reset the connection under the peer's hands.
            Readable = (connection, _) =>
            {
                connection.Send(last);
                connection.CloseAfterSend();
                Assert.True(connection.IsClosed);
                return ReadAnswer.Pause;
            },
        };
        harness.Listen(_ => handler);
        var peer = harness.ConnectPeer();
        peer.Send(new byte[50_000]);
        Assert.Equal(last, LoopHarness.ReceiveAll(peer));
        Assert.Equal(0, handler.ClosedCalls);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_handler_that_throws_loses_its_connection_and_no_other(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var failing = new TestHandler { Received = (_, _) => throw new InvalidOperationException("meant") };
        var (_, failingPeer) = harness.Pair(harness.Loop, failing);
        var (_, healthyPeer) = harness.Pair(harness.Loop, new TestHandler { Received = Echo });
        failingPeer.Send([1]);
        LoopHarness.Until(() => failing.ClosedCalls == 1, "OnClosed");
        Assert.Equal("meant", Assert.IsType<InvalidOperationException>(failing.Error).Message);
        Assert.Equal(0, failingPeer.Receive(new byte[1]));

        healthyPeer.Send([7]);
        Assert.Equal([7], LoopHarness.ReceiveExactly(healthyPeer, 1));
        Assert.Equal(failing.Error, Assert.Single(harness.Errors.Exceptions));
        harness.Errors.Exceptions.Clear();
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_busy_connection_does_not_starve_the_others_of_its_loop(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        using var enough = new CancellationTokenSource();
        var (_, busy) = harness.Pair(harness.Loop, new TestHandler());
        var sending = Task.Run(
            () =>
            {
                var chunk = new byte[1_000_000];
                while (!enough.IsCancellationRequested)
                    busy.Send(chunk);
            },
            TestContext.Current.CancellationToken);
        var (_, quiet) = harness.Pair(harness.Loop, new TestHandler { Received = Echo });
        for (var i = 0; i < 100; i++)
        {
            quiet.Send([(byte)i]);
            Assert.Equal([(byte)i], LoopHarness.ReceiveExactly(quiet, 1));
        }

        enough.Cancel();
        await sending.WaitAsync(LoopHarness.Deadline, TestContext.Current.CancellationToken);
    }

    [Fact]
    public void On_epoll_an_exchange_allocates_nothing()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "There is no epoll.");
        const int Exchanges = 2_000;
        using var harness = new LoopHarness(LoopBackend.Epoll);
        var (_, peer) = harness.Pair(harness.Loop, new TestHandler { Received = Echo });
        var buffer = new byte[100];
        Exchange(200);
        var before = LoopHarness.On(harness.Loop, GC.GetAllocatedBytesForCurrentThread);
        Exchange(Exchanges);
        var after = LoopHarness.On(harness.Loop, GC.GetAllocatedBytesForCurrentThread);

        // Asking allocates a little itself.
        Assert.InRange(after - before, 0, Exchanges);

        void Exchange(int times)
        {
            for (var i = 0; i < times; i++)
            {
                peer.Send(buffer);
                for (var received = 0; received < buffer.Length;)
                    received += peer.Receive(buffer, received, buffer.Length - received, SocketFlags.None);
            }
        }
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
