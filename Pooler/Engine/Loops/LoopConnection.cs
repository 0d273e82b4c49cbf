using System.Diagnostics;
using System.Net.Sockets;

namespace Pooler.Engine.Loops;

/// <summary>
/// The part of a connection that both kinds of loop share: when to ask the handler, what to keep, how to end. The
/// socket itself is the derived class's.
/// </summary>
/// <remarks>
/// <para>
/// Who may touch what: everything here belongs to the loop that owns the connection. But an event may be looked at by
/// a loop that has just lost it. <see cref="MoveTo"/> changes <see cref="_generation"/> before anything but the loop, so
/// whoever reads state first and then finds the event's generation unchanged (<see cref="TryGetFlags"/>) has read its
/// own state. What follows is safe when that state rules out a take: a connection that is connecting, paused,
/// lingering or has bytes kept or pending is not quiet, and only quiet ones are taken. All else goes
/// through <see cref="IConnectionHandler.OnReadable"/>, which decides under the pool's lock.
/// </para>
/// <para>
/// After <see cref="IConnectionHandler.OnReceived"/> consumed everything the connection may already lie on the shelf
/// again, or be taken: from there on nothing is touched without asking again.
/// </para>
/// </remarks>
internal abstract partial class LoopConnection : Connection
{
    private static int _lastGeneration;

    private HeldBytes _input;
    private HeldBytes _output;
    private volatile int _generation = Interlocked.Increment(ref _lastGeneration);
    private volatile int _flags;
    private SocketError _failure;

    /// <summary>
    /// The generation whose first event is to be preceded by <see cref="IConnectionHandler.OnMoved"/>. Not a flag: the
    /// handler may give the connection away again before it has come.
    /// </summary>
    private int _announced;

    [Flags]
    private protected enum State
    {
        /// <summary>Established, reading, nothing special: the only state in which it may be taken.</summary>
        None = 0,

        /// <summary>Begun by <see cref="EventLoop.Connect"/>, not established yet.</summary>
        Connecting = 1,

        /// <summary>Reading is paused.</summary>
        Paused = 2,

        /// <summary>Reading was resumed and kept bytes are to be delivered without waiting for more.</summary>
        DeliverKept = 4,

        /// <summary>While paused the end was announced: no further event will come, so a short read isn't the last.</summary>
        EndAnnounced = 8,

        /// <summary>While paused bytes were announced, and are still there.</summary>
        InputSeen = 16,

        /// <summary>The kernel refused to send because the peer is gone; the handler is about to be asked.</summary>
        SendFailed = 32,

        /// <summary><see cref="CloseAfterSend"/>: the handler has left, the rest is sent and the peer's end awaited.</summary>
        Lingering = 64,

        /// <summary>Lingering, and our end has been sent.</summary>
        EndSent = 128,

        Closed = 256,

        /// <summary>Counts among its loop's clients; see <see cref="LoopThread.AcceptedConnections"/>.</summary>
        Accepted = 512,

        /// <summary>The pooler stands still: see <see cref="Connection.Hold"/>.</summary>
        Held = 1024,

        /// <summary>A TLS handshake is under way: what arrives is its own, and the handler is not asked.</summary>
        Handshaking = 2048,
    }

    public override bool IsClosed => (Flags & (State.Closed | State.Lingering)) != 0;

    public override bool HasPendingOutput => !_output.IsEmpty;

    public override bool HasKeptInput => !_input.IsEmpty || _tls is { Received.IsEmpty: false };

    public override bool CanBeTaken =>
        (Flags & ~State.Accepted) == 0 && !HasPendingOutput && !HasKeptInput && _tls is not { Ended: true };

    internal LoopThread Owner => (LoopThread)Loop;

    /// <summary>Changes whenever events on their way become stale: on every move, and on closing.</summary>
    private protected int Generation => _generation;

    private protected State Flags
    {
        get => (State)_flags;
        set => _flags = (int)value;
    }

    private protected ref HeldBytes Output => ref _output;

    private protected ref HeldBytes Input => ref _input;

    // What the sockets of the two kinds of loop do differently.

    /// <summary>Reads without blocking: the count, 0 at the end, or -1 with the error.</summary>
    private protected abstract int TryReceive(Span<byte> buffer, out SocketError error);

    /// <summary>
    /// Whether there is something to read, be it the end. May be asked of a connection that another loop has just taken
    /// or closed; the answer is without value then, but harmless.
    /// </summary>
    private protected abstract bool HasInput();

    /// <summary>Sends without blocking: the count, or -1 with the error.</summary>
    private protected abstract int TrySend(ReadOnlySpan<byte> data, out SocketError error);

    /// <summary>The outcome of connecting, or the pending error of the socket.</summary>
    private protected abstract Exception? TakeError();

    /// <summary>Sends our end; the other direction stays open.</summary>
    private protected abstract void ShutdownSend();

    /// <summary>Frees the socket and the entry in the table.</summary>
    private protected abstract void CloseSocket();

    /// <summary>Re-registers the socket from one loop to another, under the new generation.</summary>
    private protected abstract void MoveSocket(LoopThread from, LoopThread to);

    /// <summary>
    /// Asks for an event once there is something to read. Edge-triggered loops need nothing. Harmless for a connection
    /// that another loop has just taken: the event goes to the loop that has it then.
    /// </summary>
    private protected virtual void ArmReading()
    {
    }

    /// <summary>Output is pending: asks for an event once there is room. Edge-triggered loops need nothing.</summary>
    private protected virtual void ArmSending()
    {
    }

    /// <summary>The loop wants to know when the peer ends although nothing is read. Edge-triggered loops need nothing.</summary>
    private protected virtual void WatchForEnd()
    {
    }

    public override bool Send(ReadOnlySpan<byte> data)
    {
        Debug.Assert(Loop.IsCurrent);
        if (IsClosed || (Flags & State.SendFailed) != 0 || data.IsEmpty)
            return !HasPendingOutput;
        return _tls is null ? SendAsIs(data) : SendEncrypted(data);
    }

    /// <summary><see cref="Send"/> of what goes over the wire.</summary>
    internal bool SendAsIs(ReadOnlySpan<byte> data)
    {
        if (IsClosed || (Flags & State.SendFailed) != 0)
            return !HasPendingOutput;
        if (HasPendingOutput || (Flags & State.Connecting) != 0)
        {
            _output.Append(data);
            return false;
        }

        var sent = TrySend(data, out var error);
        if (sent == data.Length)
            return true;
        if (sent < 0)
        {
            if (error != SocketError.WouldBlock)
            {
                SendingFailed(error);
                return true;
            }

            sent = 0;
        }

        _output.Append(data[sent..]);
        ArmSending();
        return false;
    }

    /// <summary>Counts as a client of its loop until it closes. Called once, right after the connection was made.</summary>
    internal void MarkAccepted() => Flags |= State.Accepted;

    internal void MoveTo(LoopThread loop, bool announce)
    {
        if (!CanBeTaken)
            throw new InvalidOperationException($"Only a quiet connection can be taken; this one is {Flags}.");
        var from = Owner;
        Loop = loop;
        _generation = Interlocked.Increment(ref _lastGeneration);
        if ((Flags & State.Accepted) != 0)
        {
            from.CountAccepted(-1);
            loop.CountAccepted(1);
        }

        // Overwrites an announcement that has not been made yet: the loop it was for has lost the connection again.
        Volatile.Write(ref _announced, announce ? _generation : 0);
        MoveSocket(from, loop);
    }

    /// <summary>An event of the socket, on the thread of the loop it was reported to.</summary>
    internal void OnEvents(LoopThread loop, int generation, LoopEvents events)
    {
        if (!TryGetFlags(generation, out var flags))
            return;
        if (Volatile.Read(ref _announced) == generation
            && Interlocked.CompareExchange(ref _announced, 0, generation) == generation)
        {
            Handler.OnMoved(this);
            if (generation != _generation)
                return;
        }

        if ((flags & (State.Lingering | State.Handshaking)) != 0)
        {
            if ((flags & State.Lingering) != 0)
                Linger(events);
            else
                ContinueHandshake(events);
            return;
        }

        if ((flags & State.Connecting) != 0 && (!FinishConnecting(events) || generation != _generation))
            return;

        // Pending output, if any was seen before the generation was found unchanged, is our own.
        if ((events & LoopEvents.Writable) != 0 && HasPendingOutput && TryGetFlags(generation, out _))
        {
            Flush();
            if (generation != _generation)
                return;
        }

        if ((events & (LoopEvents.Readable | LoopEvents.EndOfStream | LoopEvents.Broken)) != 0)
            Read(loop, generation, ToReadiness(events), certain: true);
    }

    /// <summary>An entry of the ready list.</summary>
    internal void OnReady(LoopThread loop, int generation, Readiness readiness)
    {
        if (!TryGetFlags(generation, out var flags))
            return;
        if ((flags & (State.Lingering | State.Handshaking)) != 0)
        {
            if ((flags & State.Lingering) != 0)
                Discard();
            else
                ReceiveHandshake();
            return;
        }

        if ((flags & State.Held) != 0 || (readiness == Readiness.Bytes && (flags & State.Paused) != 0))
        {
            NoteWhileHeld(readiness, certain: false);
            return;
        }

        if ((flags & State.EndAnnounced) != 0 && readiness == Readiness.Bytes)
            readiness = Readiness.EndOfStream;
        if ((flags & State.InputSeen) != 0)
            Flags &= ~State.InputSeen;
        if ((flags & State.DeliverKept) == 0 || DeliverKept(generation))
            Read(loop, generation, readiness, certain: (flags & State.InputSeen) != 0);
    }

    /// <summary>Closes a connection whose handler threw, unless the event was stale.</summary>
    internal void FailIfOwned(int generation, Exception exception)
    {
        if (generation == _generation && !IsClosed)
            Fail(exception);
    }

    private protected static Readiness ToReadiness(LoopEvents events) =>
        (events & LoopEvents.Broken) != 0 ? Readiness.Broken
        : (events & LoopEvents.EndOfStream) != 0 ? Readiness.EndOfStream
        : Readiness.Bytes;

    /// <summary>
    /// Reads the flags first and the generation after them: if it is unchanged, they are the flags of this owner.
    /// </summary>
    private protected bool TryGetFlags(int generation, out State flags)
    {
        // Both fields are volatile: neither read moves before the one ahead of it.
        flags = (State)_flags;
        Volatile.ReadBarrier();
        return generation == _generation;
    }

    internal void Fail(Exception? error)
    {
        var handler = Handler;
        Close();
        handler.OnClosed(this, error);
    }

    /// <summary>The kernel tells an error once, be it to a peek or a send: kept for <see cref="IConnectionHandler.OnClosed"/>.</summary>
    private protected void NoteFailure(SocketError error)
    {
        if (_failure == SocketError.Success)
            _failure = error;
    }

    /// <summary>Sends pending output.</summary>
    private protected void Flush()
    {
        while (!_output.IsEmpty)
        {
            var sent = TrySend(_output.Span, out var error);
            if (sent < 0)
            {
                if (error == SocketError.WouldBlock)
                    ArmSending();
                else if ((Flags & State.Lingering) != 0)
                    Close();
                else
                    SendingFailed(error);
                return;
            }

            _output.Consume(sent);
        }

        OutputDrained();
    }

    private protected void OutputDrained()
    {
        if ((Flags & State.Lingering) != 0)
            EndOutput();
        else
            Handler.OnDrained(this);
    }

    /// <summary>
    /// The peer is gone, but bytes it sent before may be worth reading (a server's last words): the handler decides.
    /// </summary>
    private protected void SendingFailed(SocketError error)
    {
        NoteFailure(error);
        _output.Release();
        Flags |= State.SendFailed;
        Owner.AddReady(this, _generation, Readiness.Broken);
    }

    private bool FinishConnecting(LoopEvents events)
    {
        if ((events & (LoopEvents.Writable | LoopEvents.Broken)) == 0)
            return false;
        var error = TakeError();
        if (error is not null)
        {
            Fail(error);
            return false;
        }

        Flags &= ~State.Connecting;
        Handler.OnConnected(this);
        return true;
    }

    private SocketException? NotedFailure() => _failure == SocketError.Success ? null : new SocketException((int)_failure);
}
