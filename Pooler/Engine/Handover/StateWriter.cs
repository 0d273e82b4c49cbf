using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pooler.Engine.Pools;

namespace Pooler.Engine.Handover;

/// <summary>Writes state for another process, as <see cref="StateReader"/> reads it: fixed-size numbers, little end first, and lengths before what varies.</summary>
internal sealed class StateWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    public StateWriter Byte(byte value)
    {
        _bytes.GetSpan(1)[0] = value;
        _bytes.Advance(1);
        return this;
    }

    public StateWriter Bool(bool value) => Byte(value ? (byte)1 : (byte)0);

    public StateWriter Int32(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(_bytes.GetSpan(4), value);
        _bytes.Advance(4);
        return this;
    }

    public StateWriter Int64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(_bytes.GetSpan(8), value);
        _bytes.Advance(8);
        return this;
    }

    public StateWriter Bytes(ReadOnlySpan<byte> value)
    {
        Int32(value.Length);
        _bytes.Write(value);
        return this;
    }

    public StateWriter OptionalBytes(byte[]? value) => value is null ? Bool(false) : Bool(true).Bytes(value);

    public StateWriter Text(string value) => Bytes(Encoding.UTF8.GetBytes(value));

    public StateWriter OptionalText(string? value) => value is null ? Bool(false) : Bool(true).Text(value);

    public StateWriter List<T>(IReadOnlyCollection<T> items, Action<StateWriter, T> write)
    {
        Int32(items.Count);
        foreach (var item in items) write(this, item);
        return this;
    }

    public StateWriter Pairs(IReadOnlyCollection<KeyValuePair<string, string>> pairs) =>
        List(pairs, static (w, pair) => w.Text(pair.Key).Text(pair.Value));

    public StateWriter Parameters(SessionParameters parameters) => Pairs([.. parameters.Values]);

    /// <summary>An address of a connection or a listening socket.</summary>
    public StateWriter EndPoint(EndPoint endPoint) => endPoint switch
    {
        IPEndPoint ip => Byte(1).Bytes(ip.Address.GetAddressBytes()).Int32(ip.Port),
        UnixDomainSocketEndPoint => Byte(2).Text(endPoint.ToString()!),
        _ => throw new ArgumentException($"addresses of {endPoint.AddressFamily} cannot be handed over", nameof(endPoint)),
    };
}
