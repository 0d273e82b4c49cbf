using System.Text;

namespace Pooler.Engine.Auth.Hba;

/// <summary>A word of an HBA or ident line.</summary>
/// <param name="Text">Without its quotes.</param>
/// <param name="IsQuoted">It begins with a quote: no keyword, no <c>@file</c>, no <c>+role</c>.</param>
internal readonly record struct HbaToken(string Text, bool IsQuoted)
{
    /// <summary>Whether it is the keyword, in lower case as PgBouncer and PostgreSQL demand.</summary>
    public bool Is(string keyword) => !IsQuoted && Text == keyword;

    /// <summary>For messages, at a bearable length.</summary>
    public override string ToString() => Text.Length <= 60 ? $"\"{Text}\"" : $"\"{Text[..60]}…\"";
}

/// <summary>A column of a line: one word, or several with commas between them.</summary>
/// <param name="Tokens">At least one.</param>
/// <param name="End">Where it ends in the line.</param>
internal sealed record HbaField(IReadOnlyList<HbaToken> Tokens, int End)
{
    public HbaToken First => Tokens[0];

    public bool IsSingle => Tokens.Count == 1;
}

/// <summary>A line that says something, with continuation lines joined to it.</summary>
/// <param name="Number">Of its first line, from 1.</param>
/// <param name="Text">As written, without a comment.</param>
/// <param name="Fields">Its columns; empty when there is an error.</param>
/// <param name="Error">Why it can't be cut into words.</param>
internal sealed record HbaLine(int Number, string Text, IReadOnlyList<HbaField> Fields, string? Error);

/// <summary>
/// Cuts HBA and ident files into lines and words. Words end at blanks, commas and <c>#</c>; quotes keep these together
/// and <c>""</c> in them is a quote; a comma joins what stands before and after it to one column, with or without blanks
/// around it; a backslash at the end of a line that is no comment continues it.
/// </summary>
internal static class HbaTokens
{
    /// <summary>The lines of a file that are not blank and not comments only.</summary>
    public static IEnumerable<HbaLine> Lines(string text)
    {
        var number = 0;
        var first = 0;
        var joined = new StringBuilder();
        foreach (var raw in text.TrimStart('\uFEFF').Split('\n'))
        {
            number++;
            if (joined.Length == 0) first = number;
            joined.Append(raw.TrimEnd('\r'));
            var line = Cut(joined.ToString(), first);

            // A comment is never continued: a path in it that ends in a backslash would swallow the rule below.
            if (line.Text.Length == joined.Length && joined.Length > 0 && joined[^1] == '\\')
            {
                joined.Length--;
                continue;
            }

            joined.Clear();
            if (line.Error is not null || line.Fields.Count > 0) yield return line;
        }

        if (joined.Length > 0 && Cut(joined.ToString(), first) is var last && (last.Error is not null || last.Fields.Count > 0)) yield return last;
    }

    /// <summary>Cuts one line.</summary>
    public static HbaLine Cut(string line, int number)
    {
        var fields = new List<HbaField>();
        var tokens = new List<HbaToken>();
        var afterComma = false;
        var pos = 0;
        while (true)
        {
            while (pos < line.Length && IsBlank(line[pos])) pos++;
            if (pos == line.Length || line[pos] == '#') break;
            if (line[pos] == ',')
            {
                afterComma = true;
                pos++;
                continue;
            }

            if (tokens.Count > 0 && !afterComma)
            {
                fields.Add(new HbaField(tokens, EndOf(line, pos)));
                tokens = [];
            }

            // A comma before the first word of a line joins it to nothing.
            afterComma = false;
            if (!TryReadToken(line, ref pos, out var token)) return new HbaLine(number, line, [], "a quote is not closed");
            tokens.Add(token);
        }

        if (tokens.Count > 0) fields.Add(new HbaField(tokens, EndOf(line, pos)));
        return new HbaLine(number, line[..pos], fields, null);
    }

    /// <summary>All words of a text whatever their lines: the contents of an <c>@file</c>.</summary>
    /// <returns>Null when a quote is not closed.</returns>
    public static List<HbaToken>? Words(string text)
    {
        var words = new List<HbaToken>();
        foreach (var line in Lines(text))
        {
            if (line.Error is not null) return null;
            foreach (var field in line.Fields) words.AddRange(field.Tokens);
        }

        return words;
    }

    private static bool TryReadToken(string line, ref int pos, out HbaToken token)
    {
        var text = new StringBuilder();
        var isQuoted = line[pos] == '"';
        var inQuotes = false;
        for (; pos < line.Length; pos++)
        {
            var c = line[pos];
            if (c == '"')
            {
                if (inQuotes && pos + 1 < line.Length && line[pos + 1] == '"')
                {
                    text.Append('"');
                    pos++;
                }
                else
                {
                    inQuotes = !inQuotes;
                }
            }
            else if (!inQuotes && (IsBlank(c) || c is ',' or '#'))
            {
                break;
            }
            else
            {
                text.Append(c);
            }
        }

        token = new HbaToken(text.ToString(), isQuoted);
        return !inQuotes;
    }

    // Back over the blanks that separate it from what follows.
    private static int EndOf(string line, int pos)
    {
        while (pos > 0 && IsBlank(line[pos - 1])) pos--;
        return pos;
    }

    private static bool IsBlank(char c) => c is ' ' or (>= '\t' and <= '\r');
}
