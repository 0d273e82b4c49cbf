using System.Net.Sockets;

namespace Pooler.Engine.Loops;

// How input gets from the socket to the handler, and what is kept of it.
internal abstract partial class LoopConnection
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
        Flags = (Flags & ~State.Paused) | (_input.IsEmpty ? 0 : State.DeliverKept);
        Owner.AddReady(this, _generation, Readiness.Bytes);
    }

    public override void Hold()
    {
        if (!IsClosed)
            Flags |= State.Held;
    }

    public override void LetGo()
    {
        if ((Flags & State.Held) == 0 || IsClosed)
            return;
        Flags &= ~State.Held;
        var ended = (Flags & State.EndAnnounced) != 0;
        if ((Flags & State.Paused) != 0 && !ended)
            WatchForEnd();
        else
            Owner.AddReady(this, _generation, ended ? Readiness.EndOfStream : Readiness.Bytes);
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
            if (!TryGetFlags(generation, out var flags) || (flags & (State.Lingering | State.Handshaking)) != 0)
                return;
            if ((flags & State.Held) != 0)
            {
                NoteWhileHeld(readiness, certain);
                return;
            }

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

            if (!certain && readiness == Readiness.Bytes && _tls is not { HasWork: true } && !HasInput())
            {
                ArmReading();
                return;
            }

            var answer = Handler.OnReadable(this, readiness);
            Volatile.ReadBarrier();
            if (answer == ReadAnswer.NotMine || !TryGetFlags(generation, out flags) || (flags & State.Lingering) != 0
                || !Obey(answer, readiness) || !(_tls is null ? ReadOnce(generation, readiness) : ReadSecured(generation, readiness)))
            {
                return;
            }
        }
    }

    /// <summary>Nothing is asked or read now, but an edge is told once only.</summary>
    private void NoteWhileHeld(Readiness readiness, bool certain)
    {
        if ((Flags & State.Held) == 0)
            return;
        if (readiness != Readiness.Bytes)
            Flags |= State.EndAnnounced;
        else if (certain)
            Flags |= State.InputSeen;
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
}
