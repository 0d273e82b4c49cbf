using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pooler.Engine.Loops;

/// <summary>A socket on an <see cref="EpollLoop"/>: a bare file descriptor, non-blocking, registered once.</summary>
internal sealed unsafe class EpollConnection : LoopConnection
{
    /// <summary>A Unix socket whose backlog is full refuses with EAGAIN, not EINPROGRESS: try again after this long, microseconds.</summary>
    private const long BacklogRetry = 10_000;

    private readonly int _index;
    private int _descriptor;
    private EndPoint? _remoteEndPoint;
    private EndPoint? _localEndPoint;

    private EpollConnection(EpollLoop loop, int descriptor)
    {
        _descriptor = descriptor;
        Loop = loop;
        _index = loop.Table.Add(this);
    }

    /// <inheritdoc/>
    /// <remarks>Asked from the kernel the first time, and remembered; null when first asked after closing.</remarks>
    public override EndPoint? RemoteEndPoint => _remoteEndPoint ??= Libc.EndPointOf(_descriptor, remote: true);

    /// <inheritdoc/>
    /// <remarks>Asked from the kernel the first time, and remembered; null when first asked after closing.</remarks>
    public override EndPoint? LocalEndPoint => _localEndPoint ??= Libc.EndPointOf(_descriptor, remote: false);

    /// <inheritdoc/>
    public override PeerCredentials? Peer => IsClosed || RemoteEndPoint is not UnixDomainSocketEndPoint ? null : Libc.PeerOf(_descriptor);

    /// <summary>Registers a connected, non-blocking socket. The connection owns the descriptor from here on.</summary>
    public static EpollConnection Adopt(EpollLoop loop, int descriptor)
    {
        var connection = new EpollConnection(loop, descriptor);
        if (!loop.TryAdd(descriptor, connection._index, connection.Generation))
        {
            var error = Libc.LastError();
            connection.Close();
            throw error;
        }

        return connection;
    }

    public static EpollConnection Connect(EpollLoop loop, EndPoint endPoint, SocketOptions options, IConnectionHandler handler)
    {
        var family = endPoint.AddressFamily switch
        {
            AddressFamily.InterNetwork => Libc.FamilyInet,
            AddressFamily.InterNetworkV6 => Libc.FamilyInet6,
            AddressFamily.Unix => Libc.FamilyUnix,
            _ => throw new ArgumentException("Only IP addresses and Unix sockets can be connected to.", nameof(endPoint)),
        };
        var descriptor = Libc.socket(family, Libc.SockStream | Libc.NonBlocking | Libc.CloseOnExec, 0);
        var connection = new EpollConnection(loop, descriptor) { Handler = handler, _remoteEndPoint = endPoint };
        connection.Flags = State.Connecting;
        if (descriptor < 0)
        {
            connection.FailLater(Libc.LastError());
            return connection;
        }

        options.ApplyTo(descriptor, family == Libc.FamilyUnix);
        connection.TryConnect();
        return connection;
    }

    private protected override int TryReceive(Span<byte> buffer, out SocketError error)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var received = (int)Libc.recv(_descriptor, start, buffer.Length, 0);
                if (received >= 0)
                {
                    error = SocketError.Success;
                    return received;
                }

                var errno = Marshal.GetLastPInvokeError();
                if (errno == Libc.Eintr)
                    continue;
                error = Libc.ToSocketError(errno);
                return -1;
            }
        }
    }

    private protected override int TrySend(ReadOnlySpan<byte> data, out SocketError error)
    {
        fixed (byte* start = data)
        {
            while (true)
            {
                var sent = (int)Libc.send(_descriptor, start, data.Length, Libc.NoSignal);
                if (sent >= 0)
                {
                    error = SocketError.Success;
                    return sent;
                }

                var errno = Marshal.GetLastPInvokeError();
                if (errno == Libc.Eintr)
                    continue;
                error = Libc.ToSocketError(errno);
                return -1;
            }
        }
    }

    private protected override bool HasInput()
    {
        byte first;
        if (Libc.recv(_descriptor, &first, 1, Libc.Peek | Libc.DontWait) >= 0)
            return true;
        var errno = Marshal.GetLastPInvokeError();
        if (errno == Libc.Eagain)
            return false;
        NoteFailure(Libc.ToSocketError(errno));
        return true;
    }

    private protected override Exception? TakeError()
    {
        int errno = 0;
        uint length = sizeof(int);
        if (Libc.getsockopt(_descriptor, Libc.SolSocket, Libc.SoError, &errno, &length) < 0)
            return Libc.LastError();
        return errno == 0 ? null : Libc.Error(errno);
    }

    private protected override void ShutdownSend() => Libc.shutdown(_descriptor, Libc.ShutdownWrite);

    private protected override void CloseSocket()
    {
        // Out of the table first: its number may be given to a new connection as soon as the descriptor is free.
        Owner.Table.Remove(_index);
        var descriptor = _descriptor;
        _descriptor = -1;

        // Closing the only descriptor of a socket also takes it out of its epoll. EINTR: closed all the same on Linux.
        if (descriptor >= 0)
            Libc.close(descriptor);
    }

    private protected override void AbandonSocket()
    {
        // Closing alone would leave it in our epoll, as the other process's descriptor keeps the socket open.
        ((EpollLoop)Owner).Remove(_descriptor);
        CloseSocket();
    }

    public override int Descriptor => _descriptor;

    private protected override void MoveSocket(LoopThread from, LoopThread to)
    {
        ((EpollLoop)from).Remove(_descriptor);
        if (((EpollLoop)to).TryAdd(_descriptor, _index, Generation))
            return;
        var error = Libc.LastError();
        var generation = Generation;
        to.Post(static state => ((Action)state!)(), () => FailUnwatched(generation, error));
    }

    private void FailUnwatched(int generation, Exception error)
    {
        // Asked as of any end: then nobody takes it off a shelf any more. Whoever has taken it before has changed the
        // generation; and one that is on its way to this loop, for whom it is not the handler's yet, nobody else touches.
        if (generation == Generation)
            Handler.OnReadable(this, Readiness.Broken);
        FailIfOwned(generation, error);
    }

    private void TryConnect()
    {
        var address = _remoteEndPoint!.Serialize();
        int errno;
        fixed (byte* start = address.Buffer.Span)
            errno = Libc.connect(_descriptor, start, (uint)address.Size) < 0 ? Marshal.GetLastPInvokeError() : 0;
        switch (errno)
        {
            case Libc.Eagain:
                Loop.Schedule(BacklogRetry, static state =>
                {
                    var connection = (EpollConnection)state!;
                    if (!connection.IsClosed)
                        connection.TryConnect();
                }, this);
                break;

            // EINTR: goes on in the background like EINPROGRESS (connect(2)).
            case 0 or Libc.Einprogress or Libc.Eintr:
                if (!((EpollLoop)Loop).TryAdd(_descriptor, _index, Generation))
                    FailLater(Libc.LastError());
                break;

            default:
                FailLater(Libc.Error(errno));
                break;
        }
    }

    private void FailLater(Exception error)
    {
        var generation = Generation;
        Loop.Post(static state => ((Action)state!)(), () => FailIfOwned(generation, error));
    }
}
