using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Loops;

/// <summary>
/// One thread that owns a set of connections and runs their handlers, timers and posted work, one at a time.
/// Everything a handler does to its own loop's connections therefore needs no lock.
/// </summary>
/// <remarks>
/// Members are for the loop's own thread unless they say otherwise. Two implementations keep the same contract:
/// epoll on Linux, <see cref="Socket"/> elsewhere (and on Linux when <c>io_backend = sockets</c>).
/// </remarks>
public abstract class EventLoop(int index, TimeProvider timeProvider)
{
    /// <summary>Position of the loop in its group, from 0. Pools keep one shelf of idle servers per index.</summary>
    public int Index { get; } = index;

    /// <summary>The clock behind <see cref="Now"/> and the timers.</summary>
    public TimeProvider TimeProvider { get; } = timeProvider;

    /// <summary>
    /// Monotonic time in microseconds, read once per turn of the loop: cheap, and the same for all that happens
    /// in one turn.
    /// </summary>
    public long Now { get; protected set; }

    /// <summary>Microseconds that its thread has spent on work, since the start. Any thread may ask.</summary>
    internal virtual long BusyTime => 0;

    /// <summary>How late its timers ran.</summary>
    internal TimeHistogram Lag { get; } = new();

    /// <summary>Whether the calling thread is this loop's thread. Any thread may ask.</summary>
    public abstract bool IsCurrent { get; }

    /// <summary>
    /// Runs <paramref name="callback"/> on the loop's thread, soon and in the order of posting. Any thread may post.
    /// Never runs inside this call. Work posted to a stopped loop is dropped.
    /// </summary>
    public abstract void Post(Action<object?> callback, object? state);

    /// <summary>
    /// Takes over a connected socket that was accepted elsewhere. The handler's first call is
    /// <see cref="IConnectionHandler.OnReadable"/>.
    /// </summary>
    public abstract Connection Adopt(Socket socket, IConnectionHandler handler);

    /// <summary>
    /// Goes on with a connection that another process has handed over, which the loop owns from here on. Kept bytes are
    /// delivered and pending ones sent as if the connection had been here all the time; reading is paused until
    /// <see cref="Connection.ResumeReading"/>. Before the loop starts, or on its thread.
    /// </summary>
    /// <exception cref="SocketException">The operating system does not take the socket; it is closed then.</exception>
    public virtual Connection Restore(int descriptor, IConnectionHandler? handler, ReadOnlySpan<byte> kept, ReadOnlySpan<byte> pending) =>
        throw new NotSupportedException();

    /// <summary>
    /// Begins a connection to <paramref name="endPoint"/> (IP or Unix socket; names are resolved elsewhere) without
    /// blocking. Ends in <see cref="IConnectionHandler.OnConnected"/> or <see cref="IConnectionHandler.OnClosed"/>,
    /// never inside this call.
    /// </summary>
    public abstract Connection Connect(EndPoint endPoint, SocketOptions options, IConnectionHandler handler);

    /// <summary>
    /// Moves a quiet connection (connected, reading not paused, no pending output, no kept bytes) from the loop that
    /// has it to this one. The caller must own the connection: for a server connection that means having taken it off
    /// the idle shelf under the pool's lock. May be called on any loop's thread.
    /// </summary>
    /// <remarks>
    /// With <paramref name="announce"/> the new loop may be at work on the connection before this call returns: write
    /// everything that <see cref="IConnectionHandler.OnMoved"/> looks at before calling, and touch nothing afterwards.
    /// Bytes that arrived earlier are announced again on the new loop. Events still under way on the old loop are
    /// dropped, except that its thread may be asking <see cref="IConnectionHandler.OnReadable"/> right now.
    /// </remarks>
    /// <param name="connection">The connection to move.</param>
    /// <param name="announce">
    /// True when the caller is not on this loop's thread: the loop then calls
    /// <see cref="IConnectionHandler.OnMoved"/> once, before any other event of the connection. False when this loop's
    /// own thread takes it: it owns the connection when the call returns.
    /// </param>
    public abstract void Take(Connection connection, bool announce);

    /// <summary>
    /// Calls <paramref name="callback"/> on this loop once <paramref name="delay"/> microseconds have passed.
    /// </summary>
    public abstract LoopTimer Schedule(long delay, Action<object?> callback, object? state);
}

/// <summary>A pending call of <see cref="EventLoop.Schedule"/>.</summary>
public abstract class LoopTimer
{
    /// <summary>Calls it off. Harmless when it has already fired. Only on the loop's thread.</summary>
    public abstract void Cancel();
}
