using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Loops;

namespace Pooler.UnitTests.Sessions;

/// <summary>A clock that stands still until it is told to go on.</summary>
internal sealed class ManualClock : TimeProvider
{
    /// <summary>Microseconds; not zero, which sessions take for "never".</summary>
    public long Now { get; set; } = 1_000_000_000;

    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => Now;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch + TimeSpan.FromMicroseconds(Now);
}

/// <summary>A loop without a thread and without sockets: a test turns it.</summary>
internal sealed class ManualLoop : EventLoop
{
    private readonly ManualClock _clock;
    private readonly Queue<Action> _posted = new();
    private readonly List<Timer> _timers = [];

    public ManualLoop(ManualClock clock, int index = 0) : base(index, clock)
    {
        _clock = clock;
        Now = clock.Now;
    }

    /// <summary>Connections begun on this loop, in order.</summary>
    public List<ManualConnection> Begun { get; } = [];

    public override bool IsCurrent => true;

    public override void Post(Action<object?> callback, object? state) => _posted.Enqueue(() => callback(state));

    public override Connection Adopt(Socket socket, IConnectionHandler handler) => throw new NotSupportedException();

    public override Connection Connect(EndPoint endPoint, SocketOptions options, IConnectionHandler handler)
    {
        var connection = new ManualConnection(this) { Handler = handler, EndPoint = endPoint };
        Begun.Add(connection);
        return connection;
    }

    public override void Take(Connection connection, bool announce)
    {
        ((ManualConnection)connection).MoveTo(this);
        if (announce) _posted.Enqueue(() => connection.Handler.OnMoved(connection));
    }

    public override LoopTimer Schedule(long delay, Action<object?> callback, object? state)
    {
        var timer = new Timer(Now + delay, () => callback(state));
        _timers.Add(timer);
        return timer;
    }

    /// <summary>Runs what is posted, and what that posts.</summary>
    public void Run()
    {
        while (_posted.TryDequeue(out var work)) work();
    }

    /// <summary>Lets time pass in small steps, and runs what falls due.</summary>
    public void Advance(TimeSpan time)
    {
        for (var left = (long)time.TotalMicroseconds; left > 0; left -= 10_000)
        {
            _clock.Now += Math.Min(left, 10_000);
            Now = _clock.Now;
            foreach (var timer in _timers.Where(t => t.Due <= Now).ToArray())
            {
                _timers.Remove(timer);
                timer.Fire();
            }
            Run();
        }
    }

    private sealed class Timer(long due, Action action) : LoopTimer
    {
        private bool _cancelled;

        public long Due => due;

        public void Fire()
        {
            if (!_cancelled) action();
        }

        public override void Cancel() => _cancelled = true;
    }
}

/// <summary>A connection whose other end is the test.</summary>
internal sealed class ManualConnection : Connection
{
    private readonly MemoryStream _sent = new();
    private byte[] _kept = [];
    private bool _closed;

    public ManualConnection(ManualLoop loop) => Loop = loop;

    public override EndPoint RemoteEndPoint => new IPEndPoint(IPAddress.Loopback, 5432);

    public override EndPoint LocalEndPoint => new IPEndPoint(IPAddress.Loopback, 6432);

    public override bool IsClosed => _closed;

    public override bool HasPendingOutput => false;

    public override bool HasKeptInput => _kept.Length > 0;

    public override bool CanBeTaken => !_closed && !IsPaused && _kept.Length == 0;

    public bool IsPaused { get; private set; }

    /// <summary>Where it was begun to.</summary>
    public EndPoint? EndPoint { get; init; }

    /// <summary>All that was sent so far, and forgets it.</summary>
    public byte[] TakeSent()
    {
        var bytes = _sent.ToArray();
        _sent.SetLength(0);
        return bytes;
    }

    /// <summary>Bytes arrive from the other end.</summary>
    public void Receive(ReadOnlySpan<byte> data)
    {
        if (_closed) return;
        if (IsPaused)
        {
            _kept = [.. _kept, .. data];
            return;
        }
        switch (Handler.OnReadable(this, Readiness.Bytes))
        {
            case ReadAnswer.Read:
                Deliver([.. _kept, .. data]);
                break;
            case ReadAnswer.Pause:
                IsPaused = true;
                _kept = [.. _kept, .. data];
                break;
            case ReadAnswer.Close:
                End();
                break;
            default:
                throw new InvalidOperationException("nobody reads what has arrived");
        }
    }

    /// <summary>The other end closes.</summary>
    public void End()
    {
        if (_closed) return;
        _closed = true;
        Handler.OnClosed(this, null);
    }

    /// <summary>Connecting fails.</summary>
    public void Refuse()
    {
        if (_closed) return;
        _closed = true;
        Handler.OnClosed(this, new SocketException((int)SocketError.ConnectionRefused));
    }

    public void MoveTo(ManualLoop loop) => Loop = loop;

    public override bool Send(ReadOnlySpan<byte> data)
    {
        if (!_closed) _sent.Write(data);
        return true;
    }

    public override void StartTls(TlsHandshake handshake, ReadOnlySpan<byte> received) =>
        throw new NotSupportedException("The test's bytes are in the clear.");

    public override void PauseReading() => IsPaused = true;

    public override void ResumeReading()
    {
        if (!IsPaused || _closed) return;
        IsPaused = false;
        if (_kept.Length == 0) return;
        Loop.Post(static state =>
        {
            var connection = (ManualConnection)state!;
            if (!connection._closed && !connection.IsPaused && connection._kept.Length > 0) connection.Deliver(connection._kept);
        }, this);
    }

    public override void Hold()
    {
    }

    public override void LetGo()
    {
    }

    public override void Close() => _closed = true;

    public override void CloseAfterSend() => _closed = true;

    private void Deliver(byte[] data)
    {
        _kept = [];
        var consumed = Handler.OnReceived(this, data);
        if (!_closed) _kept = data[consumed..];
    }
}
