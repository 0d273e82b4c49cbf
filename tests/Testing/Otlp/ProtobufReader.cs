using System.Buffers.Binary;
using System.Text;

namespace Testing.Otlp;

/// <summary>
/// Reads the fields of one protobuf message in the order they come (Protocol Buffers documentation, "Encoding"). A
/// message within it is read by another reader over <see cref="Bytes"/>.
/// </summary>
internal ref struct ProtobufReader(ReadOnlySpan<byte> message)
{
    private ReadOnlySpan<byte> _rest = message;
    private ReadOnlySpan<byte> _bytes;
    private ulong _number;

    /// <summary>The field's number in its .proto.</summary>
    public int Field { get; private set; }

    /// <summary>The value of a varint or of a number of fixed length.</summary>
    public readonly ulong Number => _number;

    /// <summary>The value as a double.</summary>
    public readonly double Double => BitConverter.UInt64BitsToDouble(_number);

    /// <summary>The value of a field with a length: bytes, a string, a message or packed numbers.</summary>
    public readonly ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>The value as a string.</summary>
    public readonly string Text => Encoding.UTF8.GetString(_bytes);

    /// <summary>The value, packed numbers of eight bytes.</summary>
    public readonly ulong[] Packed
    {
        get
        {
            var numbers = new ulong[_bytes.Length / sizeof(ulong)];
            for (var i = 0; i < numbers.Length; i++)
                numbers[i] = BinaryPrimitives.ReadUInt64LittleEndian(_bytes[(i * sizeof(ulong))..]);
            return numbers;
        }
    }

    /// <summary>Goes to the next field; false at the end.</summary>
    /// <exception cref="InvalidDataException">This is no protobuf.</exception>
    public bool Read()
    {
        if (_rest.IsEmpty)
            return false;

        var tag = Varint();
        Field = (int)(tag >> 3);
        _number = 0;
        _bytes = default;
        switch (tag & 7)
        {
            case 0:
                _number = Varint();
                break;
            case 1:
                _number = BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));
                break;
            case 2:
                _bytes = Take(checked((int)Varint()));
                break;
            case 5:
                _number = BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint)));
                break;
            default:
                throw new InvalidDataException($"Field {Field} has the unknown wire type {tag & 7}.");
        }

        return true;
    }

    private ulong Varint()
    {
        var value = 0UL;
        for (var shift = 0; shift < 64; shift += 7)
        {
            var part = Take(1)[0];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
                return value;
        }

        throw new InvalidDataException("A number is longer than 64 bits.");
    }

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > _rest.Length)
            throw new InvalidDataException("The message ends within a field.");
        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }
}
