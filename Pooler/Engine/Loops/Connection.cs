using System.Net;

namespace Pooler.Engine.Loops;

/// <summary>
/// One stream socket on a loop. Knows bytes, not PostgreSQL. An idle connection holds no buffer: bytes are read into
/// the loop's one receive buffer, and only what the handler did not consume, or the peer did not take, is kept.
/// </summary>
/// <remarks>All members are for the thread of <see cref="Loop"/>, except where they say otherwise.</remarks>
public abstract class Connection
{
    private volatile EventLoop _loop = null!;

    /// <summary>The loop that owns the connection now. Any thread may read it.</summary>
    public EventLoop Loop
    {
        get => _loop;
        protected internal set => _loop = value;
    }

    /// <summary>Who hears of this connection's events.</summary>
    public IConnectionHandler Handler { get; set; } = null!;

    /// <summary>Address of the other end: an IP endpoint, or a Unix socket.</summary>
    public abstract EndPoint? RemoteEndPoint { get; }

    /// <summary>Address of this end.</summary>
    public abstract EndPoint? LocalEndPoint { get; }

    /// <summary>Whether the connection is closed, from either side.</summary>
    public abstract bool IsClosed { get; }

    /// <summary>
    /// Whether bytes given to <see cref="Send"/> wait for the peer to take them. When they are gone the handler gets
    /// <see cref="IConnectionHandler.OnDrained"/>.
    /// </summary>
    public abstract bool HasPendingOutput { get; }

    /// <summary>Whether bytes the handler did not consume are kept for the next delivery.</summary>
    public abstract bool HasKeptInput { get; }

    /// <summary>
    /// Sends at once what the kernel takes, and keeps a copy of the rest. One call is one system call: gather first.
    /// </summary>
    /// <returns>True when nothing is left pending: false asks the caller to stop the source.</returns>
    public abstract bool Send(ReadOnlySpan<byte> data);

    /// <summary>Stops reading. Bytes stay in the kernel (or kept, if already read). Idempotent.</summary>
    public abstract void PauseReading();

    /// <summary>
    /// Reads again: first delivers kept bytes, even without new ones. The delivery happens later in this turn of the
    /// loop, never inside this call. Idempotent.
    /// </summary>
    public abstract void ResumeReading();

    /// <summary>Closes now and drops pending output. The handler hears nothing more.</summary>
    public abstract void Close();

    /// <summary>
    /// Sends what is pending, then closes in a way that lets the peer read it all (half-close, then wait for its end
    /// a moment at most). The handler hears nothing more.
    /// </summary>
    public abstract void CloseAfterSend();
}

/// <summary>Hears of a connection's events, always on the thread of the loop that owns the connection.</summary>
public interface IConnectionHandler
{
    /// <summary>A connection begun by <see cref="EventLoop.Connect"/> is established.</summary>
    void OnConnected(Connection connection);

    /// <summary>
    /// Bytes (or the end of the stream) have arrived but are not read yet. Returning false leaves them in the kernel
    /// and pauses reading, until <see cref="Connection.ResumeReading"/>. Not asked again before each delivery of
    /// kept bytes.
    /// </summary>
    bool OnReadable(Connection connection);

    /// <summary>
    /// Bytes were read. They may be changed in place, and are gone when this returns.
    /// </summary>
    /// <returns>
    /// How many bytes were consumed. The rest is kept and delivered again in front of the bytes that follow, or, when
    /// reading is paused, after <see cref="Connection.ResumeReading"/>. A handler that consumes less without pausing
    /// needs more bytes to go on.
    /// </returns>
    int OnReceived(Connection connection, Span<byte> data);

    /// <summary>All pending output has been taken by the peer.</summary>
    void OnDrained(Connection connection);

    /// <summary>The connection now belongs to another loop, on whose thread this runs; see <see cref="EventLoop.Take"/>.</summary>
    void OnMoved(Connection connection);

    /// <summary>
    /// The peer closed the connection, or it failed, or connecting failed. Called once, after the last byte was
    /// delivered; not called after <see cref="Connection.Close"/> or <see cref="Connection.CloseAfterSend"/>.
    /// Delivered also while reading is paused when the peer is known to be gone.
    /// </summary>
    /// <param name="connection">The connection, already closed.</param>
    /// <param name="error">The socket error, or null for an orderly end of stream.</param>
    void OnClosed(Connection connection, Exception? error);
}
