using System.Runtime.InteropServices;

namespace Pooler.Engine.Loops;

// Passing descriptors between processes. Layouts are those of Linux with 64-bit pointers.
internal static unsafe partial class Libc
{
    public const short PollIn = 1;
    public const short PollOut = 4;
    public const int ShutdownBoth = 2;

    private const int ScmRights = 1;
    private const int CloseOnExecReceived = 0x40000000; // MSG_CMSG_CLOEXEC
    private const int ControlHeader = 16; // struct cmsghdr: size_t length, int level, int type

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint sendmsg(int descriptor, MessageHeader* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recvmsg(int descriptor, MessageHeader* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(PollEntry* entries, ulong count, int timeoutMilliseconds);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int dup3(int from, int to, int flags);

    /// <summary>Waits for one event: 1 when it (or an end or error) is there, 0 after the timeout, -1 with errno.</summary>
    public static int Poll(int descriptor, short events, int timeoutMilliseconds)
    {
        var entry = new PollEntry { Descriptor = descriptor, Events = events };
        return poll(&entry, 1, timeoutMilliseconds);
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socketpair(int family, int type, int protocol, int* pair);

    /// <summary>A connected socket whose other end is closed already; -1 when there is none to be had.</summary>
    public static int OneEndOfPair()
    {
        var pair = stackalloc int[2];
        if (socketpair(FamilyUnix, SockStream | CloseOnExec | NonBlocking, 0, pair) < 0)
            return -1;
        close(pair[1]);
        return pair[0];
    }

    public static void SetNonBlocking(int descriptor)
    {
        const int GetFlags = 3, SetFlags = 4;
        var flags = fcntl(descriptor, GetFlags, 0);
        if (flags >= 0)
            fcntl(descriptor, SetFlags, flags | NonBlocking);
    }

    /// <summary>Another descriptor for the same open file; -1 with errno.</summary>
    public static int Duplicate(int descriptor) => fcntl(descriptor, DuplicateCloseOnExec, 0);

    public static int SendWithDescriptors(int descriptor, ReadOnlySpan<byte> data, ReadOnlySpan<int> descriptors)
    {
        var control = stackalloc byte[ControlHeader + Aligned(descriptors.Length * sizeof(int))];
        fixed (byte* start = data)
        {
            var piece = new Vector { Start = start, Length = (nuint)data.Length };
            var message = new MessageHeader { Pieces = &piece, PieceCount = 1 };
            if (descriptors.Length > 0)
            {
                *(nuint*)control = (nuint)(ControlHeader + descriptors.Length * sizeof(int));
                *(int*)(control + 8) = SolSocket;
                *(int*)(control + 12) = ScmRights;
                descriptors.CopyTo(new Span<int>(control + ControlHeader, descriptors.Length));
                message.Control = control;
                message.ControlLength = (nuint)(ControlHeader + Aligned(descriptors.Length * sizeof(int)));
            }

            while (true)
            {
                var sent = (int)sendmsg(descriptor, &message, NoSignal);
                if (sent >= 0 || Marshal.GetLastPInvokeError() != Eintr)
                    return sent;
            }
        }
    }

    /// <summary>Receives what is there, without waiting; descriptors that come along are added, close-on-exec.</summary>
    public static int ReceiveWithDescriptors(int descriptor, Span<byte> data, List<int> descriptors)
    {
        const int Most = 253 * sizeof(int);
        var control = stackalloc byte[ControlHeader + 1016];
        fixed (byte* start = data)
        {
            var piece = new Vector { Start = start, Length = (nuint)data.Length };
            var message = new MessageHeader { Pieces = &piece, PieceCount = 1, Control = control, ControlLength = ControlHeader + 1016 };
            var received = (int)recvmsg(descriptor, &message, DontWait | CloseOnExecReceived);
            if (received < 0 || message.ControlLength < ControlHeader)
                return received;
            var length = (int)*(nuint*)control - ControlHeader;
            if (*(int*)(control + 8) == SolSocket && *(int*)(control + 12) == ScmRights && length is > 0 and <= Most)
                descriptors.AddRange(new ReadOnlySpan<int>(control + ControlHeader, length / sizeof(int)));
            return received;
        }
    }

    private static int Aligned(int length) => (length + 7) & ~7;

    [StructLayout(LayoutKind.Sequential)]
    private struct Vector
    {
        public byte* Start;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public Vector* Pieces;
        public nuint PieceCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }
}
