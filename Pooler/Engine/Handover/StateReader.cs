using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pooler.Engine.Pools;

namespace Pooler.Engine.Handover;

/// <summary>What another process has sent is not what was agreed on, or it does not send it.</summary>
internal sealed class HandoverException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Reads what <see cref="StateWriter"/> wrote. Lengths are checked against what is there before anything is made of them,
/// so that garbage costs no more memory than it has bytes.
/// </summary>
internal ref struct StateReader(ReadOnlySpan<byte> bytes)
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private ReadOnlySpan<byte> _rest = bytes;

    public delegate T Item<out T>(ref StateReader reader);

    public byte Byte() => Take(1)[0];

    public bool Bool() => Byte() switch
    {
        0 => false,
        1 => true,
        var other => throw new HandoverException($"{other} is neither true nor false"),
    };

    public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(4));

    public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

    /// <summary>A number from 0 up: an age, a count, an id.</summary>
    public long Count() => Int64() is >= 0 and var value ? value : throw new HandoverException("a negative count");

    public byte[] Bytes() => Take(Length()).ToArray();

    public byte[]? OptionalBytes() => Bool() ? Bytes() : null;

    public string Text()
    {
        try
        {
            return Strict.GetString(Take(Length()));
        }
        catch (DecoderFallbackException e)
        {
            throw new HandoverException("a text is not UTF-8", e);
        }
    }

    public string? OptionalText() => Bool() ? Text() : null;

    public T Enum<T>() where T : struct, System.Enum
    {
        var value = (T)System.Enum.ToObject(typeof(T), Byte());
        return System.Enum.IsDefined(value) ? value : throw new HandoverException($"{value} is no {typeof(T).Name}");
    }

    public T[] List<T>(Item<T> read)
    {
        // Every item has at least one byte.
        var items = new T[Length()];
        for (var i = 0; i < items.Length; i++) items[i] = read(ref this);
        return items;
    }

    public KeyValuePair<string, string>[] Pairs() =>
        List(static (ref StateReader r) => new KeyValuePair<string, string>(r.Text(), r.Text()));

    public SessionParameters Parameters()
    {
        var parameters = SessionParameters.Empty;
        foreach (var (name, value) in Pairs()) parameters = parameters.With(name, value);
        return parameters;
    }

    public EndPoint EndPoint()
    {
        try
        {
            switch (Byte())
            {
                case 1:
                    return new IPEndPoint(new IPAddress(Bytes()), Int32());
                case 2:
                    var name = Text();
                    return new UnixDomainSocketEndPoint(name.StartsWith('@') ? "\0" + name[1..] : name);
                default:
                    throw new HandoverException("an address of an unknown kind");
            }
        }
        catch (ArgumentException e)
        {
            throw new HandoverException("an address that is none", e);
        }
    }

    /// <summary>All must have been read.</summary>
    public readonly void End()
    {
        if (!_rest.IsEmpty) throw new HandoverException($"{_rest.Length} bytes too many");
    }

    private int Length()
    {
        var length = Int32();
        return length >= 0 && length <= _rest.Length ? length : throw new HandoverException($"a length of {length} where {_rest.Length} bytes follow");
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        if (_rest.Length < count) throw new HandoverException("the state ends too early");
        var taken = _rest[..count];
        _rest = _rest[count..];
        return taken;
    }
}
