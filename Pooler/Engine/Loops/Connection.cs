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

    /// <summary>
    /// The process at the other end of a Unix socket, asked from the kernel; null for TCP, where the system does not
    /// tell, and once the connection is closed.
    /// </summary>
    public virtual PeerCredentials? Peer => null;

    /// <summary>What TLS agreed on; null while and when bytes go in the clear.</summary>
    public TlsInfo? Tls { get; protected set; }

    /// <summary>Whether the connection is closed, from either side.</summary>
    public abstract bool IsClosed { get; }

    /// <summary>
    /// Whether bytes given to <see cref="Send"/> wait for the peer to take them. When they are gone the handler gets
    /// <see cref="IConnectionHandler.OnDrained"/>.
    /// </summary>
    public abstract bool HasPendingOutput { get; }

    /// <summary>Whether bytes the handler did not consume are kept for the next delivery.</summary>
    public abstract bool HasKeptInput { get; }

    /// <summary>Whether <see cref="EventLoop.Take"/> may move it: open, reading, nothing pending or kept, no end announced.</summary>
    public abstract bool CanBeTaken { get; }

    /// <summary>
    /// Sends at once what the kernel takes, and keeps a copy of the rest. One call is one system call: gather first.
    /// </summary>
    /// <returns>True when nothing is left pending: false asks the caller to stop the source.</returns>
    public abstract bool Send(ReadOnlySpan<byte> data);

    /// <summary>
    /// Begins TLS on a connection that spoke in the clear. Ends in <see cref="IConnectionHandler.OnSecured"/> or
    /// <see cref="IConnectionHandler.OnClosed"/>, never inside this call; closing the connection calls it off. Until
    /// then nothing is delivered and nothing must be sent: it is dropped, as it would go in the clear.
    /// </summary>
    /// <param name="handshake">What to agree on.</param>
    /// <param name="received">Bytes already delivered that belong to the handshake; the handler counts them as consumed.</param>
    public abstract void StartTls(TlsHandshake handshake, ReadOnlySpan<byte> received);

    /// <summary>
    /// Stops reading. Bytes stay in the kernel (or kept, if already read). Idempotent. The handler is still asked when
    /// the peer ends or the connection breaks; see <see cref="IConnectionHandler.OnReadable"/>.
    /// </summary>
    public abstract void PauseReading();

    /// <summary>
    /// Reads again: first delivers kept bytes, even without new ones, then reads what the kernel has. The delivery
    /// happens later in this turn of the loop, never inside this call. Idempotent.
    /// </summary>
    public abstract void ResumeReading();

    /// <summary>
    /// Stops reading for as long as the whole pooler stands still, whatever the sessions resume or pause meanwhile. Pending
    /// output still goes out; nothing is delivered, and nobody is asked, until <see cref="LetGo"/>. Idempotent.
    /// </summary>
    public abstract void Hold();

    /// <summary>Ends <see cref="Hold"/>: goes on as if nothing had happened meanwhile. Idempotent.</summary>
    public abstract void LetGo();

    /// <summary>
    /// Whether another process can go on with it: its socket, and what is kept and pending, are all there is to it.
    /// </summary>
    public virtual bool CanBeHandedOver => false;

    /// <summary>The socket, as the operating system numbers it in this process.</summary>
    /// <exception cref="NotSupportedException">It cannot be handed over.</exception>
    public virtual int Descriptor => throw new NotSupportedException();

    /// <summary>A copy of the bytes that the handler has not consumed.</summary>
    public virtual byte[] CopyKeptInput() => [];

    /// <summary>A copy of the bytes that the peer has not taken.</summary>
    public virtual byte[] CopyPendingOutput() => [];

    /// <summary>
    /// Another process has the socket: gives this process's hold on it up without ending the connection. The handler
    /// hears nothing more.
    /// </summary>
    /// <remarks>On any thread, as long as the loop stands still or it is the loop's own.</remarks>
    public virtual void Abandon() => throw new NotSupportedException();

    /// <summary>Closes now and drops pending output. The handler hears nothing more.</summary>
    /// <remarks>
    /// A caller that owns a quiet connection through the pool's lock (see <see cref="EventLoop.Take"/>) may close it
    /// on any thread, without taking it over first.
    /// </remarks>
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
    /// The gate: something has arrived and nothing of it has been touched yet. Every read and every end of a
    /// connection passes here first (also the second and later reads of one turn), except the delivery of kept bytes.
    /// </summary>
    /// <param name="connection">The connection.</param>
    /// <param name="readiness">
    /// What is known without reading. While reading is paused only <see cref="Readiness.EndOfStream"/> and
    /// <see cref="Readiness.Broken"/> are asked about. There may be unread bytes before the end in both cases.
    /// </param>
    /// <remarks>
    /// <para>
    /// An idle server connection can be taken by another loop at any moment, also while this loop is looking at an
    /// event of it. So this call may come on the thread of a loop that has just lost the connection, at the same time
    /// as the new owner's calls. Until the answer is given the loop touches nothing of the connection, and after
    /// <see cref="ReadAnswer.NotMine"/> it still doesn't. For a connection that others may take, decide under the lock
    /// that guards the taking: if it is idle on the shelf of the current thread's loop, take it off (nobody else can
    /// get it now) and answer <see cref="ReadAnswer.Read"/>; if it is not there, <see cref="ReadAnswer.NotMine"/>.
    /// If it is granted but <see cref="OnMoved"/> has not come yet, that is <see cref="ReadAnswer.NotMine"/> too.
    /// </para>
    /// <para>
    /// Without the lock the handler may look at its own state, but change nothing: an answer that came from the new
    /// owner's state is recognised (the take changed the generation before it) and dropped.
    /// </para>
    /// </remarks>
    ReadAnswer OnReadable(Connection connection, Readiness readiness);

    /// <summary>
    /// Bytes were read. They may be changed in place, and are gone when this returns. No bytes at all when the gate was
    /// answered with <see cref="ReadAnswer.Read"/> for nothing: what was taken for it can be given back.
    /// </summary>
    /// <returns>
    /// How many bytes were consumed. The rest is kept and delivered again in front of the bytes that follow, or, when
    /// reading is paused, after <see cref="Connection.ResumeReading"/>. A handler that consumes less without pausing
    /// needs more bytes to go on. A handler that puts the connection where other loops can take it must consume all:
    /// the loop then touches nothing of the connection after this call.
    /// </returns>
    int OnReceived(Connection connection, Span<byte> data);

    /// <summary>All pending output has been taken by the peer.</summary>
    void OnDrained(Connection connection);

    /// <summary>The connection now belongs to another loop, on whose thread this runs; see <see cref="EventLoop.Take"/>.</summary>
    /// <remarks>
    /// Once per announced take, unless the connection is taken again before. A handler that puts a connection where
    /// others can take it before this has come must check under their lock that it is still this loop's.
    /// </remarks>
    void OnMoved(Connection connection);

    /// <summary>TLS was agreed on: <see cref="Connection.Tls"/> tells what, and bytes are delivered again.</summary>
    void OnSecured(Connection connection) => throw new InvalidOperationException("This handler begins no TLS.");

    /// <summary>
    /// The peer closed the connection, or it failed, or connecting failed, or a handler threw. Called once, after the
    /// last byte was delivered or after <see cref="ReadAnswer.Close"/>; not called after
    /// <see cref="Connection.Close"/> or <see cref="Connection.CloseAfterSend"/>.
    /// </summary>
    /// <param name="connection">The connection, already closed.</param>
    /// <param name="error">The socket error, or null for an orderly end of stream.</param>
    void OnClosed(Connection connection, Exception? error);
}

/// <summary>What the loop knows of a connection's input without reading it.</summary>
public enum Readiness
{
    /// <summary>There are bytes to read, as far as known.</summary>
    Bytes,

    /// <summary>The peer will send nothing more (it closed, or closed its sending half).</summary>
    EndOfStream,

    /// <summary>The connection is gone in both directions (reset, failed, or closed by both).</summary>
    Broken,
}

/// <summary>A handler's answer to <see cref="IConnectionHandler.OnReadable"/>.</summary>
public enum ReadAnswer
{
    /// <summary>Read now. If reading was paused it is resumed, kept bytes first.</summary>
    Read,

    /// <summary>
    /// Mine, but not now: reading is paused until <see cref="Connection.ResumeReading"/>. What has arrived stays in
    /// the kernel, and so does the end of the stream, which reading finds again after all bytes.
    /// </summary>
    Pause,

    /// <summary>
    /// Give it up: unread and kept bytes are dropped and <see cref="IConnectionHandler.OnClosed"/> is called. The
    /// answer of a client that waits for a server and whose peer has ended: nobody would read the result.
    /// </summary>
    Close,

    /// <summary>Another loop has taken it. The loop touches nothing.</summary>
    NotMine,
}
