using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>A request as people are shown it.</summary>
internal static class RequestDescription
{
    private const int BinaryFormat = 1;

    // pg_type.dat
    private const int Bool = 16, Name = 19, Int8 = 20, Int2 = 21, Int4 = 23, Text = 25, Oid = 26, Json = 114, Float4 = 700, Float8 = 701,
        BpChar = 1042, VarChar = 1043, Date = 1082, Timestamp = 1114, TimestampTz = 1184, Uuid = 2950, Jsonb = 3802;

    // What PostgreSQL counts times from.
    private static readonly DateTime Epoch = new(2000, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    /// <summary>Its SQL; empty when nothing is known.</summary>
    /// <param name="request">What the server was sent.</param>
    /// <param name="withValues">With the literals in it and the values bound to it.</param>
    public static string Of(in RequestCopy request, bool withValues)
    {
        if (request.IsName) return $"(prepared statement {Encoding.UTF8.GetString(request.Sql)})";
        if (!withValues) return QueryText.WithoutLiterals(request.Sql, request.IsCut);
        var text = QueryText.AsIs(request.Sql, request.IsCut);
        return request.Values.Length == 0 ? text : text + Values(request.Values, request.Types.Span);
    }

    /// <summary>The values of a Bind message (PostgreSQL documentation, "Message Formats") as <c> [$1 = 'a', $2 = NULL]</c>.</summary>
    private static string Values(ReadOnlySpan<byte> body, ReadOnlySpan<byte> types)
    {
        var reader = new MessageReader(body);
        if (!reader.TryReadInt16(out var formats) || formats < 0 || !reader.TryReadBytes(formats * 2, out var format)) return " [" + QueryText.Ellipsis + "]";
        if (!reader.TryReadInt16(out var count)) return " [" + QueryText.Ellipsis + "]";
        if (count == 0) return "";
        var text = new StringBuilder(" [");
        for (var i = 0; i < count; i++)
        {
            if (i > 0) text.Append(", ");
            ReadOnlySpan<byte> value = default;
            if (!reader.TryReadInt32(out var length) || (length >= 0 && !reader.TryReadBytes(length, out value)))
            {
                text.Append(QueryText.Ellipsis);
                break;
            }
            text.Append(CultureInfo.InvariantCulture, $"${i + 1} = ");
            if (length < 0)
            {
                text.Append("NULL");
                continue;
            }
            var isBinary = formats switch
            {
                0 => false,
                1 => BinaryPrimitives.ReadInt16BigEndian(format) == BinaryFormat,
                _ => i < formats && BinaryPrimitives.ReadInt16BigEndian(format[(i * 2)..]) == BinaryFormat,
            };
            text.Append('\'').Append((isBinary ? Binary(value, TypeOf(types, i)) : Encoding.UTF8.GetString(value)).Replace("'", "''")).Append('\'');
        }
        return text.Append(']').ToString();
    }

    private static int TypeOf(ReadOnlySpan<byte> types, int index) =>
        types.Length >= 2 + 4 * (index + 1) && index < BinaryPrimitives.ReadInt16BigEndian(types) ? BinaryPrimitives.ReadInt32BigEndian(types[(2 + 4 * index)..]) : 0;

    /// <summary>The text of a value in PostgreSQL's binary format; its bytes where the type is none of the usual ones, or not known.</summary>
    private static string Binary(ReadOnlySpan<byte> value, int type) => (type, value.Length) switch
    {
        (Bool, 1) => value[0] == 0 ? "f" : "t",
        (Int2, 2) => BinaryPrimitives.ReadInt16BigEndian(value).ToString(CultureInfo.InvariantCulture),
        (Int4, 4) => BinaryPrimitives.ReadInt32BigEndian(value).ToString(CultureInfo.InvariantCulture),
        (Oid, 4) => BinaryPrimitives.ReadUInt32BigEndian(value).ToString(CultureInfo.InvariantCulture),
        (Int8, 8) => BinaryPrimitives.ReadInt64BigEndian(value).ToString(CultureInfo.InvariantCulture),
        (Float4, 4) => BinaryPrimitives.ReadSingleBigEndian(value).ToString(CultureInfo.InvariantCulture),
        (Float8, 8) => BinaryPrimitives.ReadDoubleBigEndian(value).ToString(CultureInfo.InvariantCulture),
        (Uuid, 16) => new Guid(value, bigEndian: true).ToString(),
        (Date, 4) => Moment(BinaryPrimitives.ReadInt32BigEndian(value), TimeSpan.TicksPerDay, "yyyy-MM-dd") ?? Hex(value),
        (Timestamp, 8) => Moment(BinaryPrimitives.ReadInt64BigEndian(value), TimeSpan.TicksPerMicrosecond, "yyyy-MM-dd HH:mm:ss.FFFFFF") ?? Hex(value),
        (TimestampTz, 8) => Moment(BinaryPrimitives.ReadInt64BigEndian(value), TimeSpan.TicksPerMicrosecond, "yyyy-MM-dd HH:mm:ss.FFFFFF+00") ?? Hex(value),
        (Text or VarChar or BpChar or Name or Json, _) => Encoding.UTF8.GetString(value),
        (Jsonb, > 0) => Encoding.UTF8.GetString(value[1..]),
        _ => Hex(value),
    };

    /// <summary>A time since PostgreSQL's epoch; null when it is out of .NET's reach, infinity for one.</summary>
    private static string? Moment(long count, long unit, string format)
    {
        var ticks = (Int128)count * unit + Epoch.Ticks;
        return ticks < 0 || ticks > DateTime.MaxValue.Ticks ? null : new DateTime((long)ticks).ToString(format, CultureInfo.InvariantCulture);
    }

    private static string Hex(ReadOnlySpan<byte> value) => "\\x" + Convert.ToHexStringLower(value);
}
