using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Pooler.Engine.Loops;
using Testing;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>A connection with TLS keeps the promises of one without, for every backend and both roles.</summary>
public sealed class TlsTests
{
    private static readonly X509Certificate2 Certificate = new TestCertificates().Issue("localhost", ["localhost"]).Load();

    public static TheoryData<LoopBackend> Backends => ConnectionTests.Backends;

    public static TheoryData<LoopBackend, SslProtocols> BackendsAndVersions { get; } = new(
        from backend in ConnectionTests.Backends
        from version in (SslProtocols[])[SslProtocols.Tls12, SslProtocols.Tls13]
        select (backend.Data, version));

    [Theory, MemberData(nameof(BackendsAndVersions))]
    public async Task Bytes_come_back_from_an_echo(LoopBackend backend, SslProtocols version)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(Accept(new SecuredHandler { Received = Echo }));
        using var peer = Secure(harness.ConnectPeer(), version);
        foreach (var length in (int[])[1, 2, 100, 16_383, 16_384, 16_385, 40_000, 200_000])
        {
            var sent = LoopHarness.Pattern(length, length);
            var receiving = Task.Run(() => Receive(peer, length));
            peer.Write(sent);
            Assert.Equal(sent, await receiving);
        }
    }

    [Theory, MemberData(nameof(BackendsAndVersions))]
    public async Task As_a_client_too(LoopBackend backend, SslProtocols version)
    {
        using var harness = new LoopHarness(backend);
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        listening.Listen(1);
        var handler = new SecuredHandler { Received = Echo };
        handler.Connected = connection => connection.StartTls(new TestHandshake(asServer: false, version), []);
        LoopHarness.On(harness.Loop, () => harness.Loop.Connect(listening.LocalEndPoint!, SocketOptions.Default, handler));
        using var peer = new SslStream(new NetworkStream(listening.Accept(), ownsSocket: true));
        peer.AuthenticateAsServer(Certificate);

        var sent = LoopHarness.Pattern(100_000);
        var receiving = Task.Run(() => Receive(peer, sent.Length));
        peer.Write(sent);
        Assert.Equal(sent, await receiving);
        Assert.Equal(version == SslProtocols.Tls13 ? "TLSv1.3" : "TLSv1.2", handler.Info!.Protocol);
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Records_may_arrive_byte_by_byte_and_many_at_once(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler { Received = Echo };
        harness.Listen(Accept(handler));
        var socket = harness.ConnectPeer();
        socket.NoDelay = true;
        var cut = new CutStream(new NetworkStream(socket)) { Piece = 1 };
        using var peer = Secure(cut);
        foreach (var piece in (int[])[1, 4, 5, 6, 1000])
        {
            cut.Piece = piece;
            peer.Write(LoopHarness.Pattern(300, piece));
            Assert.Equal(LoopHarness.Pattern(300, piece), Receive(peer, 300));
        }

        cut.Piece = int.MaxValue;
        cut.Gathers = true;
        for (var i = 0; i < 500; i++)
            peer.Write(LoopHarness.Pattern(20, i));
        cut.Release();
        for (var i = 0; i < 500; i++)
            Assert.Equal(LoopHarness.Pattern(20, i), Receive(peer, 20));
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Unconsumed_bytes_are_delivered_again_in_front_of_the_next(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var total = 0;
        harness.Listen(Accept(new SecuredHandler
        {
            Received = (connection, data) =>
            {
                // Nothing until 100 000 bytes are together, then all at once.
                if (data.Length < 100_000)
                    return 0;
                total = data.Length;
                connection.Send(data);
                return data.Length;
            },
        }));
        using var peer = Secure(harness.ConnectPeer());
        var sent = LoopHarness.Pattern(100_000);
        for (var at = 0; at < sent.Length; at += 2_500)
            peer.Write(sent.AsSpan(at, 2_500));
        Assert.Equal(sent, Receive(peer, sent.Length));
        Assert.Equal(sent.Length, total);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_paused_connection_delivers_what_came_meanwhile_when_it_is_resumed(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var received = new MemoryStream();
        var handler = new SecuredHandler();
        Connection? paused = null;
        handler.Received = (connection, data) =>
        {
            received.Write(data);
            connection.PauseReading();
            Volatile.Write(ref paused, connection);
            return data.Length;
        };
        harness.Listen(Accept(handler));
        using var peer = Secure(harness.ConnectPeer());
        var sent = LoopHarness.Pattern(60_000);
        foreach (var piece in sent.Chunk(1_000))
            peer.Write(piece);
        LoopHarness.Until(() => Volatile.Read(ref paused) is not null, "the first delivery");
        LoopHarness.Settle(harness.Loop);
        Assert.True(received.Length < sent.Length);
        LoopHarness.Until(
            () =>
            {
                LoopHarness.On(harness.Loop, () => paused!.ResumeReading());
                return received.Length == sent.Length;
            },
            "all bytes");
        Assert.Equal(sent, received.ToArray());
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_record_that_came_while_paused_is_delivered_though_nothing_follows_it(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var received = 0;
        var handler = new SecuredHandler
        {
            Received = (connection, data) =>
            {
                connection.PauseReading();
                Interlocked.Add(ref received, data.Length);
                return data.Length;
            },
        };
        var (connection, socket) = harness.Pair(harness.Loop, handler);
        LoopHarness.On(harness.Loop, () => connection.StartTls(new TestHandshake(asServer: true), []));
        using var peer = Secure(socket);
        peer.Write(new byte[3]);
        LoopHarness.Until(() => Volatile.Read(ref received) == 3, "the first record");
        peer.Write(new byte[5]);
        // Only this kind reads ahead; the other leaves it to the kernel.
        if (backend == LoopBackend.Sockets)
            LoopHarness.Until(() => LoopHarness.On(harness.Loop, () => connection.HasKeptInput), "the second has arrived");
        LoopHarness.On(harness.Loop, connection.ResumeReading);
        LoopHarness.Until(() => Volatile.Read(ref received) == 8, "the second record");
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_handler_that_was_asked_hears_that_a_record_is_not_whole_however_much_of_it_came(LoopBackend backend)
    {
        foreach (var length in (int[])[100, 16_384])
        {
            using var harness = new LoopHarness(backend);
            var (asked, told) = (0, 0);
            var handler = new SecuredHandler();
            handler.Readable = (_, _) =>
            {
                Interlocked.Increment(ref asked);
                return ReadAnswer.Read;
            };
            handler.Received = (_, data) =>
            {
                Interlocked.Increment(ref told);
                return data.Length;
            };
            var (connection, socket) = harness.Pair(harness.Loop, handler);
            LoopHarness.On(harness.Loop, () => connection.StartTls(new TestHandshake(asServer: true), []));
            using var peer = Secure(socket);
            LoopHarness.Until(() => handler.SecuredCalls == 1 && LoopHarness.On(harness.Loop, () => connection.CanBeTaken), "quiet");
            var before = Volatile.Read(ref asked);

            // The header of a record of 16 400 bytes, and not all of those.
            socket.Send([23, 3, 3, 0x40, 0x10, .. new byte[length - 5]]);

            LoopHarness.Until(
                () => Volatile.Read(ref asked) > before && Volatile.Read(ref told) == Volatile.Read(ref asked), $"told of the part of {length} bytes");
            Assert.True(LoopHarness.On(harness.Loop, () => connection.HasKeptInput));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_peer_that_does_not_read_is_waited_for_and_then_gets_all(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler();
        var sent = LoopHarness.Pattern(8_000_000);
        var pending = 0;
        handler.Received = (connection, data) =>
        {
            Assert.False(connection.Send(sent));
            Interlocked.Exchange(ref pending, connection.HasPendingOutput ? 1 : 2);
            return data.Length;
        };
        harness.Listen(Accept(handler));
        using var peer = Secure(harness.ConnectPeer());
        peer.Write([1]);
        LoopHarness.Until(() => Volatile.Read(ref pending) != 0, "the bytes are sent");
        Assert.Equal(1, Volatile.Read(ref pending));
        Assert.Equal(sent, Receive(peer, sent.Length));
        LoopHarness.Until(() => handler.DrainedCalls == 1, "drained");
    }

    [Theory, MemberData(nameof(Backends))]
    public void Close_after_send_ends_with_close_notify_behind_the_last_byte(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var sent = LoopHarness.Pattern(3_000_000);
        var handler = new SecuredHandler
        {
            Received = (connection, data) =>
            {
                connection.Send(sent);
                connection.CloseAfterSend();
                return data.Length;
            },
        };
        harness.Listen(Accept(handler));
        var transport = new CutStream(new NetworkStream(harness.ConnectPeer()));
        using var peer = Secure(transport);
        peer.Write([1]);
        Assert.Equal(sent, Receive(peer, sent.Length));
        Assert.Equal(0, peer.Read(new byte[1]));
        // The stream's end came from TLS: the socket's was not read for it.
        Assert.False(transport.EndSeen);
        Assert.Equal(0, handler.ClosedCalls);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Close_notify_alone_is_an_orderly_end(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var received = 0;
        var handler = new SecuredHandler { Received = (_, data) => Interlocked.Add(ref received, data.Length) >= 0 ? data.Length : 0 };
        harness.Listen(Accept(handler));
        using var peer = Secure(harness.ConnectPeer());
        peer.Write(new byte[30_000]);
        await peer.ShutdownAsync();
        LoopHarness.Until(() => handler.ClosedCalls == 1, "closed");
        Assert.Null(handler.Error);
        Assert.Equal(30_000, received);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_stream_cut_without_close_notify_ends_in_order_too(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler();
        harness.Listen(Accept(handler));
        var socket = harness.ConnectPeer();
        using var peer = Secure(socket);
        socket.Shutdown(SocketShutdown.Send);
        LoopHarness.Until(() => handler.ClosedCalls == 1, "closed");
        Assert.Null(handler.Error);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_forged_record_breaks_the_connection_behind_what_was_genuine(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var received = 0;
        var handler = new SecuredHandler { Received = (_, data) => Interlocked.Add(ref received, data.Length) >= 0 ? data.Length : 0 };
        harness.Listen(Accept(handler));
        var socket = harness.ConnectPeer();
        using var peer = Secure(socket);
        peer.Write(new byte[7]);
        socket.Send([23, 3, 3, 0, 32, .. new byte[32]]);
        LoopHarness.Until(() => handler.ClosedCalls == 1, "closed");
        Assert.NotNull(handler.Error);
        Assert.Equal(7, received);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Plain_bytes_after_the_handshake_break_the_connection(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler();
        harness.Listen(Accept(handler));
        var socket = harness.ConnectPeer();
        using var peer = Secure(socket);
        LoopHarness.Until(() => handler.SecuredCalls == 1, "secured");
        socket.Send("SELECT 1"u8);
        LoopHarness.Until(() => handler.ClosedCalls == 1, "closed");
        Assert.NotNull(handler.Error);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Garbage_instead_of_a_handshake_fails_at_once_and_tells_why(LoopBackend backend)
    {
        foreach (var garbage in (byte[][])[[0, 0, 0, 8, 4, 210, 22, 47], [22, 3, 1, 255, 255], [22, 9], [22, 3, 1, 0, 5, 1, 0, 0, 1, 7], new byte[70_000]])
        {
            using var harness = new LoopHarness(backend);
            var handler = new SecuredHandler();
            harness.Listen(Accept(handler));
            harness.ConnectPeer().Send(garbage);
            LoopHarness.Until(() => handler.ClosedCalls == 1, $"closed after {garbage.Length} bytes");
            Assert.NotNull(handler.Error);
            Assert.Equal(0, handler.SecuredCalls);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_peer_that_leaves_in_the_handshake_is_noticed(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler();
        harness.Listen(Accept(handler));
        var peer = harness.ConnectPeer();
        peer.Send([22, 3, 1, 0]);
        peer.Shutdown(SocketShutdown.Send);
        LoopHarness.Until(() => handler.ClosedCalls == 1, "closed");
        Assert.NotNull(handler.Error);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Closing_calls_a_handshake_off_and_nothing_is_sent_in_the_clear(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler();
        Connection? begun = null;
        harness.Listen(connection =>
        {
            Volatile.Write(ref begun, connection);
            return Accept(handler)(connection);
        });
        var peer = harness.ConnectPeer();
        LoopHarness.Until(() => Volatile.Read(ref begun) is not null, "accepted");
        LoopHarness.On(harness.Loop, () =>
        {
            begun!.Send("secret"u8);
            begun.CloseAfterSend();
        });
        Assert.Empty(LoopHarness.ReceiveAll(peer));
        LoopHarness.Settle(harness.Loop);
        Assert.Equal(0, handler.ClosedCalls + handler.SecuredCalls);
    }

    [Theory, MemberData(nameof(Backends))]
    public void What_the_client_sends_with_the_end_of_its_handshake_is_delivered(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(Accept(new SecuredHandler { Received = Echo }));
        var transport = new CutStream(new NetworkStream(harness.ConnectPeer())) { GathersAfterFirst = true };
        using var peer = Secure(transport);
        peer.Write("at once"u8);
        transport.Release();
        Assert.Equal("at once"u8.ToArray(), Receive(peer, 7));
    }

    [Theory, MemberData(nameof(Backends))]
    public void An_idle_connection_moves_between_loops_and_holds_no_buffer(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend, loops: 3);
        var handler = new SecuredHandler { Received = Echo };
        var (connection, socket) = harness.Pair(harness.Loop, handler);
        LoopHarness.On(harness.Loop, () => connection.StartTls(new TestHandshake(asServer: true), []));
        using var peer = Secure(socket);
        for (var round = 0; round < 30; round++)
        {
            var sent = LoopHarness.Pattern(round * 700 + 1, round);
            peer.Write(sent);
            Assert.Equal(sent, Receive(peer, sent.Length));
            var next = harness.Group.Loops[(round + 1) % 3];
            Assert.True(LoopHarness.On(connection.Loop, () => connection.CanBeTaken));
            Assert.False(LoopHarness.On(connection.Loop, () => connection.HasKeptInput));
            var taking = connection.Loop;
            LoopHarness.On(taking, () => next.Take(connection, announce: true));
            LoopHarness.Until(() => handler.MovedCalls == round + 1, "moved");
        }

        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Part_of_a_record_keeps_a_connection_from_being_taken(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var handler = new SecuredHandler();
        var (connection, socket) = harness.Pair(harness.Loop, handler);
        LoopHarness.On(harness.Loop, () => connection.StartTls(new TestHandshake(asServer: true), []));
        using var peer = Secure(socket);
        LoopHarness.Until(() => handler.SecuredCalls == 1 && LoopHarness.On(harness.Loop, () => connection.CanBeTaken), "quiet");
        socket.Send([23, 3, 3, 0, 100, 1, 2, 3]);
        LoopHarness.Until(() => !LoopHarness.On(harness.Loop, () => connection.CanBeTaken), "the part has arrived");
        Assert.Equal(0, handler.ClosedCalls);
    }

    private static Func<Connection, IConnectionHandler> Accept(TestHandler handler) => connection =>
    {
        connection.StartTls(new TestHandshake(asServer: true), []);
        return handler;
    };

    private static int Echo(Connection connection, Span<byte> data)
    {
        connection.Send(data);
        return data.Length;
    }

    private static SslStream Secure(Socket socket, SslProtocols version = SslProtocols.None) => Secure(new NetworkStream(socket), version);

    private static SslStream Secure(Stream transport, SslProtocols version = SslProtocols.None)
    {
        var peer = new SslStream(transport);
        peer.AuthenticateAsClient(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            EnabledSslProtocols = version,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        return peer;
    }

    private static byte[] Receive(Stream peer, int count)
    {
        var buffer = new byte[count];
        peer.ReadExactly(buffer);
        return buffer;
    }

    private sealed class TestHandshake(bool asServer, SslProtocols version = SslProtocols.None) : TlsHandshake
    {
        public override async Task<TlsInfo> RunAsync(SslStream stream)
        {
            if (asServer)
            {
                await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = Certificate });
            }
            else
            {
                await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
                {
                    TargetHost = "localhost",
                    EnabledSslProtocols = version,
                    RemoteCertificateValidationCallback = (_, _, _, _) => true,
                });
            }

            return new TlsInfo(stream.SslProtocol == SslProtocols.Tls13 ? "TLSv1.3" : "TLSv1.2", "", null, default);
        }
    }

    private sealed class SecuredHandler : TestHandler, IConnectionHandler
    {
        private int _secured;

        public int SecuredCalls => Volatile.Read(ref _secured);

        public TlsInfo? Info { get; private set; }

        public void OnSecured(Connection connection)
        {
            Info = connection.Tls;
            Interlocked.Increment(ref _secured);
        }
    }

    /// <summary>Sends in pieces of a chosen size, or gathers and sends all at once; notes whether the end was read.</summary>
    private sealed class CutStream(Stream inner) : Stream
    {
        private readonly MemoryStream _gathered = new();
        private int _writes;

        public int Piece { get; set; } = int.MaxValue;

        public bool Gathers { get; set; }

        /// <summary>Gathers from the second write on: the last flight of a TLS 1.3 client, and what follows.</summary>
        public bool GathersAfterFirst { get; init; }

        public bool EndSeen { get; private set; }

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public void Release()
        {
            Gathers = false;
            inner.Write(_gathered.ToArray());
            _gathered.SetLength(0);
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            var read = inner.Read(buffer, offset, count);
            if (read == 0 && count > 0)
                EndSeen = true;
            return read;
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (GathersAfterFirst && ++_writes == 2)
                Gathers = true;
            if (Gathers)
            {
                _gathered.Write(buffer, offset, count);
                return;
            }

            for (var at = 0; at < count; at += Piece)
            {
                inner.Write(buffer, offset + at, Math.Min(Piece, count - at));
                if (Piece == int.MaxValue)
                    break;
            }
        }

        public override void Flush() => inner.Flush();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
