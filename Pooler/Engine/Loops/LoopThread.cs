using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Loops;

/// <summary>What both kinds of loop share: the thread and its turns, posted work, timers, and the ready list.</summary>
internal abstract partial class LoopThread : EventLoop
{
    /// <summary>Bytes per read. 16 KiB was the best for bulk transfers (measured with a prototype against 4 to 256 KiB).</summary>
    public const int ReceiveBufferSize = 16 * 1024;

    private readonly ILogger _logger;
    private readonly TimerHeap _timers = new();
    private readonly Lock _postLock = new();
    private List<PostedWork> _posted = [];
    private List<PostedWork> _postedRunning = [];
    private List<ReadyEntry> _ready = [];
    private List<ReadyEntry> _readyRunning = [];
    private Thread? _thread;
    private int _threadId;
    private bool _wakeRequested;
    private bool _stopped;
    private volatile bool _stopping;
    private int _acceptedConnections;
    private long _busy;
    private byte[]? _decryptionBuffer;
    private byte[]? _encryptionBuffer;

    protected LoopThread(int index, TimeProvider timeProvider, ConnectionTable table, ILogger logger)
        : base(index, timeProvider)
    {
        _logger = logger;
        Table = table;
        RefreshNow();
    }

    public ConnectionTable Table { get; }

    /// <summary>
    /// The one receive buffer. Pinned, because it lives as long as the loop and the kernel writes to it all the time.
    /// </summary>
    public byte[] ReceiveBuffer { get; } = GC.AllocateUninitializedArray<byte>(ReceiveBufferSize, pinned: true);

    /// <summary>
    /// Where connections with TLS decrypt to: kept input that is put in front, and two records of the usual size, as one
    /// read of the socket brings them.
    /// </summary>
    public byte[] DecryptionBuffer => _decryptionBuffer ??= GC.AllocateUninitializedArray<byte>(ReceiveBufferSize + 2 * TlsRecord.MaxPlaintext);

    /// <summary>Where connections with TLS gather what they encrypt.</summary>
    public byte[] EncryptionBuffer => _encryptionBuffer ??= GC.AllocateUninitializedArray<byte>(TlsRecord.MaxPlaintext);

    /// <summary>How many clients the listener has given to this loop that are still open. Any thread may ask.</summary>
    public int AcceptedConnections => Volatile.Read(ref _acceptedConnections);

    internal override long BusyTime => Volatile.Read(ref _busy);

    public override bool IsCurrent => Environment.CurrentManagedThreadId == _threadId;

    public void CountAccepted(int change) => Interlocked.Add(ref _acceptedConnections, change);

    public void Start(string name)
    {
        if (_thread is not null)
            throw new InvalidOperationException("The loop has been started.");
        _thread = new Thread(Run) { Name = name, IsBackground = true };
        _thread.Start();
    }

    /// <summary>Makes the thread end after this turn. From any thread.</summary>
    public void RequestStop()
    {
        _stopping = true;
        if (_thread is not null)
            Wake();
    }

    /// <summary>Waits for the thread to end.</summary>
    public void Join() => _thread?.Join();

    /// <summary>Closes what the loop has, without telling the handlers. After its thread ended.</summary>
    public void CloseAll()
    {
        lock (_postLock)
        {
            _stopped = true;
            _posted.Clear();
        }

        foreach (var connection in Table.Of(this))
            connection.Close();
        Release();
    }

    public override void Post(Action<object?> callback, object? state)
    {
        lock (_postLock)
        {
            if (_stopped)
                return;
            _posted.Add(new PostedWork(callback, state));
            if (_wakeRequested)
                return;
            _wakeRequested = true;
        }

        if (!IsCurrent)
            Wake();
    }

    public override LoopTimer Schedule(long delay, Action<object?> callback, object? state) =>
        _timers.Add(Now + Math.Max(0, delay), callback, state);

    public override void Take(Connection connection, bool announce)
    {
        var moving = (LoopConnection)connection;

        // To the same loop too, when it is announced: an event may have been answered with NotMine meanwhile.
        if (announce || moving.Loop != this)
            moving.MoveTo(this, announce);
    }

    /// <summary>Looks at the connection again in the next turn, before the loop waits for anything.</summary>
    public void AddReady(LoopConnection connection, int generation, Readiness readiness) =>
        _ready.Add(new ReadyEntry(connection, generation, readiness));

    /// <summary>Hands an event to its connection. What a handler throws costs that connection, not the loop.</summary>
    public void Dispatch(LoopConnection connection, int generation, LoopEvents events)
    {
        try
        {
            connection.OnEvents(this, generation, events);
        }
        catch (Exception exception)
        {
            HandlerFailed(connection, generation, exception);
        }
    }

    /// <summary>The same for anything else that calls a connection's handler.</summary>
    public void Guard<T>(LoopConnection connection, int generation, T argument, Action<LoopConnection, T> action)
    {
        try
        {
            action(connection, argument);
        }
        catch (Exception exception)
        {
            HandlerFailed(connection, generation, exception);
        }
    }

    /// <summary>
    /// Waits for at most <paramref name="microseconds"/> (less than 0: for ever) until the sockets or <see cref="Wake"/>
    /// have something, calls <see cref="RefreshNow"/>, and handles it.
    /// </summary>
    protected abstract void WaitAndDispatch(long microseconds);

    /// <summary>Ends <see cref="WaitAndDispatch"/>, or makes the next one return at once. From any thread.</summary>
    protected abstract void Wake();

    /// <summary>Registers a connected socket the listener accepted, counted already. The handler comes from <paramref name="accepted"/>.</summary>
    public void AdoptClient(in AcceptedSocket socket, Func<Connection, IConnectionHandler?> accepted)
    {
        LoopConnection connection;
        try
        {
            connection = Adopt(socket);
        }
        catch (Exception)
        {
            CountAccepted(-1);
            throw;
        }

        connection.MarkAccepted();
        try
        {
            if (accepted(connection) is { } handler)
                connection.Handler = handler;
            else
                connection.Close();
        }
        catch (Exception)
        {
            connection.Close();
            throw;
        }
    }

    /// <summary>Registers a connected socket without a handler yet; on failure it is closed.</summary>
    protected abstract LoopConnection Adopt(in AcceptedSocket socket);

    /// <summary>Frees what the loop has, after its thread is done. Idempotent.</summary>
    protected abstract void Release();

    protected void RefreshNow()
    {
        Now = LoopClock.Microseconds(TimeProvider);
    }

    private void Run()
    {
        _threadId = Environment.CurrentManagedThreadId;
        try
        {
            while (!_stopping)
            {
                WaitAndDispatch(WaitingTime());
                RunReady();
                RunPosted();
                RunTimers();
                // The one clock call that a turn needs beside RefreshNow.
                _busy += LoopClock.Microseconds(TimeProvider) - Now;
            }
        }
        catch (Exception exception)
        {
            // Only the loop's own machinery can get here (epoll_wait failing, out of memory): nothing can go on.
            LogLoopFailed(_logger, Index, exception);
            Environment.FailFast("An event loop failed.", exception);
        }
    }

    private long WaitingTime()
    {
        if (_ready.Count > 0 || Volatile.Read(ref _wakeRequested))
            return 0;
        var due = _timers.NextDue;
        return due == long.MaxValue ? -1 : Math.Max(0, due - Now);
    }

    private void RunReady()
    {
        if (_ready.Count == 0)
            return;
        (_ready, _readyRunning) = (_readyRunning, _ready);
        foreach (var entry in _readyRunning)
        {
            try
            {
                entry.Connection.OnReady(this, entry.Generation, entry.Readiness);
            }
            catch (Exception exception)
            {
                HandlerFailed(entry.Connection, entry.Generation, exception);
            }
        }

        _readyRunning.Clear();
    }

    private void RunPosted()
    {
        if (!Volatile.Read(ref _wakeRequested))
            return;
        lock (_postLock)
        {
            (_posted, _postedRunning) = (_postedRunning, _posted);
            _wakeRequested = false;
        }

        foreach (var work in _postedRunning)
            RunCallback(work.Callback, work.State);
        _postedRunning.Clear();
    }

    private void RunTimers()
    {
        if (_timers.NextDue > Now)
            return;
        // Those that are due next were to run with the first at the latest. By the clock: the turn's own work before has made them late, too.
        Lag.Record(LoopClock.Microseconds(TimeProvider) - _timers.NextDue);
        var newest = _timers.Newest;
        while (_timers.TryTake(Now, newest, out var callback, out var state))
            RunCallback(callback, state);
    }

    private void RunCallback(Action<object?> callback, object? state)
    {
        try
        {
            callback(state);
        }
        catch (Exception exception)
        {
            LogCallbackFailed(_logger, Index, exception);
        }
    }

    private void HandlerFailed(LoopConnection connection, int generation, Exception exception)
    {
        LogHandlerFailed(_logger, Index, exception);
        try
        {
            connection.FailIfOwned(generation, exception);
        }
        catch (Exception second)
        {
            LogHandlerFailed(_logger, Index, second);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "A connection's handler failed on loop {Loop}; the connection is closed", EventName = "handler_failed")]
    private static partial void LogHandlerFailed(ILogger logger, int loop, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "Posted work or a timer failed on loop {Loop}", EventName = "callback_failed")]
    private static partial void LogCallbackFailed(ILogger logger, int loop, Exception exception);

    [LoggerMessage(Level = LogLevel.Critical, Message = "Loop {Loop} failed", EventName = "loop_failed")]
    private static partial void LogLoopFailed(ILogger logger, int loop, Exception exception);

    private readonly record struct PostedWork(Action<object?> Callback, object? State);

    private readonly record struct ReadyEntry(LoopConnection Connection, int Generation, Readiness Readiness);
}

/// <summary>What a loop has learnt about a socket.</summary>
[Flags]
internal enum LoopEvents
{
    None = 0,

    /// <summary>There is something to read, be it the end.</summary>
    Readable = 1,

    /// <summary>The kernel takes bytes (again), or a connection begun is established or failed.</summary>
    Writable = 2,

    /// <summary>The peer sends nothing more.</summary>
    EndOfStream = 4,

    /// <summary>Gone in both directions, or failed.</summary>
    Broken = 8,
}

/// <summary>
/// What the listener accepted: a bare non-blocking descriptor for an <see cref="EpollLoop"/>, else a <see cref="Socket"/>.
/// </summary>
internal readonly record struct AcceptedSocket(int Descriptor, Socket? Socket);
