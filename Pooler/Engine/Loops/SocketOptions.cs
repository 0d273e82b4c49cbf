using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pooler.Engine.Loops;

/// <summary>Socket options of a connection; zero means the system's default. Units as in the ini settings.</summary>
public sealed record SocketOptions
{
    /// <summary>The system's defaults, without keepalive.</summary>
    public static SocketOptions Default { get; } = new();

    /// <summary><c>tcp_keepalive</c>: SO_KEEPALIVE.</summary>
    public bool KeepAlive { get; init; }

    /// <summary><c>tcp_keepidle</c>, seconds.</summary>
    public int KeepIdle { get; init; }

    /// <summary><c>tcp_keepintvl</c>, seconds.</summary>
    public int KeepInterval { get; init; }

    /// <summary><c>tcp_keepcnt</c>, probes.</summary>
    public int KeepCount { get; init; }

    /// <summary><c>tcp_user_timeout</c>, milliseconds (Linux).</summary>
    public int UserTimeout { get; init; }

    /// <summary><c>tcp_socket_buffer</c>, bytes for SO_RCVBUF and SO_SNDBUF.</summary>
    public int BufferSize { get; init; }

    internal void ApplyTo(Socket socket)
    {
        if (BufferSize > 0)
        {
            socket.ReceiveBufferSize = BufferSize;
            socket.SendBufferSize = BufferSize;
        }

        if (socket.AddressFamily == AddressFamily.Unix)
            return;
        socket.NoDelay = true;
        if (KeepAlive)
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        if (KeepIdle > 0)
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepIdle);
        if (KeepInterval > 0)
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepInterval);
        if (KeepCount > 0)
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepCount);
        if (UserTimeout > 0 && OperatingSystem.IsLinux())
        {
            var milliseconds = UserTimeout;
            socket.SetRawSocketOption(Libc.IpProtoTcp, Libc.TcpUserTimeout, MemoryMarshal.AsBytes(new ReadOnlySpan<int>(ref milliseconds)));
        }
    }

    /// <summary>The same for a bare descriptor on Linux.</summary>
    internal void ApplyTo(int descriptor, bool isUnix)
    {
        if (BufferSize > 0)
        {
            Libc.SetOption(descriptor, Libc.SolSocket, Libc.SoReceiveBuffer, BufferSize);
            Libc.SetOption(descriptor, Libc.SolSocket, Libc.SoSendBuffer, BufferSize);
        }

        if (isUnix)
            return;
        Libc.SetOption(descriptor, Libc.IpProtoTcp, Libc.TcpNoDelay, 1);
        if (KeepAlive)
            Libc.SetOption(descriptor, Libc.SolSocket, Libc.SoKeepAlive, 1);
        if (KeepIdle > 0)
            Libc.SetOption(descriptor, Libc.IpProtoTcp, Libc.TcpKeepIdle, KeepIdle);
        if (KeepInterval > 0)
            Libc.SetOption(descriptor, Libc.IpProtoTcp, Libc.TcpKeepInterval, KeepInterval);
        if (KeepCount > 0)
            Libc.SetOption(descriptor, Libc.IpProtoTcp, Libc.TcpKeepCount, KeepCount);
        if (UserTimeout > 0)
            Libc.SetOption(descriptor, Libc.IpProtoTcp, Libc.TcpUserTimeout, UserTimeout);
    }
}
