using System.Net.Sockets;

namespace Pooler.Engine.Loops;

// TLS between the socket and the handler. With it, _input and _output keep their places: _input is plaintext the
// handler did not consume, _output is what goes over the wire, and TlsLayer.Received what came over it.
internal abstract partial class LoopConnection
{
    /// <summary>Read ahead of a handshake at most, bytes: its biggest message, a chain of certificates, is shorter.</summary>
    private const int HandshakeAhead = 64 * 1024;

    private TlsLayer? _tls;

    /// <summary>How many bytes <see cref="KeepAhead"/> has kept, and what was there before.</summary>
    private protected int AheadLength => _tls is { } tls ? tls.Received.Length : _input.Length;

    /// <summary>Keeps bytes that were read although the handler does not want them yet.</summary>
    private protected void KeepAhead(ReadOnlySpan<byte> data)
    {
        if (_tls is not { } tls)
        {
            _input.Append(data);
            return;
        }

        // Once reading is resumed the socket has nothing that would tell of them.
        tls.Received.Append(data);
        tls.LookAtReceived();
    }

    public override void StartTls(TlsHandshake handshake, ReadOnlySpan<byte> received)
    {
        if (_tls is not null)
            throw new InvalidOperationException("TLS within TLS.");
        if (IsClosed)
            return;
        _tls = new TlsLayer(this, received);
        Flags |= State.Handshaking;
        _tls.Begin(handshake);
        Owner.AddReady(this, _generation, Readiness.Bytes);
    }

    /// <summary>The handshake has ended, well or not.</summary>
    internal void HandshakeEnded(TlsLayer tls, TlsInfo? info, Exception? failure)
    {
        if ((Flags & State.Handshaking) == 0)
        {
            // Closed meanwhile.
            if (failure is null)
                tls.Dispose();
            return;
        }

        Owner.Guard(this, _generation, (Info: info, Failure: failure), static (connection, end) =>
        {
            if (end.Failure is null)
                connection.Secured(end.Info);
            else
                connection.HandshakeFailed(end.Failure);
        });
    }

    private void Secured(TlsInfo? info)
    {
        Flags &= ~State.Handshaking;
        Tls = info;
        _tls!.GoInline();
        Owner.AddReady(this, _generation, Readiness.Bytes);
        Handler.OnSecured(this);
    }

    /// <summary>The peer is to get the alert that says why, so the socket is closed the slow way.</summary>
    private void HandshakeFailed(Exception failure)
    {
        Flags &= ~State.Handshaking;
        var handler = Handler;
        Linger();
        handler.OnClosed(this, failure);
    }

    private void ContinueHandshake(LoopEvents events)
    {
        var generation = _generation;
        if ((events & LoopEvents.Writable) != 0 && HasPendingOutput)
            Flush();
        if (generation == _generation && (events & ~LoopEvents.Writable) != 0)
            ReceiveHandshake();
    }

    private void ReceiveHandshake()
    {
        var tls = _tls!;
        if ((Flags & State.SendFailed) != 0)
        {
            Fail(NotedFailure());
            return;
        }

        while (!tls.InputEnded)
        {
            if (tls.Received.Length >= HandshakeAhead)
            {
                // Looked at again when the handshake has ended: none needs more than this in one piece.
                break;
            }

            var received = ReceiveCiphertext(tls, out var error, out _);
            if (received > 0)
                continue;
            if (received == 0)
            {
                // What came before it may still complete the handshake.
                tls.EndInput();
                break;
            }

            if (error != SocketError.WouldBlock)
            {
                Fail(NotedFailure() ?? new SocketException((int)error));
                return;
            }

            ArmReading();
            break;
        }

        tls.Pump();
    }

    private int ReceiveCiphertext(TlsLayer tls, out SocketError error, out bool drained)
    {
        var space = tls.Received.Room(LoopThread.ReceiveBufferSize);
        var received = TryReceive(space, out error);
        drained = received < space.Length;
        if (received > 0)
            tls.Received.Added(received);
        else if (tls.Received.IsEmpty)
            tls.Received.Release();
        tls.LookAtReceived();
        return received;
    }

    /// <summary><see cref="ReadOnce"/> with TLS: one read of the socket at most, then all whole records that fit.</summary>
    private bool ReadSecured(int generation, Readiness readiness)
    {
        var tls = _tls!;
        var drained = false;
        if (!tls.HasWork)
        {
            var received = ReceiveCiphertext(tls, out var error, out drained);
            if (received < 0 && error == SocketError.WouldBlock && (Flags & State.SendFailed) == 0)
                return NothingYet();
            if (received <= 0)
            {
                // No close_notify came before the end; the protocol above knows by itself whether something is missing.
                Fail(received == 0 ? NotedFailure() : NotedFailure() ?? new SocketException((int)error));
                return false;
            }
        }

        HeldBytes input = default;
        scoped Span<byte> data;
        int decrypted;
        var kept = _input.Length;
        if (kept >= ReceiveInPlaceFrom)
        {
            decrypted = tls.Decrypt(_input.RoomMemory(TlsRecord.MaxPlaintext));
            if (decrypted > 0)
            {
                _input.Added(decrypted);
                (input, _input) = (_input, default);
            }

            data = input.Span;
        }
        else
        {
            var buffer = Owner.DecryptionBuffer;
            decrypted = tls.Decrypt(buffer.AsMemory(kept));
            if (decrypted > 0 && kept > 0)
            {
                _input.Span.CopyTo(buffer);
                _input.Release();
            }

            data = buffer.AsSpan(0, kept + decrypted);
        }

        if (decrypted == 0)
        {
            if (tls.Ended)
            {
                Fail(tls.Failure ?? NotedFailure());
                return false;
            }

            // Part of a record, or records that hold no data. A full read may have been the last all the same: then nobody
            // comes back to tell the handler that what it was asked about is not there.
            return tls.HasWork || readiness != Readiness.Bytes || (!drained && HasInput()) || NothingYet();
        }

        Flags &= ~State.DeliverKept;
        var more = tls.HasWork || !drained || readiness != Readiness.Bytes;
        if (!more)
            ArmReading();
        Deliver(generation, input, data);
        return more;

        bool NothingYet()
        {
            ArmReading();
            if (_input.IsEmpty)
                Handler.OnReceived(this, []);
            return false;
        }
    }

    private bool SendEncrypted(ReadOnlySpan<byte> data)
    {
        if ((Flags & State.Handshaking) != 0)
            return true;
        try
        {
            _tls!.Send(data);
        }
        catch (Exception exception) when (exception is IOException or InvalidOperationException)
        {
            // Not the fault of whoever sends: the peer broke TLS, and reading will find out how.
            SendingFailed(SocketError.ConnectionAborted);
        }

        return !HasPendingOutput;
    }

    private void CloseTls(bool handshaking)
    {
        if (_tls is not { } tls)
            return;
        if (handshaking)
            tls.Abort();
        else
            tls.Dispose();
    }
}
