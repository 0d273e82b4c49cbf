using System.Buffers.Binary;

namespace Pooler.Engine.Loops;

/// <summary>The framing of TLS: type, version, length, then that many bytes (RFC 8446, section 5.1; RFC 5246, 6.2).</summary>
internal static class TlsRecord
{
    /// <summary>Type of a handshake record: the first byte a TLS client sends.</summary>
    public const byte Handshake = 22;

    /// <summary>The most plaintext a record holds, bytes.</summary>
    public const int MaxPlaintext = 16 * 1024;

    /// <summary>The most that encryption may add to it (RFC 5246; RFC 8446 allows less).</summary>
    public const int MaxExpansion = 2 * 1024;

    private const int HeaderSize = 5;

    /// <summary>
    /// Length of the first record with its header; 0 while there are not enough bytes to tell; -1 when it is none.
    /// </summary>
    public static int LengthOf(ReadOnlySpan<byte> data)
    {
        // Each byte is judged as soon as it is there: what cannot become a record is not waited for.
        if (data.Length > 0 && data[0] is < 20 or > 24)
            return -1;
        if (data.Length > 1 && data[1] != 3)
            return -1;
        if (data.Length < HeaderSize)
            return 0;
        var length = BinaryPrimitives.ReadUInt16BigEndian(data[3..]);
        return length <= MaxPlaintext + MaxExpansion ? HeaderSize + length : -1;
    }

    /// <summary>Whether the first record is complete, or known to be none.</summary>
    public static bool IsWhole(ReadOnlySpan<byte> data)
    {
        var length = LengthOf(data);
        return length < 0 || (length > 0 && data.Length >= length);
    }
}
