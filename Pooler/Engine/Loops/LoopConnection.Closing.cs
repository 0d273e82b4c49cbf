using System.Net.Sockets;

namespace Pooler.Engine.Loops;

// How a connection ends from our side, at once or after the peer has had everything.
internal abstract partial class LoopConnection
{
    /// <summary>How long <see cref="CloseAfterSend"/> waits for a peer that doesn't read what is pending, microseconds.</summary>
    private const long FlushTime = 5_000_000;

    /// <summary>How long <see cref="CloseAfterSend"/> waits for the peer's end after ours, microseconds.</summary>
    private const long LingerTime = 1_000_000;

    public override void Close()
    {
        if ((Flags & State.Closed) != 0)
            return;
        if ((Flags & State.Accepted) != 0)
            Owner.CountAccepted(-1);
        var handshaking = (Flags & State.Handshaking) != 0;
        Flags = State.Closed;
        _generation = Interlocked.Increment(ref _lastGeneration);
        _input.Release();
        CloseSocket();
        _output.Release();
        CloseTls(handshaking);
    }

    public override void CloseAfterSend()
    {
        if (IsClosed)
            return;
        // In a handshake there is nothing that could be sent: it would go in the clear.
        if ((Flags & (State.Connecting | State.SendFailed | State.Handshaking)) != 0)
        {
            Close();
            return;
        }

        _tls?.SendEnd();
        Linger();
    }

    /// <summary>Leaves the rest to the loop: pending output, our end, the peer's.</summary>
    private void Linger()
    {
        Flags |= State.Lingering;
        _input.Release();
        if (HasPendingOutput)
            CloseLater(FlushTime);
        else
            EndOutput();
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
}
