using System.Buffers.Binary;
using System.Security.Cryptography;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>
/// What a client was told in BackendKeyData and has to show to cancel its query: a process id and a secret. All of it is
/// random, but for the bits that peers need to pass a request on.
/// </summary>
/// <remarks>
/// Layout, the same as PgBouncer's from 1.21 on, so that both can be peers: bytes 0 to 3 stand for the process id (sign bit
/// clear: pg_basebackup once choked on negative ones), of which 1 and 2 are the peer's id, low byte first; the two lowest
/// bits of byte 7 count how often the request may still be passed on.
/// </remarks>
internal readonly struct CancelKey
{
    private const int ShortLength = 8;

    /// <summary>PostgreSQL 18's secrets under protocol 3.2 have 32 bytes; the process id comes before them.</summary>
    private const int LongLength = 4 + 32;

    private const byte ForwardsMask = 3;

    private readonly ulong _first;
    private readonly byte[]? _rest;

    private CancelKey(ReadOnlySpan<byte> bytes)
    {
        _first = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        _rest = bytes.Length > ShortLength ? bytes[ShortLength..].ToArray() : null;
    }

    /// <summary>Makes a key that nobody can guess.</summary>
    /// <param name="minor">
    /// The client's minor version of protocol 3: from 2 on it may get a long key. Among peers it gets a short one
    /// nevertheless, because PgBouncer as a peer takes no others.
    /// </param>
    /// <param name="peerId">The setting peer_id; 0: no peers.</param>
    public static CancelKey Create(int minor, int peerId)
    {
        Span<byte> bytes = stackalloc byte[minor >= 2 && peerId == 0 ? LongLength : ShortLength];
        RandomNumberGenerator.Fill(bytes);
        bytes[0] &= 0x7f;
        if (peerId > 0)
        {
            bytes[1] = (byte)peerId;
            bytes[2] = (byte)(peerId >> 8);
            bytes[7] |= ForwardsMask;
        }
        return new CancelKey(bytes);
    }

    /// <summary>A request as bytes: what BackendKeyData said, or what a cancel request shows.</summary>
    public static byte[] Join(int processId, ReadOnlySpan<byte> secret)
    {
        var bytes = new byte[4 + secret.Length];
        BinaryPrimitives.WriteInt32BigEndian(bytes, processId);
        secret.CopyTo(bytes.AsSpan(4));
        return bytes;
    }

    /// <summary>The id of the process that a request is for, when it came from one that has a peer_id.</summary>
    public static int PeerOf(ReadOnlySpan<byte> request) => request[1] | (request[2] << 8);

    /// <summary>Counts a forward down in a request. False when it was forwarded too often: it may be going in circles.</summary>
    public static bool TryCountForward(Span<byte> request)
    {
        if ((request[7] & ForwardsMask) == 0) return false;
        request[7]--;
        return true;
    }

    /// <summary>Makes a request that may have been forwarded comparable again.</summary>
    public static void ForgetForwards(Span<byte> request) => request[7] |= ForwardsMask;

    /// <summary>Whether a request shows this key. Takes the same time however much of it is right.</summary>
    public bool Matches(ReadOnlySpan<byte> request)
    {
        if (request.Length != ShortLength + (_rest?.Length ?? 0)) return false;
        Span<byte> first = stackalloc byte[ShortLength];
        BinaryPrimitives.WriteUInt64BigEndian(first, _first);
        return CryptographicOperations.FixedTimeEquals(first, request[..ShortLength])
            & CryptographicOperations.FixedTimeEquals(_rest, request[ShortLength..]);
    }

    /// <summary>The key that a client of another process was told by that one.</summary>
    public static CancelKey Of(ReadOnlySpan<byte> bytes) => new(bytes);

    public byte[] ToArray()
    {
        var bytes = new byte[ShortLength + (_rest?.Length ?? 0)];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, _first);
        _rest?.CopyTo(bytes, ShortLength);
        return bytes;
    }

    /// <summary>Appends BackendKeyData.</summary>
    public void WriteTo(MessageWriter writer)
    {
        Span<byte> first = stackalloc byte[ShortLength];
        BinaryPrimitives.WriteUInt64BigEndian(first, _first);
        writer.Begin(Backend.BackendKeyData).Bytes(first).Bytes(_rest).End();
    }
}
