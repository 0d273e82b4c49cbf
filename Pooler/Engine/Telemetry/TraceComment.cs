using System.Diagnostics;
using System.Text;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// Finds the trace context in the comment at the end of a query, in the form of sqlcommenter:
/// <c>/*key='value',traceparent='00-…'*/</c>, values URL-encoded. Source: the specification of sqlcommenter (OpenTelemetry).
/// </summary>
internal static class TraceComment
{
    /// <summary>
    /// From the end of a text the beginning of its comment is looked for this far: a tracestate of its greatest length, every
    /// character encoded, and other keys beside it.
    /// </summary>
    private const int Farthest = 4096;

    /// <summary>The text of a Query, without its terminator. What is not marked costs a look at the last bytes.</summary>
    /// <param name="sql">The text.</param>
    /// <param name="context">The client's span; the default when its trace is not recorded.</param>
    public static bool TryRead(ReadOnlySpan<byte> sql, out ActivityContext context)
    {
        context = default;
        var end = sql.Length;
        while (end > 0 && sql[end - 1] is (byte)' ' or (byte)';' or (byte)'\n' or (byte)'\r' or (byte)'\t') end--;
        if (end < 4 || sql[end - 1] != '/' || sql[end - 2] != '*') return false;
        var from = Math.Max(0, end - Farthest);
        var comment = sql[from..(end - 2)];
        var begin = comment.LastIndexOf("/*"u8);
        return begin >= 0 && TryReadPairs(comment[(begin + 2)..], out context);
    }

    /// <summary>The body of a Parse: the statement's name, its text, and types, whose bytes may look like anything.</summary>
    public static bool TryReadParse(ReadOnlySpan<byte> body, out ActivityContext context)
    {
        context = default;
        var text = body[(body.IndexOf((byte)0) + 1)..];
        var end = text.IndexOf((byte)0);
        return end >= 0 && TryRead(text[..end], out context);
    }

    private static bool TryReadPairs(ReadOnlySpan<byte> comment, out ActivityContext context)
    {
        context = default;
        ReadOnlySpan<byte> parent = default, state = default;
        while (true)
        {
            comment = comment.TrimStart(" ,\t\r\n"u8);
            var equals = comment.IndexOf((byte)'=');
            if (equals <= 0) break;
            var key = comment[..equals].TrimEnd(" \t"u8);
            comment = comment[(equals + 1)..].TrimStart(" \t"u8);
            if (comment is not [(byte)'\'', ..]) break;
            var length = EndOf(comment[1..]);
            if (length < 0) break;
            var value = comment.Slice(1, length);
            comment = comment[(length + 2)..];
            if (key.SequenceEqual("traceparent"u8) && parent.IsEmpty) parent = value;
            else if (key.SequenceEqual("tracestate"u8) && state.IsEmpty) state = value;
        }
        if (parent.IsEmpty) return false;
        if (parent.Contains((byte)'%')) parent = Encoding.UTF8.GetBytes(Decode(parent));
        if (!TraceParent.IsValid(parent, out var isSampled)) return false;
        return !isSampled || TraceParent.TryRead(parent, state.IsEmpty ? null : ValidState(Decode(state)), out context);
    }

    // An invalid state does not make the parent invalid.
    private static string? ValidState(string state) =>
        state.Length <= TraceParent.LongestState && !state.AsSpan().ContainsAnyExceptInRange(' ', '~') ? state : null;

    // A quote in a value has a backslash in front.
    private static int EndOf(ReadOnlySpan<byte> value)
    {
        for (var i = 0; i < value.Length; i++)
        {
            if (value[i] == '\'') return i;
            if (value[i] == '\\') i++;
        }
        return -1;
    }

    private static string Decode(ReadOnlySpan<byte> value) => Uri.UnescapeDataString(Encoding.UTF8.GetString(value));
}
