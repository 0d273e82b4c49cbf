using System.Globalization;
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

    /// <summary><c>tcp_socket_buffer</c>, bytes for SO_RCVBUF and SO_SNDBUF of TCP sockets.</summary>
    public int BufferSize { get; init; }

    /// <exception cref="SocketOptionException">The operating system refuses an option.</exception>
    internal void ApplyTo(Socket socket)
    {
        if (socket.AddressFamily == AddressFamily.Unix)
            return;
        socket.NoDelay = true;
        Replace(Default, socket);
    }

    /// <summary>Takes a TCP socket from other options to these; what has become zero goes back to the system's default.</summary>
    /// <exception cref="SocketOptionException">The operating system refuses an option.</exception>
    internal void Replace(SocketOptions before, Socket socket)
    {
        if (BufferSize != before.BufferSize)
            SetBuffers(socket);
        if (KeepAlive != before.KeepAlive)
            Set(socket, "tcp_keepalive", SocketOptionLevel.Socket, SocketOptionName.KeepAlive, KeepAlive ? 1 : 0);
        if (KeepIdle != before.KeepIdle)
            Set(socket, "tcp_keepidle", SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepIdle);
        if (KeepInterval != before.KeepInterval)
            Set(socket, "tcp_keepintvl", SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepInterval);
        if (KeepCount != before.KeepCount)
            Set(socket, "tcp_keepcnt", SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepCount);
        if (UserTimeout != before.UserTimeout && OperatingSystem.IsLinux())
            Set(socket, "tcp_user_timeout", Libc.IpProtoTcp, Libc.TcpUserTimeout, UserTimeout);
    }

    /// <summary>The same for a bare descriptor of a new socket on Linux. What the system refuses stays the default.</summary>
    internal void ApplyTo(int descriptor, bool isUnix)
    {
        if (isUnix)
            return;
        if (BufferSize > 0)
        {
            Libc.SetOption(descriptor, Libc.SolSocket, Libc.SoReceiveBuffer, BufferSize);
            Libc.SetOption(descriptor, Libc.SolSocket, Libc.SoSendBuffer, BufferSize);
        }

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

    /// <summary>Lets other sockets with the same option listen on the same TCP port; before binding.</summary>
    /// <exception cref="SocketOptionException">The operating system refuses it, or has no such thing.</exception>
    internal static void SetReusePort(Socket socket)
    {
        const string Setting = "so_reuseport";
        if (OperatingSystem.IsLinux())
            Set(socket, Setting, Libc.SolSocket, Libc.SoReusePort, 1);
        else if (OperatingSystem.IsMacOS())
            Set(socket, Setting, 0xffff, 0x200, 1); // SOL_SOCKET and SO_REUSEPORT of <sys/socket.h>
        else
            throw new SocketOptionException(Setting, 1, new SocketException((int)SocketError.OperationNotSupported));
    }

    internal static void Set(Socket socket, string setting, int level, int option, int value) =>
        Try(setting, value, () => socket.SetRawSocketOption(level, option, MemoryMarshal.AsBytes(new ReadOnlySpan<int>(ref value))));

    private static void Set(Socket socket, string setting, SocketOptionLevel level, SocketOptionName option, int value) =>
        Try(setting, value, () =>
        {
            // These options know no zero for the default: a new socket has it.
            if (value == 0 && level == SocketOptionLevel.Tcp)
            {
                using var fresh = new Socket(socket.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                value = (int)fresh.GetSocketOption(level, option)!;
            }

            socket.SetSocketOption(level, option, value);
        });

    private void SetBuffers(Socket socket)
    {
        if (BufferSize > 0)
        {
            Try("tcp_socket_buffer", BufferSize, () => socket.ReceiveBufferSize = socket.SendBufferSize = BufferSize);
        }
        else if (OperatingSystem.IsLinux())
        {
            // The kernel sizes the buffers by itself again (socket(7); since 5.11, and without it they stay as they are).
            try
            {
                Set(socket, "tcp_socket_buffer", Libc.SolSocket, Libc.SoBufferLock, 0);
            }
            catch (SocketOptionException)
            {
            }
        }
    }

    private static void Try(string setting, int value, Action set)
    {
        try
        {
            set();
        }
        catch (SocketException exception)
        {
            throw new SocketOptionException(setting, value, exception);
        }
    }
}

/// <summary>The operating system refuses a socket option; the message names the setting, its value and the reason.</summary>
public sealed class SocketOptionException(string setting, int value, SocketException inner)
    : IOException(string.Create(CultureInfo.InvariantCulture, $"{setting} = {value}: {inner.Message}"), inner);
