using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Loops;

/// <summary>
/// A socket on a <see cref="SocketLoop"/>. Readability is learnt from a zero-byte receive, so that an idle connection
/// holds no buffer; everything else is tried without blocking first.
/// </summary>
/// <remarks>
/// There is no event to ask again for after a take, so what must not get lost is who looks next. <see cref="_armed"/> is
/// 1 while a zero-byte receive is under way; otherwise somebody has to look at the socket. Its completion clears the
/// flag, then reads which loop to tell. A take changes the loop, then has the new loop read the flag. Full fences on
/// both sides: at least one of them sees what the other did.
/// </remarks>
internal sealed class SocketConnection : LoopConnection
{
    /// <summary>While paused this much is read ahead, bytes, because the end can only be seen behind the bytes.</summary>
    private const int ReadAhead = LoopThread.ReceiveBufferSize;

    private readonly int _index;
    private readonly Socket _socket;
    private EndPoint? _remoteEndPoint;
    private EndPoint? _localEndPoint;
    private SocketAsyncEventArgs? _reading;
    private SocketAsyncEventArgs? _writing;
    private HeldBytes _underWay;
    private int _armed;

    private SocketConnection(SocketLoop loop, Socket? socket)
    {
        _socket = socket!;
        Loop = loop;
        _index = loop.Table.Add(this);
    }

    public override EndPoint? RemoteEndPoint => _remoteEndPoint ??= Ask(static socket => socket.RemoteEndPoint);

    public override EndPoint? LocalEndPoint => _localEndPoint ??= Ask(static socket => socket.LocalEndPoint);

    public override PeerCredentials? Peer => IsClosed || RemoteEndPoint is not UnixDomainSocketEndPoint ? null : PeerCredentials.Of(_socket);

    public override bool HasPendingOutput => base.HasPendingOutput || !_underWay.IsEmpty;

    public static SocketConnection Adopt(SocketLoop loop, Socket socket)
    {
        socket.Blocking = false;
        var connection = new SocketConnection(loop, socket);
        connection.ArmReading();
        return connection;
    }

    public static SocketConnection Connect(SocketLoop loop, EndPoint endPoint, SocketOptions options, IConnectionHandler handler)
    {
        Socket? socket = null;
        SocketError error;
        try
        {
            var protocol = endPoint.AddressFamily == AddressFamily.Unix ? ProtocolType.Unspecified : ProtocolType.Tcp;
            socket = new Socket(endPoint.AddressFamily, SocketType.Stream, protocol) { Blocking = false };
            options.ApplyTo(socket);
            error = SocketError.Success;
        }
        catch (SocketException exception)
        {
            error = exception.SocketErrorCode;
        }

        var connection = new SocketConnection(loop, socket) { Handler = handler, _remoteEndPoint = endPoint };
        connection.Flags = State.Connecting;
        var connecting = NewOperation(connection, OnConnectCompleted);
        connecting.RemoteEndPoint = endPoint;
        connecting.SocketError = error;
        if (error != SocketError.Success || !socket!.ConnectAsync(connecting))
            OnConnectCompleted(null, connecting);
        return connection;
    }

    private protected override int TryReceive(Span<byte> buffer, out SocketError error)
    {
        while (true)
        {
            var received = _socket.Receive(buffer, SocketFlags.None, out error);
            if (error == SocketError.Success)
                return received;
            if (error != SocketError.Interrupted)
                return -1;
        }
    }

    private protected override int TrySend(ReadOnlySpan<byte> data, out SocketError error)
    {
        if (!_underWay.IsEmpty)
        {
            error = SocketError.WouldBlock;
            return -1;
        }

        while (true)
        {
            var sent = _socket.Send(data, SocketFlags.None, out error);
            if (error == SocketError.Success)
                return sent;
            if (error != SocketError.Interrupted)
                return -1;
        }
    }

    private protected override bool HasInput() => Look() != LoopEvents.None;

    private protected override Exception? TakeError()
    {
        try
        {
            var error = (int)_socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)!;
            return error == 0 ? null : new SocketException(error);
        }
        catch (SocketException exception)
        {
            return exception;
        }
    }

    private protected override void ShutdownSend() => Shutdown(SocketShutdown.Send);

    private protected override void CloseSocket()
    {
        Owner.Table.Remove(_index);
        if (_socket is not null)
        {
            // Disposing a socket resets the connection when an operation is under way, unless it was shut down before.
            Shutdown(SocketShutdown.Both);
            _socket.Dispose();
        }

        _reading?.Dispose();
        _writing?.Dispose();

        // _underWay is not released: the operation may still be looking at its array.
        _underWay = default;
    }

    // An operation that is under way has bytes of its own.
    public override bool CanBeHandedOver => OperatingSystem.IsLinux() && _underWay.IsEmpty && base.CanBeHandedOver;

    public override int Descriptor => (int)_socket.SafeHandle.DangerousGetHandle();

    private protected override void AbandonSocket()
    {
        Owner.Table.Remove(_index);

        // Disposing a socket while it is being received from resets the connection, which is another process's now: so it
        // gets a socket to dispose that is nobody's.
        var nobodys = Libc.socket(Libc.FamilyUnix, Libc.SockStream | Libc.CloseOnExec, 0);
        if (nobodys < 0 || Libc.dup3(nobodys, Descriptor, Libc.CloseOnExec) < 0)
            throw Libc.LastError();
        Libc.close(nobodys);
        _socket.Dispose();
        _reading?.Dispose();
        _writing?.Dispose();
    }

    private protected override void MoveSocket(LoopThread from, LoopThread to) =>
        to.Post(static state => ((SocketConnection)state!).OnTaken(), this);

    private protected override void ArmReading()
    {
        if (Interlocked.CompareExchange(ref _armed, 1, 0) != 0)
            return;
        try
        {
            var reading = _reading ??= NewOperation(this, OnReadingCompleted);
            if (!_socket.ReceiveAsync(reading))
                OnReadingCompleted(null, reading);
        }
        catch (ObjectDisposedException)
        {
            // Closed by its owner meanwhile.
        }
    }

    private protected override void WatchForEnd()
    {
        if (Volatile.Read(ref _armed) == 0 && (Flags & State.EndAnnounced) == 0)
            Loop.Post(static state => ((SocketConnection)state!).OnReadableEvent(), this);
    }

    private protected override void ArmSending()
    {
        if (!_underWay.IsEmpty)
            return;
        (_underWay, Output) = (Output, default);
        ContinueSending();
    }

    private static SocketAsyncEventArgs NewOperation(SocketConnection connection, EventHandler<SocketAsyncEventArgs> completed)
    {
        var operation = new SocketAsyncEventArgs(true) { UserToken = connection };
        operation.Completed += completed;
        return operation;
    }

    // The three completions run on a thread of the runtime's, or inside the call that began the operation.

    private static void OnReadingCompleted(object? sender, SocketAsyncEventArgs operation)
    {
        var connection = (SocketConnection)operation.UserToken!;
        Interlocked.Exchange(ref connection._armed, 0);
        connection.Loop.Post(static state => ((SocketConnection)state!).OnReadableEvent(), connection);
    }

    private static void OnWritingCompleted(object? sender, SocketAsyncEventArgs operation)
    {
        var connection = (SocketConnection)operation.UserToken!;
        connection.Loop.Post(static state => ((SocketConnection)state!).OnWritten(), connection);
    }

    private static void OnConnectCompleted(object? sender, SocketAsyncEventArgs operation)
    {
        var connection = (SocketConnection)operation.UserToken!;
        connection.Loop.Post(
            static state =>
            {
                var operation = (SocketAsyncEventArgs)state!;
                ((SocketConnection)operation.UserToken!).OnConnectEnded(operation.SocketError);
                operation.Dispose();
            },
            operation);
    }

    private void Shutdown(SocketShutdown what)
    {
        try
        {
            _socket.Shutdown(what);
        }
        catch (SocketException)
        {
            // Never connected, or reset by the peer: nothing to end.
        }
    }

    private EndPoint? Ask(Func<Socket, EndPoint?> question)
    {
        try
        {
            return IsClosed ? null : question(_socket);
        }
        catch (SocketException)
        {
            return null; // reset already
        }
    }

    private void OnConnectEnded(SocketError error)
    {
        if ((Flags & State.Closed) != 0)
            return;
        var (loop, generation) = (Owner, Generation);
        if (error == SocketError.Success)
            loop.Dispatch(this, generation, LoopEvents.Writable);
        else
            loop.Guard(this, generation, new SocketException((int)error), static (connection, error) => connection.Fail(error));
        if (generation == Generation)
            ArmReading();
    }

    /// <summary>Another loop had it until now: looks at what that one may not have seen any more.</summary>
    private void OnTaken()
    {
        var generation = Generation;
        if (!Loop.IsCurrent || (Flags & State.Closed) != 0)
            return;
        Owner.Dispatch(this, generation, LoopEvents.None);
        OnReadableEvent();
    }

    /// <summary>There may be something to read. Stale when another loop has it by now: that one looks by itself.</summary>
    private void OnReadableEvent()
    {
        // The generation first: a take changes the loop before it, so that a new generation shows the new loop.
        var generation = Generation;
        var loop = Owner;
        if (!loop.IsCurrent || !TryGetFlags(generation, out var flags) || (flags & State.Closed) != 0
            || Volatile.Read(ref _armed) != 0)
        {
            return;
        }

        // Looked at again when it is let go.
        if ((flags & State.Held) != 0)
            return;
        if ((flags & State.Paused) != 0)
        {
            if ((flags & State.EndAnnounced) == 0)
                ReadAheadForEnd(loop, generation);
            return;
        }

        var events = Look();
        if (events != LoopEvents.None)
            loop.Dispatch(this, generation, events);
        else
            ArmReading();
    }

    private LoopEvents Look()
    {
        try
        {
            Span<byte> first = stackalloc byte[1];
            var count = _socket.Receive(first, SocketFlags.Peek, out var error);
            switch (error)
            {
                case SocketError.Success:
                    return count > 0 ? LoopEvents.Readable : LoopEvents.Readable | LoopEvents.EndOfStream;
                case SocketError.WouldBlock or SocketError.Interrupted:
                    return LoopEvents.None;
                default:
                    NoteFailure(error);
                    return LoopEvents.Readable | LoopEvents.Broken;
            }
        }
        catch (ObjectDisposedException)
        {
            return LoopEvents.None;
        }
    }

    /// <summary>
    /// Paused: takes what is there into the kept input, within bounds, because nothing else shows whether the peer has
    /// ended behind it.
    /// </summary>
    private void ReadAheadForEnd(LoopThread loop, int generation)
    {
        while (AheadLength < ReadAhead)
        {
            var received = TryReceive(loop.ReceiveBuffer, out var error);
            if (received > 0)
            {
                KeepAhead(loop.ReceiveBuffer.AsSpan(0, received));
                Flags &= ~State.InputSeen;
                continue;
            }

            if (received < 0 && error == SocketError.WouldBlock)
                ArmReading();
            else if (received == 0)
                loop.Dispatch(this, generation, LoopEvents.EndOfStream);
            else
                ReadAheadFailed(loop, generation, error);
            return;
        }
    }

    private void ReadAheadFailed(LoopThread loop, int generation, SocketError error)
    {
        NoteFailure(error);
        loop.Dispatch(this, generation, LoopEvents.Broken);
    }

    private void ContinueSending()
    {
        var writing = _writing ??= NewOperation(this, OnWritingCompleted);
        writing.SetBuffer(_underWay.Memory);
        if (!_socket.SendAsync(writing))
            OnWritingCompleted(null, writing);
    }

    private void OnWritten()
    {
        if ((Flags & State.Closed) != 0)
            return;
        Owner.Guard(this, Generation, _writing!, static (connection, writing) => ((SocketConnection)connection).OnWritten(writing));
    }

    private void OnWritten(SocketAsyncEventArgs writing)
    {
        if (writing.SocketError != SocketError.Success)
        {
            _underWay.Release();
            if ((Flags & State.Lingering) != 0)
                Close();
            else
                SendingFailed(writing.SocketError);
            return;
        }

        _underWay.Consume(writing.BytesTransferred);
        if (!_underWay.IsEmpty)
        {
            ContinueSending();
            return;
        }

        // The array goes back to the pool: the operation must not keep it.
        writing.SetBuffer(default);
        Flush();
    }
}
