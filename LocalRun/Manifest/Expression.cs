using System.Text;

namespace LocalRun.Manifest;

/// <summary>A text with references in braces, such as <c>{postgres.bindings.tcp.port}</c>; a doubled brace stands for itself.</summary>
internal static class Expression
{
    /// <summary>The references in a text, without braces.</summary>
    public static IEnumerable<string> References(string text)
    {
        var references = new List<string>();
        Replace(text, "", reference =>
        {
            references.Add(reference);
            return "";
        });
        return references;
    }

    /// <summary>The resource that a reference names.</summary>
    public static string ResourceOf(string reference) => reference.Split('.', 2)[0];

    /// <summary>Replaces every reference.</summary>
    /// <param name="text">The text.</param>
    /// <param name="where">Where it stands, for messages.</param>
    /// <param name="value">Gives the value of a reference.</param>
    /// <param name="keepEscapes">True to leave doubled braces doubled, when the result is again an expression.</param>
    public static string Replace(string text, string where, Func<string, string> value, bool keepEscapes = false)
    {
        if (!text.Contains('{', StringComparison.Ordinal) && !text.Contains('}', StringComparison.Ordinal))
            return text;

        var result = new StringBuilder();
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (c is '{' or '}' && i + 1 < text.Length && text[i + 1] == c)
            {
                result.Append(c, keepEscapes ? 2 : 1);
                i++;
            }
            else if (c == '{')
            {
                var end = text.IndexOf('}', i);
                if (end < 0)
                    throw new ManifestException($"{where}: '{{' without '}}' in \"{text}\".");
                result.Append(value(text[(i + 1)..end]));
                i = end;
            }
            else
            {
                result.Append(c);
            }
        }

        return result.ToString();
    }
}
