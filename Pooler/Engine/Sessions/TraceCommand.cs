using System.Diagnostics;
using System.Text;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>What a statement does to the session parameter <c>pooler.traceparent</c>.</summary>
internal enum TraceVerb : byte
{
    /// <summary>Sets it for the session.</summary>
    Set,

    /// <summary>Sets it up to the end of the transaction.</summary>
    SetLocal,

    /// <summary>Goes back to the value of the start.</summary>
    Reset,

    /// <summary>Goes back to the value of the start, up to the end of the transaction.</summary>
    ResetLocal,

    /// <summary>Asks for it.</summary>
    Show,
}

/// <summary>How far a text could be read as a statement about the parameter.</summary>
internal enum TraceReading : byte
{
    /// <summary>It is something else.</summary>
    None,

    /// <summary>More of it must come before that can be said.</summary>
    Incomplete,

    /// <summary>It is one.</summary>
    Found,
}

/// <summary>
/// A statement about <c>pooler.traceparent</c>, which the pooler understands and servers never see. SET, RESET and SHOW as in
/// PostgreSQL's documentation; RESET ALL and DISCARD ALL concern the parameter among others.
/// </summary>
internal sealed class TraceCommand
{
    public const string Parameter = "pooler.traceparent";

    /// <summary>What goes back to the value of the start besides other things.</summary>
    public static readonly TraceCommand ResetAll = new() { Verb = TraceVerb.Reset, Tag = "RESET", IsForServer = true };

    public required TraceVerb Verb { get; init; }

    /// <summary>The tag that PostgreSQL answers with.</summary>
    public required string Tag { get; init; }

    /// <summary>The value it sets; empty for none.</summary>
    public string Value { get; init; } = "";

    /// <summary>What the value stands for, if it is valid.</summary>
    public ActivityContext Context { get; init; }

    /// <summary>The value is not a traceparent.</summary>
    public bool IsMalformed { get; init; }

    /// <summary>The server has to execute it as it is.</summary>
    public bool IsForServer { get; init; }

    /// <summary>The error for <see cref="IsMalformed"/>.</summary>
    public static PgError MalformedError(string value) => PgError.Error(
        SqlState.InvalidParameterValue, $"invalid value for parameter \"{Parameter}\": \"{value}\"",
        hint: "A traceparent has the form of W3C Trace Context: 00-, 32 hexadecimal digits, -, 16 hexadecimal digits, -, 2 hexadecimal digits.");

    /// <summary>Whether a text is worth <see cref="TryRead"/>: a look at its first bytes.</summary>
    public static bool MayBegin(ReadOnlySpan<byte> sql)
    {
        sql = SkipSpace(sql);
        if (sql.Length < 4) return false;
        var word = (sql[0] | 0x20) << 16 | (sql[1] | 0x20) << 8 | (sql[2] | 0x20);
        return word is ('s' << 16 | 'e' << 8 | 't') or ('r' << 16 | 'e' << 8 | 's') or ('s' << 16 | 'h' << 8 | 'o') or ('d' << 16 | 'i' << 8 | 's');
    }

    /// <summary>Whether a Query, or the Parse of an unnamed statement, may begin with such a statement.</summary>
    public static bool MayBeginMessage(ReadOnlySpan<byte> message) => message[0] switch
    {
        Frontend.Query => MayBegin(message[MessageHeader.Size..]),
        Frontend.Parse => message.Length > MessageHeader.Size && message[MessageHeader.Size] == 0 && MayBegin(message[(MessageHeader.Size + 1)..]),
        _ => false,
    };

    /// <summary>Reads the first statement of a text. Never throws.</summary>
    /// <param name="sql">The text, without its terminator when it is whole.</param>
    /// <param name="isWhole">It is all there.</param>
    /// <param name="command">What it says.</param>
    /// <param name="statement">The statement's place in the text, up to its semicolon.</param>
    /// <param name="isAlone">No other statement follows.</param>
    public static TraceReading TryRead(ReadOnlySpan<byte> sql, bool isWhole, out TraceCommand command, out Range statement, out bool isAlone)
    {
        command = ResetAll;
        statement = default;
        isAlone = false;
        var rest = SkipSpace(sql);
        var begin = sql.Length - rest.Length;
        var reading = TryReadStatement(ref rest, out var found);
        if (reading == TraceReading.None) return TraceReading.None;
        // What looks whole may be the beginning of something longer.
        var end = sql.Length - rest.Length;
        rest = SkipSpace(rest);
        if (rest.IsEmpty && !isWhole) return TraceReading.Incomplete;
        if (reading == TraceReading.Incomplete || (!rest.IsEmpty && rest[0] != ';')) return TraceReading.None;
        command = found!;
        statement = begin..end;
        while (rest is [(byte)';', ..]) rest = SkipSpace(rest[1..]);
        isAlone = rest.IsEmpty && isWhole;
        return TraceReading.Found;
    }

    /// <summary>
    /// Replaces a statement in a text by one of the same length, tag and manners that means nothing, so that the answers,
    /// and errors, come from the server and in its order. A malformed value becomes one that the server refuses.
    /// </summary>
    public void Replace(Span<byte> statement)
    {
        if (IsForServer) return;
        var harmless = IsMalformed ? "SET geqo='traceparent'"u8 : (Verb, Tag) switch
        {
            (TraceVerb.SetLocal or TraceVerb.ResetLocal, _) => "SET LOCAL pooler.noted=''"u8,
            (_, "RESET") => "RESET pooler.noted"u8,
            _ => "SET pooler.noted=''"u8,
        };
        harmless.CopyTo(statement);
        statement[harmless.Length..].Fill((byte)' ');
    }

    private static TraceReading TryReadStatement(ref ReadOnlySpan<byte> rest, out TraceCommand? command)
    {
        command = null;
        var word = ReadWord(ref rest);
        if (IsWord(word, "show"u8) || IsWord(word, "reset"u8))
        {
            var isShow = IsWord(word, "show"u8);
            var name = ReadWord(ref rest);
            if (!isShow && IsWord(name, "all"u8)) command = ResetAll;
            else if (IsWord(name, "pooler.traceparent"u8)) command = isShow
                ? new TraceCommand { Verb = TraceVerb.Show, Tag = "SHOW" }
                : new TraceCommand { Verb = TraceVerb.Reset, Tag = "RESET" };
            return command is not null ? TraceReading.Found : rest.IsEmpty ? TraceReading.Incomplete : TraceReading.None;
        }
        if (IsWord(word, "discard"u8))
        {
            if (IsWord(ReadWord(ref rest), "all"u8)) command = ResetAll;
            return command is not null ? TraceReading.Found : rest.IsEmpty ? TraceReading.Incomplete : TraceReading.None;
        }
        if (!IsWord(word, "set"u8)) return rest.IsEmpty ? TraceReading.Incomplete : TraceReading.None;
        word = ReadWord(ref rest);
        var isLocal = IsWord(word, "local"u8);
        if (isLocal || IsWord(word, "session"u8)) word = ReadWord(ref rest);
        if (!IsWord(word, "pooler.traceparent"u8)) return rest.IsEmpty ? TraceReading.Incomplete : TraceReading.None;
        rest = SkipSpace(rest);
        if (rest is [(byte)'=', ..]) rest = rest[1..];
        else if (!IsWord(ReadWord(ref rest), "to"u8)) return rest.IsEmpty ? TraceReading.Incomplete : TraceReading.None;
        return TryReadValue(ref rest, isLocal, out command);
    }

    private static TraceReading TryReadValue(ref ReadOnlySpan<byte> rest, bool isLocal, out TraceCommand? command)
    {
        command = null;
        rest = SkipSpace(rest);
        if (rest.IsEmpty) return TraceReading.Incomplete;
        if (rest[0] != '\'')
        {
            var word = ReadWord(ref rest);
            if (word.IsEmpty) return TraceReading.None;
            command = IsWord(word, "default"u8)
                ? new TraceCommand { Verb = isLocal ? TraceVerb.ResetLocal : TraceVerb.Reset, Tag = "SET" }
                : Of(word, isLocal);
            return TraceReading.Found;
        }
        for (var i = 1; i < rest.Length; i++)
        {
            if (rest[i] != '\'') continue;
            if (i + 1 < rest.Length && rest[i + 1] == '\'')
            {
                i++;
                continue;
            }
            command = Of(rest[1..i], isLocal);
            rest = rest[(i + 1)..];
            return TraceReading.Found;
        }
        rest = default;
        return TraceReading.Incomplete;
    }

    private static TraceCommand Of(ReadOnlySpan<byte> value, bool isLocal)
    {
        var isValid = TraceParent.TryRead(value, null, out var context);
        return new TraceCommand
        {
            Verb = isLocal ? TraceVerb.SetLocal : TraceVerb.Set,
            Tag = "SET",
            Value = Encoding.UTF8.GetString(value),
            Context = context,
            IsMalformed = !isValid && !value.IsEmpty,
        };
    }

    /// <summary>A keyword or a name with dots in it.</summary>
    private static ReadOnlySpan<byte> ReadWord(ref ReadOnlySpan<byte> rest)
    {
        rest = SkipSpace(rest);
        var length = 0;
        while (length < rest.Length && (char.IsAsciiLetterOrDigit((char)rest[length]) || rest[length] is (byte)'_' or (byte)'.')) length++;
        var word = rest[..length];
        rest = rest[length..];
        return word;
    }

    private static bool IsWord(ReadOnlySpan<byte> word, ReadOnlySpan<byte> expected) => Ascii.EqualsIgnoreCase(word, expected);

    /// <summary>Comments too: whoever marks all of its texts by a comment marks these as well.</summary>
    private static ReadOnlySpan<byte> SkipSpace(ReadOnlySpan<byte> text)
    {
        while (true)
        {
            text = text.TrimStart(" \t\r\n\f\v"u8);
            var last = text switch
            {
                [(byte)'-', (byte)'-', ..] => text.IndexOf((byte)'\n'),
                [(byte)'/', (byte)'*', ..] => EndOfComment(text),
                _ => int.MaxValue,
            };
            if (last == int.MaxValue) return text;
            // One that does not end here takes all the rest.
            text = last < 0 ? default : text[(last + 1)..];
        }
    }

    // Comments of this kind nest (PostgreSQL documentation, 4.1.5).
    private static int EndOfComment(ReadOnlySpan<byte> text)
    {
        var depth = 0;
        for (var i = 0; text[i..].IndexOfAny((byte)'*', (byte)'/') is >= 0 and var next; i++)
        {
            i += next;
            if (i + 1 == text.Length) return -1;
            if (text[i] == '/' && text[i + 1] == '*') depth++;
            else if (text[i] != '*' || text[i + 1] != '/') continue;
            else if (--depth == 0) return i + 1;
            i++;
        }
        return -1;
    }
}
