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
internal abstract class LoopConnection : Connection
{
    /// <summary>
    /// Reads of one connection per turn of the loop (64 KiB at most, unless a big message is being gathered); then the
    /// others get their turn.
    /// </summary>
    private const int ReadsPerTurn = 4;

    /// <summary>
    /// Kept input from this size on stays where it is and is received behind; less is cheaper to put in front of the
    /// next read in the loop's buffer.
    /// </summary>
    private const int ReceiveInPlaceFrom = 2 * 1024;

    /// <summary>How long <see cref="CloseAfterSend"/> waits for a peer that doesn't read what is pending, microseconds.</summary>
    private const long FlushTime = 5_000_000;

    /// <summary>How long <see cref="CloseAfterSend"/> waits for the peer's end after ours, microseconds.</summary>
    private const long LingerTime = 1_000_000;

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
        InputSeen = 1024,

        /// <summary>The kernel refused to send because the peer is gone; the handler is about to be asked.</summary>
        SendFailed = 16,

        /// <summary><see cref="CloseAfterSend"/>: the handler has left, the rest is sent and the peer's end awaited.</summary>
        Lingering = 64,

        /// <summary>Lingering, and our end has been sent.</summary>
        EndSent = 128,

        Closed = 256,

        /// <summary>Counts among its loop's clients; see <see cref="LoopThread.AcceptedConnections"/>.</summary>
        Accepted = 512,
    }

    public override bool IsClosed => (Flags & (State.Closed | State.Lingering)) != 0;

    public override bool HasPendingOutput => !_output.IsEmpty;

    public override bool HasKeptInput => !_input.IsEmpty;

    public override bool CanBeTaken =>
        (Flags & ~State.Accepted) == 0 && !HasPendingOutput && !HasKeptInput;

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

    public override void PauseReading()
    {
        if (IsClosed || (Flags & State.Paused) != 0)
            return;
        Flags |= State.Paused;
        WatchForEnd();
    }

    public override void ResumeReading()
    {
        if ((Flags & State.Paused) == 0 || IsClosed)
            return;
        Flags = (Flags & ~State.Paused) | (HasKeptInput ? State.DeliverKept : 0);
        Owner.AddReady(this, _generation, Readiness.Bytes);
    }

    public override void Close()
    {
        if ((Flags & State.Closed) != 0)
            return;
        if ((Flags & State.Accepted) != 0)
            Owner.CountAccepted(-1);
        Flags = State.Closed;
        _generation = Interlocked.Increment(ref _lastGeneration);
        _input.Release();
        CloseSocket();
        _output.Release();
    }

    public override void CloseAfterSend()
    {
        if (IsClosed)
            return;
        if ((Flags & (State.Connecting | State.SendFailed)) != 0)
        {
            Close();
            return;
        }

        Flags |= State.Lingering;
        _input.Release();
        if (HasPendingOutput)
            CloseLater(FlushTime);
        else
            EndOutput();
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

        if ((flags & State.Lingering) != 0)
        {
            Linger(events);
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
        if ((flags & State.Lingering) != 0)
        {
            Discard();
            return;
        }

        if (readiness == Readiness.Bytes && (flags & State.Paused) != 0)
            return;
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

    /// <summary>Asks the handler and reads, again and again until the socket is drained or others must have their turn.</summary>
    /// <param name="loop">The loop of this thread; <see cref="Connection.Loop"/> may be another by now.</param>
    /// <param name="generation">The generation as of the event.</param>
    /// <param name="readiness">What the event said.</param>
    /// <param name="certain">
    /// Whether there is certainly something to read. If not, look first: the handler may take a server off its shelf, or
    /// a server for its client, for what it is asked about.
    /// </param>
    private void Read(LoopThread loop, int generation, Readiness readiness, bool certain)
    {
        for (var reads = 0; ; reads++, certain = false)
        {
            if (!TryGetFlags(generation, out var flags) || (flags & State.Lingering) != 0)
                return;
            if ((flags & State.Paused) != 0)
            {
                // Paused, so nobody can take it. Its bytes wait; its end is the handler's business.
                if (readiness == Readiness.Bytes)
                {
                    if (certain)
                        Flags |= State.InputSeen;
                    return;
                }

                Flags |= State.EndAnnounced;
            }

            if (reads == ReadsPerTurn)
            {
                loop.AddReady(this, generation, readiness);
                return;
            }

            if (!certain && readiness == Readiness.Bytes && !HasInput())
            {
                ArmReading();
                return;
            }

            var answer = Handler.OnReadable(this, readiness);
            Volatile.ReadBarrier();
            if (answer == ReadAnswer.NotMine || !TryGetFlags(generation, out flags) || (flags & State.Lingering) != 0
                || !Obey(answer, readiness) || !ReadOnce(generation, readiness))
            {
                return;
            }
        }
    }

    /// <returns>Whether to read now.</returns>
    private bool Obey(ReadAnswer answer, Readiness readiness)
    {
        switch (answer)
        {
            case ReadAnswer.Read:
                if ((Flags & State.Paused) == 0)
                    return true;
                ResumeReading();
                return false;

            case ReadAnswer.Pause:
                Flags |= State.Paused | (readiness == Readiness.Bytes ? State.InputSeen : State.EndAnnounced);
                WatchForEnd();
                return false;

            default:
                Fail(readiness == Readiness.Broken ? NotedFailure() ?? TakeError() : null);
                return false;
        }
    }

    /// <returns>Whether there may be more to read, and the connection is still this loop's to ask about.</returns>
    private bool ReadOnce(int generation, Readiness readiness)
    {
        var loop = Owner;
        HeldBytes input = default;
        scoped Span<byte> data;
        int received, room;
        SocketError error;
        if (_input.Length >= ReceiveInPlaceFrom)
        {
            var space = _input.Room(ReceiveInPlaceFrom);
            room = space.Length;
            received = TryReceive(space, out error);
            if (received > 0)
            {
                _input.Added(received);
                Flags &= ~State.DeliverKept;
                (input, _input) = (_input, default);
            }

            data = input.Span;
        }
        else
        {
            var kept = _input.Length;
            var space = loop.ReceiveBuffer.AsSpan(kept);
            room = space.Length;
            received = TryReceive(space, out error);
            if (received > 0 && kept > 0)
            {
                Flags &= ~State.DeliverKept;
                _input.Span.CopyTo(loop.ReceiveBuffer);
                _input.Release();
            }

            data = loop.ReceiveBuffer.AsSpan(0, kept + Math.Max(0, received));
        }

        if (received <= 0)
        {
            if (received == 0 || error != SocketError.WouldBlock || (Flags & State.SendFailed) != 0)
            {
                Fail(received == 0 ? NotedFailure() : NotedFailure() ?? new SocketException((int)error));
                return false;
            }

            ArmReading();
            // The event was about bytes that an earlier read took along.
            if (_input.IsEmpty)
                Handler.OnReceived(this, []);
            return false;
        }

        var more = received == room || readiness != Readiness.Bytes;
        if (!more)
            ArmReading();
        Deliver(generation, input, data);
        return more;
    }

    /// <summary>Delivers kept bytes because reading was resumed.</summary>
    /// <returns>Whether the connection is unchanged and open.</returns>
    private bool DeliverKept(int generation)
    {
        Flags &= ~State.DeliverKept;
        var (input, _) = (_input, _input = default);
        Deliver(generation, input, input.Span);
        return generation == _generation;
    }

    /// <param name="generation">The generation as of the event.</param>
    /// <param name="input">The array that holds <paramref name="data"/>, detached from the connection, if not the loop's buffer.</param>
    /// <param name="data">The bytes.</param>
    private void Deliver(int generation, HeldBytes input, scoped Span<byte> data)
    {
        var consumed = Handler.OnReceived(this, data);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)consumed, (uint)data.Length, nameof(IConnectionHandler.OnReceived));

        if (consumed == data.Length || generation != _generation || IsClosed)
        {
            input.Release();
        }
        else if (input.IsEmpty)
        {
            _input.Append(data[consumed..]);
        }
        else
        {
            input.Consume(consumed);
            _input = input;
        }
    }

    private void Linger(LoopEvents events)
    {
        if ((events & LoopEvents.Broken) != 0 && (Flags & State.EndSent) == 0)
        {
            Close();
            return;
        }

        var generation = _generation;
        if ((events & LoopEvents.Writable) != 0 && HasPendingOutput)
            Flush();
        if (generation == _generation && (events & ~LoopEvents.Writable) != 0)
            Discard();
    }

    private void EndOutput()
    {
        if ((Flags & State.EndSent) != 0)
            return;
        Flags |= State.EndSent;
        ShutdownSend();
        CloseLater(LingerTime);

        // Not here: a handler may still be looking at the loop's buffer.
        Owner.AddReady(this, _generation, Readiness.Bytes);
    }

    /// <summary>
    /// Reads what the peer still sends, until its end: a socket closed with unread bytes resets the connection, and the
    /// peer could lose what we sent last (RFC 1122, 4.2.2.13).
    /// </summary>
    private void Discard()
    {
        for (var reads = 0; reads < ReadsPerTurn; reads++)
        {
            var received = TryReceive(Owner.ReceiveBuffer, out var error);
            if (received > 0)
                continue;
            if (received < 0 && error == SocketError.WouldBlock)
                ArmReading();
            else if ((Flags & State.EndSent) != 0)
                Close();
            return;
        }

        Owner.AddReady(this, _generation, Readiness.Bytes);
    }

    private void CloseLater(long delay) => Loop.Schedule(delay, static state => ((LoopConnection)state!).Close(), this);

    private SocketException? NotedFailure() => _failure == SocketError.Success ? null : new SocketException((int)_failure);
}
