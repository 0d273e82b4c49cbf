using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Handover;

/// <summary>What two processes say to each other during a handover, in this order.</summary>
internal enum FrameKind : ushort
{
    /// <summary>Old to new: <see cref="HelloState"/> with the listening sockets.</summary>
    Hello = 1,

    /// <summary>New to old: whoever starts can start; from here on the old one stands still.</summary>
    Begin,

    /// <summary>Old to new: <see cref="StatementState"/>.</summary>
    Statement,

    /// <summary>Old to new: <see cref="PoolState"/>.</summary>
    Pool,

    /// <summary>Old to new: <see cref="ServerHandover"/> of an idle server, with its socket.</summary>
    Server,

    /// <summary>Old to new: <see cref="ClientHandover"/> without a server, with its socket.</summary>
    Client,

    /// <summary>Old to new: <see cref="ClientHandover"/> and <see cref="ServerHandover"/> linked to each other, with both sockets.</summary>
    Pair,

    /// <summary>Old to new: <see cref="EndState"/>; that was all that can be handed over now.</summary>
    End,

    /// <summary>New to old: all is understood and in place.</summary>
    Commit,

    /// <summary>Old to new: it is yours. From here on the old one forgets what it has handed over.</summary>
    Committed,

    /// <summary>New to old, any time later: a cancel request that may be for a client that has stayed.</summary>
    Cancel,
}

/// <summary>One message, with the descriptors that came with it; whoever has it owns them.</summary>
internal sealed record Frame(FrameKind Kind, byte[] Body, int[] Descriptors);

/// <summary>
/// A Unix socket between two processes that carries frames and descriptors (SCM_RIGHTS, unix(7)). Blocking, with a limit
/// per frame. One thread reads; any thread writes.
/// </summary>
/// <remarks>A frame is: two bytes magic, two bytes kind, four bytes length, all little end first, then the body.</remarks>
internal sealed class HandoverChannel(int descriptor) : IDisposable
{
    /// <summary>No frame is longer: the bytes of a statement or of what a client has sent so far.</summary>
    public const int LongestBody = 64 * 1024 * 1024;

    /// <summary>Linux passes no more at once (SCM_MAX_FD).</summary>
    public const int MostDescriptors = 253;

    private const ushort Magic = 0x4850;
    private const int HeaderSize = 8;

    private readonly Lock _writing = new();
    private bool _closed;

    public int Descriptor => descriptor;

    /// <exception cref="HandoverException">The other side is gone, or takes nothing within the limit.</exception>
    public unsafe void Send(FrameKind kind, ReadOnlySpan<byte> body, TimeSpan limit, params ReadOnlySpan<int> descriptors)
    {
        if (body.Length > LongestBody) throw new HandoverException($"a frame of {body.Length} bytes");
        Span<byte> header = stackalloc byte[HeaderSize];
        BinaryPrimitives.WriteUInt16LittleEndian(header, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[2..], (ushort)kind);
        BinaryPrimitives.WriteInt32LittleEndian(header[4..], body.Length);
        var until = Environment.TickCount64 + (long)limit.TotalMilliseconds;
        lock (_writing)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            // The descriptors go with the first byte, so the header must go in one piece.
            int headerSent;
            do
            {
                Wait(Libc.PollOut, until);
                headerSent = Libc.SendWithDescriptors(descriptor, header, descriptors);
            }
            while (headerSent < 0 && Marshal.GetLastPInvokeError() == Libc.Eagain);
            if (headerSent != HeaderSize) throw Gone("send to");
            while (!body.IsEmpty)
            {
                Wait(Libc.PollOut, until);
                fixed (byte* start = body)
                {
                    var sent = (int)Libc.send(descriptor, start, body.Length, Libc.NoSignal | Libc.DontWait);
                    if (sent < 0 && Marshal.GetLastPInvokeError() is Libc.Eintr or Libc.Eagain) continue;
                    if (sent <= 0) throw Gone("send to");
                    body = body[sent..];
                }
            }
        }
    }

    public void Send(FrameKind kind, TimeSpan limit) => Send(kind, [], limit);

    public void Send(FrameKind kind, StateWriter state, TimeSpan limit, params ReadOnlySpan<int> descriptors) =>
        Send(kind, state.Written, limit, descriptors);

    /// <summary>The next frame; null when the other side has closed between two frames.</summary>
    /// <exception cref="HandoverException">It sends garbage, nothing within the limit, or half a frame.</exception>
    public Frame? Receive(TimeSpan limit)
    {
        var until = limit == Timeout.InfiniteTimeSpan ? long.MaxValue : Environment.TickCount64 + (long)limit.TotalMilliseconds;
        Span<byte> header = stackalloc byte[HeaderSize];
        var descriptors = new List<int>();
        try
        {
            for (var received = 0; received < HeaderSize;)
            {
                Wait(Libc.PollIn, until);
                var count = Libc.ReceiveWithDescriptors(descriptor, header[received..], descriptors);
                if (count < 0 && Marshal.GetLastPInvokeError() is Libc.Eintr or Libc.Eagain) continue;
                if (count == 0 && received == 0) return null;
                if (count <= 0) throw Gone("receive from");
                received += count;
            }
            var kind = (FrameKind)BinaryPrimitives.ReadUInt16LittleEndian(header[2..]);
            var length = BinaryPrimitives.ReadInt32LittleEndian(header[4..]);
            if (BinaryPrimitives.ReadUInt16LittleEndian(header) != Magic || !Enum.IsDefined(kind) || length is < 0 or > LongestBody)
                throw new HandoverException("the other process sends what is no handover");
            return new Frame(kind, ReceiveBody(length, until), [.. descriptors]);
        }
        catch
        {
            foreach (var received in descriptors) Libc.close(received);
            throw;
        }
    }

    /// <summary>The next frame, which must be of that kind.</summary>
    public Frame Expect(FrameKind kind, TimeSpan limit)
    {
        var frame = Receive(limit) ?? throw Gone("receive from");
        if (frame.Kind == kind) return frame;
        foreach (var received in frame.Descriptors) Libc.close(received);
        throw new HandoverException($"{frame.Kind} where {kind} was to come");
    }

    /// <summary>Ends both directions, also for a thread that is reading.</summary>
    public void Shutdown() => Libc.shutdown(descriptor, Libc.ShutdownBoth);

    public void Dispose()
    {
        lock (_writing)
        {
            if (_closed) return;
            _closed = true;
            Libc.close(descriptor);
        }
    }

    private unsafe byte[] ReceiveBody(int length, long until)
    {
        // Grows with what arrives: a length alone is no reason to take memory.
        var body = new byte[Math.Min(length, 1024 * 1024)];
        for (var received = 0; received < length;)
        {
            if (received == body.Length) Array.Resize(ref body, (int)Math.Min(length, 2L * body.Length));
            Wait(Libc.PollIn, until);
            fixed (byte* start = &body[received])
            {
                var count = (int)Libc.recv(descriptor, start, body.Length - received, Libc.DontWait);
                if (count < 0 && Marshal.GetLastPInvokeError() is Libc.Eintr or Libc.Eagain) continue;
                if (count <= 0) throw Gone("receive from");
                received += count;
            }
        }
        return body;
    }

    private void Wait(short events, long until)
    {
        while (true)
        {
            var left = until == long.MaxValue ? -1 : (int)Math.Clamp(until - Environment.TickCount64, 0, int.MaxValue);
            switch (Libc.Poll(descriptor, events, left))
            {
                case > 0:
                    return;
                case 0:
                    throw new HandoverException("the other process does not answer in time");
                case < 0 when Marshal.GetLastPInvokeError() != Libc.Eintr:
                    throw Gone("wait for");
            }
        }
    }

    private static HandoverException Gone(string what)
    {
        var errno = Marshal.GetLastPInvokeError();
        return new HandoverException($"cannot {what} the other process: {(errno == 0 ? "it has closed the connection" : Marshal.GetPInvokeErrorMessage(errno))}");
    }
}
