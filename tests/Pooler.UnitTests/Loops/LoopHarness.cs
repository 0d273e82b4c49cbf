using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>Loops of one backend, a listener on a free port, and ordinary sockets as peers.</summary>
internal sealed class LoopHarness : IDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly ConcurrentQueue<Socket> _peers = new();

    public LoopHarness(LoopBackend backend, int loops = 1, TimeProvider? timeProvider = null)
    {
        Group = new LoopGroup(backend, loops, timeProvider ?? TimeProvider.System, Errors);
        Group.Start();
    }

    public LoopGroup Group { get; }

    /// <summary>What the loops logged: exceptions that escaped from handlers and posted work.</summary>
    public ErrorLog Errors { get; } = new();

    public EventLoop Loop => Group.Loops[0];

    public Listener? Listener { get; private set; }

    public EndPoint EndPoint { get; private set; } = null!;

    public void Listen(Func<Connection, IConnectionHandler?> accepted, EndPoint? endPoint = null, ListenOptions? options = null)
    {
        Listener = new Listener(Group, accepted, NullLogger<Listener>.Instance);
        EndPoint = Listener.Listen(endPoint ?? new IPEndPoint(IPAddress.Loopback, 0), options ?? new ListenOptions());
        Listener.Start();
    }

    /// <summary>A connected, blocking socket with timeouts, so that a failing test ends.</summary>
    public Socket ConnectPeer()
    {
        var socket = new Socket(EndPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        _peers.Enqueue(socket);
        socket.ReceiveTimeout = socket.SendTimeout = (int)Deadline.TotalMilliseconds;
        socket.Connect(EndPoint);
        return socket;
    }

    /// <summary>A connection of the given loop, and its peer.</summary>
    public (Connection Connection, Socket Peer) Pair(EventLoop loop, IConnectionHandler handler)
    {
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listening.Listen(1);
        var peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _peers.Enqueue(peer);
        peer.ReceiveTimeout = peer.SendTimeout = (int)Deadline.TotalMilliseconds;
        peer.Connect(listening.LocalEndPoint!);
        var accepted = listening.Accept();
        return (On(loop, () => loop.Adopt(accepted, handler)), peer);
    }

    /// <summary>Runs something on a loop's thread and waits for its result.</summary>
    public static T On<T>(EventLoop loop, Func<T> function)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(
            _ =>
            {
                try
                {
                    done.SetResult(function());
                }
                catch (Exception exception)
                {
                    done.SetException(exception);
                }
            },
            null);
        return done.Task.WaitAsync(Deadline).GetAwaiter().GetResult();
    }

    public static void On(EventLoop loop, Action action) => On(loop, () =>
    {
        action();
        return true;
    });

    /// <summary>Waits until something is true, and fails with the message when it doesn't become so.</summary>
    public static void Until(Func<bool> condition, string what) =>
        Assert.True(SpinWait.SpinUntil(condition, Deadline), $"Did not happen: {what}");

    /// <summary>Waits for turns of the loop to pass, so that what was under way has arrived or never will.</summary>
    public static void Settle(EventLoop loop)
    {
        for (var i = 0; i < 20; i++)
            On(loop, () => { });
    }

    public static byte[] ReceiveExactly(Socket socket, int count)
    {
        var buffer = new byte[count];
        for (var received = 0; received < count;)
        {
            var read = socket.Receive(buffer, received, count - received, SocketFlags.None);
            Assert.True(read > 0, $"The stream ended after {received} of {count} bytes.");
            received += read;
        }

        return buffer;
    }

    public static byte[] ReceiveAll(Socket socket)
    {
        using var all = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (socket.Receive(buffer) is > 0 and var read)
            all.Write(buffer, 0, read);
        return all.ToArray();
    }

    /// <summary>Bytes whose order shows: a lost, doubled or swapped piece changes them.</summary>
    public static byte[] Pattern(int count, int seed = 1)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public void Dispose()
    {
        Listener?.Dispose();
        Group.Dispose();
        foreach (var peer in _peers)
            peer.Dispose();
        Assert.Empty(Errors.Exceptions);
    }
}

/// <summary>A handler made of functions, that notes what it hears and checks that it hears it on the right thread.</summary>
internal class TestHandler : IConnectionHandler
{
    private readonly ConcurrentQueue<string> _violations = new();
    private int _connected;
    private int _drained;
    private int _moved;
    private int _closed;

    public Func<Connection, Readiness, ReadAnswer> Readable { get; set; } = (_, _) => ReadAnswer.Read;

    public TestReceive Received { get; set; } = (_, data) => data.Length;

    public Action<Connection> Connected { get; set; } = _ => { };

    public Action<Connection> Drained { get; set; } = _ => { };

    public Action<Connection> Moved { get; set; } = _ => { };

    public Action<Connection> Closed { get; set; } = _ => { };

    public Exception? Error { get; private set; }

    public int ConnectedCalls => Volatile.Read(ref _connected);

    public int DrainedCalls => Volatile.Read(ref _drained);

    public int MovedCalls => Volatile.Read(ref _moved);

    public int ClosedCalls => Volatile.Read(ref _closed);

    public IReadOnlyCollection<string> Violations => _violations;

    public void OnConnected(Connection connection)
    {
        Check(connection, nameof(OnConnected));
        Connected(connection);
        Interlocked.Increment(ref _connected);
    }

    public ReadAnswer OnReadable(Connection connection, Readiness readiness) => Readable(connection, readiness);

    public int OnReceived(Connection connection, Span<byte> data)
    {
        Check(connection, nameof(OnReceived));
        return Received(connection, data);
    }

    public void OnDrained(Connection connection)
    {
        Check(connection, nameof(OnDrained));
        Drained(connection);
        Interlocked.Increment(ref _drained);
    }

    public void OnMoved(Connection connection)
    {
        Check(connection, nameof(OnMoved));
        Moved(connection);
        Interlocked.Increment(ref _moved);
    }

    public void OnClosed(Connection connection, Exception? error)
    {
        Check(connection, nameof(OnClosed));
        if (!connection.IsClosed)
            _violations.Enqueue("OnClosed of an open connection");
        Error = error;
        Closed(connection);
        Interlocked.Increment(ref _closed);
    }

    private void Check(Connection connection, string call)
    {
        if (!connection.Loop.IsCurrent)
            _violations.Enqueue($"{call} on a wrong thread");
        if (ClosedCalls > 0)
            _violations.Enqueue($"{call} after OnClosed");
    }
}

/// <summary>Keeps the exceptions that are logged.</summary>
internal sealed class ErrorLog : ILogger
{
    public ConcurrentQueue<Exception> Exceptions { get; } = new();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (exception is not null)
            Exceptions.Enqueue(exception);
    }
}

internal delegate int TestReceive(Connection connection, Span<byte> data);
