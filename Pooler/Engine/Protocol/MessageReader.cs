using System.Buffers.Binary;

namespace Pooler.Engine.Protocol;

/// <summary>
/// Reads the fields of one message body. Every read is checked: what isn't there makes the method return false and
/// leaves the position as it was, so that hostile input ends in an answer and never in an exception.
/// </summary>
public ref struct MessageReader(ReadOnlySpan<byte> body)
{
    private ReadOnlySpan<byte> _rest = body;

    /// <summary>The bytes not read yet.</summary>
    public readonly ReadOnlySpan<byte> Rest => _rest;

    /// <summary>Whether everything has been read.</summary>
    public readonly bool AtEnd => _rest.IsEmpty;

    /// <summary>Reads a byte.</summary>
    public bool TryReadByte(out byte value)
    {
        value = 0;
        if (_rest.IsEmpty) return false;
        value = _rest[0];
        _rest = _rest[1..];
        return true;
    }

    /// <summary>Reads a 16-bit integer in network order.</summary>
    public bool TryReadInt16(out short value)
    {
        if (!BinaryPrimitives.TryReadInt16BigEndian(_rest, out value)) return false;
        _rest = _rest[2..];
        return true;
    }

    /// <summary>Reads a 32-bit integer in network order.</summary>
    public bool TryReadInt32(out int value)
    {
        if (!BinaryPrimitives.TryReadInt32BigEndian(_rest, out value)) return false;
        _rest = _rest[4..];
        return true;
    }

    /// <summary>Reads a number of bytes; a negative number (NULL in the protocol's length fields) is refused.</summary>
    public bool TryReadBytes(int count, out ReadOnlySpan<byte> value)
    {
        value = default;
        if ((uint)count > (uint)_rest.Length) return false;
        value = _rest[..count];
        _rest = _rest[count..];
        return true;
    }

    /// <summary>Reads bytes up to a zero byte, which is consumed and not returned.</summary>
    public bool TryReadCString(out ReadOnlySpan<byte> value)
    {
        value = default;
        var end = _rest.IndexOf((byte)0);
        if (end < 0) return false;
        value = _rest[..end];
        _rest = _rest[(end + 1)..];
        return true;
    }
}
