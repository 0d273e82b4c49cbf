using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net.Sockets;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>Connections that change loops, as idle servers do.</summary>
public sealed class TakeTests
{
    public static TheoryData<LoopBackend> Backends => ConnectionTests.Backends;

    [Theory, MemberData(nameof(Backends))]
    public void An_announced_move_comes_before_any_other_event_on_the_new_loop(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend, loops: 2);
        var calls = new ConcurrentQueue<string>();
        var handler = new TestHandler
        {
            Moved = connection => calls.Enqueue($"moved to {connection.Loop.Index}"),
            Received = (connection, data) =>
            {
                calls.Enqueue($"received {data.Length} on {connection.Loop.Index}");
                return data.Length;
            },
        };
        var (connection, peer) = harness.Pair(harness.Group.Loops[0], handler);

        // Bytes that arrive just before the move are announced again after it.
        LoopHarness.On(harness.Group.Loops[0], () =>
        {
            peer.Send([1, 2, 3]);
            harness.Group.Loops[1].Take(connection, announce: true);
        });
        LoopHarness.Until(() => calls.Count == 2, "both calls");
        Assert.Equal(["moved to 1", "received 3 on 1"], calls);

        peer.Send([4]);
        LoopHarness.Until(() => calls.Count == 3, "the next bytes");
        Assert.Equal("received 1 on 1", calls.Last());
        Assert.Equal(1, handler.MovedCalls);
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Taken_by_its_own_loop_s_thread_a_connection_needs_no_announcement(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend, loops: 2);
        var received = 0;
        var handler = new TestHandler
        {
            Received = (_, data) =>
            {
                Interlocked.Add(ref received, data.Length);
                return data.Length;
            },
        };
        var (connection, peer) = harness.Pair(harness.Group.Loops[0], handler);
        LoopHarness.On(harness.Group.Loops[1], () =>
        {
            harness.Group.Loops[1].Take(connection, announce: false);
            Assert.Same(harness.Group.Loops[1], connection.Loop);
            Assert.True(connection.Send([5, 6]));
        });
        Assert.Equal([5, 6], LoopHarness.ReceiveExactly(peer, 2));
        peer.Send([7]);
        LoopHarness.Until(() => Volatile.Read(ref received) == 1, "bytes on the new loop");
        Assert.Equal(0, handler.MovedCalls);
        Assert.Empty(handler.Violations);
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_connection_that_is_not_quiet_cannot_be_taken(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend, loops: 2);
        var (connection, _) = harness.Pair(harness.Loop, new TestHandler());
        LoopHarness.On(harness.Loop, () =>
        {
            connection.PauseReading();
            Assert.Throws<InvalidOperationException>(() => harness.Group.Loops[1].Take(connection, announce: true));
        });
    }

    /// <summary>
    /// Servers lie on shelves, are taken by any loop for one exchange, and speak up by themselves at any moment, while
    /// they are taken too.
    /// </summary>
    [Theory, MemberData(nameof(Backends))]
    public async Task Servers_bounce_between_loops_while_their_peers_send_and_nothing_is_lost(LoopBackend backend)
    {
        const int Servers = 12;
        const int Exchanges = 20_000;
        using var harness = new LoopHarness(backend, loops: 4);
        var pool = new StressPool(harness.Group, Exchanges);
        var peers = new List<(Task Task, Socket Socket)>();
        for (var i = 0; i < Servers; i++)
        {
            var server = new StressServer(pool);
            var (connection, peer) = harness.Pair(harness.Group.Loops[i % 4], server);
            pool.Add(server, connection);
            var seed = i;
            var task = Task.Factory.StartNew(() => StressPeer.Run(peer, seed), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            peers.Add((task, peer));
        }

        foreach (var loop in harness.Group.Loops)
            loop.Post(pool.Drive, loop);
        LoopHarness.Until(() => pool.IsFinished || pool.Violations.Count > 0, "all exchanges");
        Assert.Empty(pool.Violations);

        // Every server lies on a shelf again, once; then its peer's end reaches it there.
        LoopHarness.Until(() => pool.Idle == Servers, "all servers back");
        foreach (var (_, socket) in peers)
            socket.Shutdown(SocketShutdown.Both);
        LoopHarness.Until(() => pool.Closed == Servers, "all ends");
        await Task.WhenAll(peers.Select(peer => peer.Task)).WaitAsync(LoopHarness.Deadline, TestContext.Current.CancellationToken);
        Assert.Empty(pool.Violations);
        Assert.Equal(pool.Announced, pool.Moved);
        Assert.True(pool.Announced > 100, $"only {pool.Announced} announced moves");
        Assert.True(pool.TakenOwn > 100, $"only {pool.TakenOwn} own takes");
    }

    private enum StressState
    {
        Idle,

        /// <summary>Taken off the shelf, not on its new loop yet.</summary>
        Granted,

        Linked,

        /// <summary>Taken off the shelf by its own loop, for what arrived by itself.</summary>
        Reading,

        Closed,
    }

    /// <summary>Frames of 8 bytes: R answers a request with its number, N is a notice with the next number.</summary>
    private static class StressPeer
    {
        public static void Run(Socket socket, int seed)
        {
            var random = new Random(seed);
            var request = new byte[8];
            var frame = new byte[8];
            long notices = 0;
            try
            {
                while (true)
                {
                    for (var received = 0; received < 8;)
                    {
                        var read = socket.Receive(request, received, 8 - received, SocketFlags.None);
                        if (read == 0)
                            return;
                        received += read;
                    }

                    if (random.Next(4) == 0)
                        Notice();
                    request[0] = (byte)'R';
                    if (random.Next(4) == 0)
                    {
                        var cut = random.Next(1, 8);
                        socket.Send(request, 0, cut, SocketFlags.None);
                        Thread.Yield();
                        socket.Send(request, cut, 8 - cut, SocketFlags.None);
                    }
                    else
                    {
                        socket.Send(request);
                    }

                    for (var i = random.Next(3); i > 0; i--)
                    {
                        Notice();
                        Thread.Yield();
                    }
                }
            }
            catch (SocketException)
            {
                // The test shut the socket down in the middle of a notice.
            }

            void Notice()
            {
                BinaryPrimitives.WriteInt64BigEndian(frame, notices++);
                frame[0] = (byte)'N';
                socket.Send(frame);
            }
        }
    }

    private sealed class StressPool(LoopGroup group, int exchanges)
    {
        private readonly Lock _lock = new();
        private readonly List<StressServer> _shelf = [];
        private readonly Random _random = new(3);
        private int _begun;
        private int _finished;
        private int _announced;
        private int _moved;
        private int _closed;
        private int _takenOwn;

        public ConcurrentQueue<string> Violations { get; } = new();

        public bool IsFinished => Volatile.Read(ref _finished) == exchanges;

        public int Idle
        {
            get
            {
                lock (_lock)
                    return _shelf.Count;
            }
        }

        public int Announced => Volatile.Read(ref _announced);

        public int Moved => Volatile.Read(ref _moved);

        public int Closed => Volatile.Read(ref _closed);

        public int TakenOwn => Volatile.Read(ref _takenOwn);

        public void Add(StressServer server, Connection connection)
        {
            server.Connection = connection;
            PutBack(server);
        }

        public void PutBack(StressServer server)
        {
            lock (_lock)
            {
                server.State = StressState.Idle;
                _shelf.Add(server);
            }
        }

        public void Finish() => Interlocked.Increment(ref _finished);

        public void NoteMove() => Interlocked.Increment(ref _moved);

        public void NoteClose() => Interlocked.Increment(ref _closed);

        /// <summary>A loop's turn: takes a server, its own or another's, for itself or for another loop.</summary>
        public void Drive(object? state)
        {
            var loop = (EventLoop)state!;
            StressServer? server = null;
            var target = loop;
            lock (_lock)
            {
                if (_begun == exchanges || Violations.Count > 0)
                    return;
                if (_shelf.Count > 0)
                {
                    _begun++;
                    var place = _random.Next(_shelf.Count);
                    server = _shelf[place];
                    _shelf.RemoveAt(place);
                    server.State = StressState.Granted;
                    if (_random.Next(2) == 0)
                        target = group.Loops[_random.Next(group.Loops.Count)];
                }
            }

            if (server is not null)
            {
                if (target != loop)
                {
                    Interlocked.Increment(ref _announced);
                    target.Take(server.Connection, announce: true);
                }
                else
                {
                    if (server.Connection.Loop != loop)
                    {
                        Interlocked.Increment(ref _takenOwn);
                        loop.Take(server.Connection, announce: false);
                    }

                    server.Begin();
                }
            }

            if (server is null)
                loop.Schedule(1_000, Drive, loop);
            else
                loop.Post(Drive, loop);
        }

        /// <summary>The gate for a server that is not known to be this loop's.</summary>
        public ReadAnswer Ask(StressServer server)
        {
            lock (_lock)
            {
                switch (server.State)
                {
                    case StressState.Idle when server.Connection.Loop.IsCurrent:
                        if (!_shelf.Remove(server))
                            Violations.Enqueue("idle, but not on the shelf");
                        server.State = StressState.Reading;
                        return ReadAnswer.Read;
                    case StressState.Reading or StressState.Linked when server.Connection.Loop.IsCurrent:
                        return ReadAnswer.Read;
                    default:
                        return ReadAnswer.NotMine;
                }
            }
        }
    }

    private sealed class StressServer(StressPool pool) : IConnectionHandler
    {
        private volatile StressState _state;
        private long _request;
        private long _notices;

        public Connection Connection { get; set; } = null!;

        public StressState State
        {
            get => _state;
            set => _state = value;
        }

        /// <summary>Sends a request; the loop's thread owns the server.</summary>
        public void Begin()
        {
            State = StressState.Linked;
            Span<byte> frame = stackalloc byte[8];
            BinaryPrimitives.WriteInt64BigEndian(frame, ++_request);
            if (!Connection.Send(frame))
                pool.Violations.Enqueue("the kernel took less than 8 bytes");
        }

        public void OnConnected(Connection connection) => pool.Violations.Enqueue("OnConnected");

        // Without the lock on the hot path, as a session does it: a wrong answer of a stale event has no effect.
        public ReadAnswer OnReadable(Connection connection, Readiness readiness) =>
            State == StressState.Linked ? ReadAnswer.Read : pool.Ask(this);

        public int OnReceived(Connection connection, Span<byte> data)
        {
            if (!connection.Loop.IsCurrent)
                pool.Violations.Enqueue("received on a wrong thread");
            if (State is not (StressState.Linked or StressState.Reading))
                pool.Violations.Enqueue($"received while {State}");
            var consumed = 0;
            var answered = false;
            for (; data.Length - consumed >= 8; consumed += 8)
            {
                var frame = data.Slice(consumed, 8);
                var kind = (char)frame[0];
                frame[0] = 0;
                var number = BinaryPrimitives.ReadInt64BigEndian(frame);
                if (kind == 'N' ? number != _notices++ : kind != 'R' || number != _request || State != StressState.Linked || answered)
                    pool.Violations.Enqueue($"{kind} {number} after request {_request} and {_notices} notices while {State}");
                answered |= kind == 'R';
            }

            // A part of a frame: it stays off the shelf until the rest is there.
            if (consumed < data.Length)
            {
                if (answered)
                {
                    pool.Finish();
                    State = StressState.Reading;
                }

                return consumed;
            }

            if (answered)
                pool.Finish();
            if (answered || State == StressState.Reading)
                pool.PutBack(this);
            return consumed;
        }

        public void OnDrained(Connection connection) => pool.Violations.Enqueue("OnDrained");

        public void OnMoved(Connection connection)
        {
            if (!connection.Loop.IsCurrent)
                pool.Violations.Enqueue("moved on a wrong thread");
            if (State != StressState.Granted)
                pool.Violations.Enqueue($"moved while {State}");
            pool.NoteMove();
            Begin();
        }

        public void OnClosed(Connection connection, Exception? error)
        {
            if (State != StressState.Reading)
                pool.Violations.Enqueue($"closed while {State}: {error}");
            State = StressState.Closed;
            pool.NoteClose();
        }
    }
}
