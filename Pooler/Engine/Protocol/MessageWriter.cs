using System.Buffers.Binary;
using System.Text;

namespace Pooler.Engine.Protocol;

/// <summary>
/// Builds protocol messages one after the other in one growing buffer, so that they leave in one send. Each loop keeps
/// one and clears it after use. Wire format: PostgreSQL documentation, "Frontend/Backend Protocol, Message Formats".
/// </summary>
public sealed class MessageWriter(int capacity = 512)
{
    private byte[] _buffer = new byte[capacity];
    private int _length;
    private int _lengthField = -1;

    /// <summary>All complete messages and raw bytes written since <see cref="Clear"/>.</summary>
    public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, _length);

    /// <summary>Bytes written since <see cref="Clear"/>.</summary>
    public int Length => _length;

    /// <summary>Forgets everything written; keeps the buffer unless it grew far beyond normal use.</summary>
    public void Clear()
    {
        _length = 0;
        _lengthField = -1;
        if (_buffer.Length > 256 * 1024) _buffer = new byte[capacity];
    }

    /// <summary>Begins a message of the given type; its length is filled in by <see cref="End"/>.</summary>
    public MessageWriter Begin(byte type)
    {
        Byte(type);
        return BeginUntyped();
    }

    /// <summary>Begins a message without a type byte (startup packet, cancel request).</summary>
    public MessageWriter BeginUntyped()
    {
        _lengthField = _length;
        return Int32(0);
    }

    /// <summary>Ends the message begun last.</summary>
    public void End()
    {
        BinaryPrimitives.WriteInt32BigEndian(_buffer.AsSpan(_lengthField), _length - _lengthField);
        _lengthField = -1;
    }

    /// <summary>Appends a byte.</summary>
    public MessageWriter Byte(byte value)
    {
        Reserve(1)[0] = value;
        return this;
    }

    /// <summary>Appends a 16-bit integer in network order.</summary>
    public MessageWriter Int16(short value)
    {
        BinaryPrimitives.WriteInt16BigEndian(Reserve(2), value);
        return this;
    }

    /// <summary>Appends a 32-bit integer in network order.</summary>
    public MessageWriter Int32(int value)
    {
        BinaryPrimitives.WriteInt32BigEndian(Reserve(4), value);
        return this;
    }

    /// <summary>Appends bytes as they are.</summary>
    public MessageWriter Bytes(ReadOnlySpan<byte> value)
    {
        value.CopyTo(Reserve(value.Length));
        return this;
    }

    /// <summary>Appends text in UTF-8, without a terminator.</summary>
    public MessageWriter Text(ReadOnlySpan<char> value)
    {
        var span = Reserve(Encoding.UTF8.GetByteCount(value));
        Encoding.UTF8.GetBytes(value, span);
        return this;
    }

    /// <summary>Appends text in UTF-8 and a zero byte.</summary>
    public MessageWriter CString(ReadOnlySpan<char> value) => Text(value).Byte(0);

    /// <summary>Appends bytes and a zero byte.</summary>
    public MessageWriter CString(ReadOnlySpan<byte> value) => Bytes(value).Byte(0);

    private Span<byte> Reserve(int count)
    {
        var needed = _length + count;
        if (needed > _buffer.Length) Array.Resize(ref _buffer, Math.Max(needed, _buffer.Length * 2));
        var span = _buffer.AsSpan(_length, count);
        _length = needed;
        return span;
    }
}
