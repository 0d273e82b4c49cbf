using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>
/// How values look on the wire, in text and in binary form. Binary forms: PostgreSQL documentation, "Message Formats"
/// and the send functions of the types.
/// </summary>
internal static class WireValue
{
    // numeric is sent in groups of four decimal digits.
    private const int NumericBase = 10_000;

    public static ColumnDescription Describe(ConsoleColumn column, bool binary)
    {
        var (oid, size) = OidAndSize(column.Type);
        return new ColumnDescription(column.Name, oid, size, binary ? (short)1 : (short)0);
    }

    public static int Oid(ColumnType type) => OidAndSize(type).Oid;

    /// <summary>The type behind an oid that a client gives a parameter; text for the types that are not known here.</summary>
    public static ColumnType TypeOf(int oid) => oid switch
    {
        16 => ColumnType.Bool,
        17 => ColumnType.Bytea,
        20 => ColumnType.Int8,
        21 or 23 => ColumnType.Int4,
        1700 => ColumnType.Numeric,
        _ => ColumnType.Text,
    };

    /// <summary>Appends a cell to a DataRow.</summary>
    public static void Write(MessageWriter writer, object? value, bool binary)
    {
        switch (value)
        {
            case null:
                writer.Int32(-1);
                break;
            case string text:
                writer.Cell(text);
                break;
            case int number when binary:
                writer.Int32(4).Int32(number);
                break;
            case long number when binary:
                writer.Int32(8).Int32((int)(number >> 32)).Int32((int)number);
                break;
            case bool truth when binary:
                writer.Int32(1).Byte(truth ? (byte)1 : (byte)0);
                break;
            case byte[] bytes when binary:
                writer.Cell(bytes.AsSpan());
                break;
            case decimal number when binary:
                WriteNumeric(writer, number);
                break;
            default:
                writer.Cell(Text(value));
                break;
        }
    }

    /// <summary>The text form.</summary>
    public static string? Text(object? value) => value switch
    {
        null => null,
        bool truth => truth ? "t" : "f",
        byte[] bytes => @"\x" + System.Convert.ToHexStringLower(bytes),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString(),
    };

    /// <summary>Reads a parameter of a Bind message.</summary>
    /// <exception cref="ConsoleException">It is not a value of the type.</exception>
    public static object? Read(ReadOnlySpan<byte> bytes, int oid, bool binary)
    {
        var type = TypeOf(oid);
        if (!binary) return Convert(Encoding.UTF8.GetString(bytes), type);
        return (type, bytes.Length) switch
        {
            (ColumnType.Int4, 2) => (int)BinaryPrimitives.ReadInt16BigEndian(bytes),
            (ColumnType.Int4, 4) => BinaryPrimitives.ReadInt32BigEndian(bytes),
            (ColumnType.Int8, 8) => BinaryPrimitives.ReadInt64BigEndian(bytes),
            (ColumnType.Bool, 1) => bytes[0] != 0,
            (ColumnType.Bytea, _) => bytes.ToArray(),
            (ColumnType.Numeric, >= 8) => ReadNumeric(bytes),
            // text, varchar, name and unknown look the same in both forms; other types have no use here.
            (ColumnType.Text, _) when oid is 0 or 19 or 25 or 705 or 1042 or 1043 => Encoding.UTF8.GetString(bytes),
            (ColumnType.Text, _) => throw new ConsoleException(PgError.Error(SqlState.FeatureNotSupported,
                $"parameters of type {oid} are not supported in binary form by the admin console")),
            _ => throw Malformed(),
        };
    }

    /// <summary>A text as a value of the type, as PostgreSQL's input functions read it.</summary>
    /// <exception cref="ConsoleException">22P02: it is not one.</exception>
    public static object Convert(string text, ColumnType type)
    {
        const NumberStyles decimals = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint
            | NumberStyles.AllowExponent | NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite;
        switch (type)
        {
            case ColumnType.Int4 when int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var number):
                return number;
            case ColumnType.Int8 when long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var number):
                return number;
            case ColumnType.Numeric when decimal.TryParse(text, decimals, CultureInfo.InvariantCulture, out var number):
                return number;
            case ColumnType.Bool:
                switch (text.Trim().ToLowerInvariant())
                {
                    case "t" or "true" or "y" or "yes" or "on" or "1":
                        return true;
                    case "f" or "false" or "n" or "no" or "off" or "0":
                        return false;
                }
                break;
            case ColumnType.Bytea:
                if (!text.StartsWith(@"\x", StringComparison.Ordinal)) return Encoding.UTF8.GetBytes(text);
                try
                {
                    return System.Convert.FromHexString(text.AsSpan(2));
                }
                catch (FormatException)
                {
                    break;
                }
            case ColumnType.Text or ColumnType.Time:
                return text;
        }
        throw new ConsoleException(PgError.Error("22P02", $"invalid input syntax for type {Name(type)}: \"{text}\""));
    }

    /// <summary>PostgreSQL's name of the type, for messages.</summary>
    public static string Name(ColumnType type) => type switch
    {
        ColumnType.Int4 => "integer",
        ColumnType.Int8 => "bigint",
        ColumnType.Numeric => "numeric",
        ColumnType.Bytea => "bytea",
        ColumnType.Bool => "boolean",
        _ => "text",
    };

    private static (int Oid, short Size) OidAndSize(ColumnType type) => type switch
    {
        ColumnType.Int4 => (23, 4),
        ColumnType.Int8 => (20, 8),
        ColumnType.Numeric => (1700, -1),
        ColumnType.Bytea => (17, -1),
        ColumnType.Bool => (16, 1),
        _ => (25, -1),
    };

    private static void WriteNumeric(MessageWriter writer, decimal value)
    {
        var scale = value.Scale;
        var whole = decimal.Truncate(Math.Abs(value));
        var fraction = Math.Abs(value) - whole;
        var digits = new List<short>();
        for (var rest = whole; rest > 0; rest = (rest - rest % NumericBase) / NumericBase) digits.Insert(0, (short)(rest % NumericBase));
        // The weight is the power of the base that the first group counts.
        var weight = digits.Count - 1;
        for (var left = (int)scale; left > 0; left -= 4)
        {
            fraction *= NumericBase;
            var digit = decimal.Truncate(fraction);
            fraction -= digit;
            digits.Add((short)digit);
        }
        while (digits.Count > 0 && digits[^1] == 0) digits.RemoveAt(digits.Count - 1);
        while (digits.Count > 0 && digits[0] == 0)
        {
            digits.RemoveAt(0);
            weight--;
        }
        if (digits.Count == 0) weight = 0;
        writer.Int32(8 + 2 * digits.Count).Int16((short)digits.Count).Int16((short)weight)
            .Int16(value < 0 ? (short)0x4000 : (short)0).Int16(scale);
        foreach (var digit in digits) writer.Int16(digit);
    }

    private static decimal ReadNumeric(ReadOnlySpan<byte> bytes)
    {
        var reader = new MessageReader(bytes);
        if (!reader.TryReadInt16(out var count) || !reader.TryReadInt16(out var weight)
            || !reader.TryReadInt16(out var sign) || !reader.TryReadInt16(out _)
            || sign is not (0 or 0x4000) || count < 0) throw Malformed();
        try
        {
            var value = 0m;
            var power = (int)weight;
            for (var i = 0; i < count; i++, power--)
            {
                if (!reader.TryReadInt16(out var digit)) throw Malformed();
                var part = (decimal)digit;
                for (var p = 0; p < power; p++) part *= NumericBase;
                for (var p = 0; p > power && part != 0; p--) part /= NumericBase;
                value += part;
            }
            return sign == 0 ? value : -value;
        }
        catch (OverflowException)
        {
            throw new ConsoleException(PgError.Error("22003", "numeric parameter out of range"));
        }
    }

    private static ConsoleException Malformed() => new(PgError.Error("22P03", "incorrect binary data format in bind parameter"));
}
