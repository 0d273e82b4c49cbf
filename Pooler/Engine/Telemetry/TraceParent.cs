using System.Diagnostics;
using System.Text;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// Reads the value of a <c>traceparent</c>: version, trace id, parent id and flags in hexadecimal. Source: W3C Trace
/// Context, "traceparent Header".
/// </summary>
internal static class TraceParent
{
    /// <summary>Characters of a value of version 00, the only one there is; later ones may append to it.</summary>
    public const int Length = 55;

    private const int TraceIdAt = 3;
    private const int SpanIdAt = 36;
    private const int FlagsAt = 53;

    /// <summary>W3C Trace Context, "tracestate Header": what is longer may be dropped.</summary>
    public const int LongestState = 512;

    /// <summary>Never throws, whatever the bytes.</summary>
    public static bool TryRead(ReadOnlySpan<byte> text, string? state, out ActivityContext context)
    {
        context = default;
        if (!IsValid(text, out var isSampled)) return false;
        context = new ActivityContext(
            ActivityTraceId.CreateFromUtf8String(text[TraceIdAt..(SpanIdAt - 1)]), ActivitySpanId.CreateFromUtf8String(text[SpanIdAt..(FlagsAt - 1)]),
            isSampled ? ActivityTraceFlags.Recorded : ActivityTraceFlags.None, state, isRemote: true);
        return true;
    }

    /// <summary>Whether it can be read, and its trace is recorded: what is not recorded need not be read any further.</summary>
    public static bool IsValid(ReadOnlySpan<byte> text, out bool isSampled)
    {
        isSampled = false;
        if (text.Length < Length || text[2] != '-' || text[SpanIdAt - 1] != '-' || text[FlagsAt - 1] != '-') return false;
        if (!TryReadByte(text, out var version) || version == 0xff || !TryReadByte(text[FlagsAt..], out var flags)) return false;
        if (version == 0 ? text.Length > Length : text.Length > Length && text[Length] != '-') return false;
        isSampled = (flags & (byte)ActivityTraceFlags.Recorded) != 0;
        return IsId(text[TraceIdAt..(SpanIdAt - 1)]) && IsId(text[SpanIdAt..(FlagsAt - 1)]);
    }

    /// <summary>The same of characters, for values that do not come from the wire's messages.</summary>
    public static bool TryRead(string text, out ActivityContext context) => TryRead(Encoding.UTF8.GetBytes(text), null, out context);

    // Lower case only, and not all zeros: both are invalid.
    private static bool IsId(ReadOnlySpan<byte> text) =>
        !text.ContainsAnyExcept("0123456789abcdef"u8) && text.ContainsAnyExcept((byte)'0');

    private static bool TryReadByte(ReadOnlySpan<byte> text, out byte value)
    {
        value = 0;
        if (!TryReadDigit(text[0], out var high) || !TryReadDigit(text[1], out var low)) return false;
        value = (byte)(high << 4 | low);
        return true;
    }

    private static bool TryReadDigit(byte digit, out int value)
    {
        value = digit switch
        {
            >= (byte)'0' and <= (byte)'9' => digit - '0',
            >= (byte)'a' and <= (byte)'f' => digit - 'a' + 10,
            _ => -1,
        };
        return value >= 0;
    }
}
