using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pooler.Engine.Loops;

/// <summary>
/// The system calls of the epoll loop, with blittable signatures. Constants are those of Linux on every architecture
/// .NET runs on. <c>SetLastError</c> saves errno before the runtime can overwrite it: read it with
/// <see cref="Marshal.GetLastPInvokeError"/>.
/// </summary>
internal static unsafe partial class Libc
{
    public const uint EpollIn = 0x1;
    public const uint EpollOut = 0x4;
    public const uint EpollErr = 0x8;
    public const uint EpollHup = 0x10;
    public const uint EpollRdHup = 0x2000;
    public const uint EpollEdgeTriggered = 1u << 31;
    public const int EpollCtlAdd = 1;
    public const int EpollCtlDel = 2;

    public const int DuplicateCloseOnExec = 1030;
    public const int CloseOnExec = 0x80000;
    public const int NonBlocking = 0x800;
    public const int NoSignal = 0x4000;
    public const int Peek = 0x2;
    public const int DontWait = 0x40;
    public const int ShutdownWrite = 1;

    public const int FamilyUnix = 1;
    public const int FamilyInet = 2;
    public const int FamilyInet6 = 10;
    public const int SockStream = 1;

    public const int SolSocket = 1;
    public const int SoError = 4;
    public const int SoSendBuffer = 7;
    public const int SoReceiveBuffer = 8;
    public const int SoKeepAlive = 9;
    public const int SoReusePort = 15;
    public const int SoBufferLock = 72;
    public const int SoPeerCredentials = 17;
    public const int IpProtoTcp = 6;
    public const int TcpNoDelay = 1;
    public const int TcpKeepIdle = 4;
    public const int TcpKeepInterval = 5;
    public const int TcpKeepCount = 6;
    public const int TcpDeferAccept = 9;
    public const int TcpUserTimeout = 18;

    public const int Eintr = 4;
    public const int Eagain = 11;
    public const int Enomem = 12;
    public const int Enfile = 23;
    public const int Emfile = 24;
    public const int Enobufs = 105;
    public const int Einprogress = 115;

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_ctl(int epoll, int operation, int descriptor, byte* epollEvent);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_wait(int epoll, byte* events, int maxEvents, int timeoutMilliseconds);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(int descriptor, void* buffer, nint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint recv(int descriptor, byte* buffer, nint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint send(int descriptor, byte* buffer, nint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int socket(int family, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int connect(int descriptor, byte* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int accept4(int descriptor, byte* address, uint* length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int shutdown(int descriptor, int how);

    /// <remarks>Variadic in C; on Linux an int is passed the same way either way.</remarks>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int descriptor, int command, int argument);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int setsockopt(int descriptor, int level, int option, int* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getsockopt(int descriptor, int level, int option, int* value, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getpeername(int descriptor, byte* address, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getsockname(int descriptor, byte* address, uint* length);

    [LibraryImport("libc")]
    public static partial int sched_yield();

    /// <summary>
    /// <c>struct epoll_event</c> is packed on x86-64 (12 bytes) and naturally aligned elsewhere (16 bytes).
    /// </summary>
    public static readonly int EpollEventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    public static readonly int EpollDataOffset = EpollEventSize - sizeof(ulong);

    public static void SetOption(int descriptor, int level, int option, int value) =>
        setsockopt(descriptor, level, option, &value, sizeof(int));

    /// <summary>The error of a system call as the exception that .NET's own sockets would throw.</summary>
    public static SocketException Error(int errno) => new((int)ToSocketError(errno), Marshal.GetPInvokeErrorMessage(errno));

    public static SocketException LastError() => Error(Marshal.GetLastPInvokeError());

    public static SocketError ToSocketError(int errno) => errno switch
    {
        0 => SocketError.Success,
        2 => SocketError.AddressNotAvailable, // ENOENT: no such Unix socket
        Eintr => SocketError.Interrupted,
        Eagain => SocketError.WouldBlock,
        13 or 1 => SocketError.AccessDenied, // EACCES, EPERM
        22 => SocketError.InvalidArgument,
        Emfile or Enfile => SocketError.TooManyOpenSockets,
        32 or 104 => SocketError.ConnectionReset, // EPIPE, ECONNRESET
        97 => SocketError.AddressFamilyNotSupported,
        98 => SocketError.AddressAlreadyInUse,
        99 => SocketError.AddressNotAvailable,
        100 => SocketError.NetworkDown,
        101 => SocketError.NetworkUnreachable,
        102 => SocketError.NetworkReset,
        103 => SocketError.ConnectionAborted,
        Enobufs or Enomem => SocketError.NoBufferSpaceAvailable,
        107 => SocketError.NotConnected,
        110 => SocketError.TimedOut,
        111 => SocketError.ConnectionRefused,
        112 => SocketError.HostDown,
        113 => SocketError.HostUnreachable,
        Einprogress => SocketError.InProgress,
        _ => SocketError.SocketError,
    };

    /// <summary>Who was at the other end of a Unix socket when it connected; null when the kernel does not say.</summary>
    public static PeerCredentials? PeerOf(int descriptor)
    {
        // struct ucred: pid, uid, gid, 32 bits each.
        var credentials = stackalloc int[3];
        uint length = 3 * sizeof(int);
        return getsockopt(descriptor, SolSocket, SoPeerCredentials, credentials, &length) < 0 || length < 3 * sizeof(int)
            ? null
            : new PeerCredentials((uint)credentials[1], (uint)credentials[2], credentials[0]);
    }

    /// <summary>The address of one end of a socket, or null when it is not (or no longer) connected.</summary>
    public static EndPoint? EndPointOf(int descriptor, bool remote)
    {
        const int Largest = 128; // sizeof(struct sockaddr_storage)
        var buffer = stackalloc byte[Largest];
        uint length = Largest;
        if ((remote ? getpeername(descriptor, buffer, &length) : getsockname(descriptor, buffer, &length)) < 0)
            return null;
        var (family, template) = *(ushort*)buffer switch
        {
            FamilyInet => (AddressFamily.InterNetwork, new IPEndPoint(IPAddress.Any, 0)),
            FamilyInet6 => (AddressFamily.InterNetworkV6, new IPEndPoint(IPAddress.IPv6Any, 0)),
            _ => (AddressFamily.Unix, (EndPoint)new UnixDomainSocketEndPoint("/")),
        };
        var address = new SocketAddress(family, Math.Max(2, (int)Math.Min(length, Largest)));
        new ReadOnlySpan<byte>(buffer, address.Size).CopyTo(address.Buffer.Span);
        return template.Create(address);
    }
}
