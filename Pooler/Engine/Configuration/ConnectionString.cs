using System.Text;

namespace Pooler.Engine.Configuration;

/// <summary>
/// Reads the values of <c>[databases]</c>, <c>[users]</c> and <c>[peers]</c>: <c>key=value key='value with spaces'</c>,
/// where two quotes within quotes are one.
/// </summary>
internal static class ConnectionString
{
    /// <summary>
    /// Reads all pairs. Messages name keys, never values: a value may be a password, or the rest of one.
    /// </summary>
    public static bool TryRead(string text, out List<KeyValuePair<string, string>> pairs, out string error)
    {
        pairs = [];
        error = "";
        var at = 0;
        while (true)
        {
            SkipSpace(text, ref at);
            if (at == text.Length) return true;

            var start = at;
            while (at < text.Length && text[at] != '=' && !char.IsWhiteSpace(text[at])) at++;
            var key = text[start..at];
            SkipSpace(text, ref at);
            if (key.Length == 0 || at == text.Length || text[at] != '=')
            {
                // Without its '=' a word may be part of a password that should have been quoted.
                error = $"expected key=value at column {start + 1} of the value; write values with spaces in single quotes";
                return false;
            }

            at++;
            SkipSpace(text, ref at);
            if (!TryReadValue(text, ref at, out var value))
            {
                error = $"the value of {key} has no closing quote";
                return false;
            }

            if (value.Length == 0)
            {
                error = $"the value of {key} is empty";
                return false;
            }

            pairs.Add(KeyValuePair.Create(key, value));
        }
    }

    private static bool TryReadValue(string text, ref int at, out string value)
    {
        var result = new StringBuilder();
        if (at == text.Length || text[at] != '\'')
        {
            while (at < text.Length && !char.IsWhiteSpace(text[at])) result.Append(text[at++]);
            value = result.ToString();
            return true;
        }

        for (at++; at < text.Length; at++)
        {
            if (text[at] != '\'')
            {
                result.Append(text[at]);
                continue;
            }

            at++;
            if (at == text.Length || text[at] != '\'')
            {
                value = result.ToString();
                return true;
            }

            result.Append('\'');
        }

        value = "";
        return false;
    }

    private static void SkipSpace(string text, ref int at)
    {
        while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
    }
}
