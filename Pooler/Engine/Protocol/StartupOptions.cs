using System.Text;

namespace Pooler.Engine.Protocol;

/// <summary>
/// The <c>options</c> startup parameter: command-line switches for the backend, of which the pooler understands those
/// that set a parameter. Splitting and escapes follow PostgreSQL documentation, "libpq Connection Strings", options.
/// </summary>
internal static class StartupOptions
{
    /// <summary>
    /// Parses <c>-c name=value</c>, <c>-cname=value</c> and <c>--name=value</c>, in order.
    /// </summary>
    /// <param name="options">The parameter's value.</param>
    /// <param name="settings">Receives what was understood, also when the result is an error.</param>
    /// <returns>Null, or why the client can't be served.</returns>
    public static PgError? Parse(string options, List<KeyValuePair<string, string>> settings)
    {
        // All words are cut before any is looked at: each pass over the input is bounded by its length, whatever
        // it contains (a parser that did both at once is how CVE-2026-107349 looped for ever on "-c=").
        var words = Split(options);
        for (var i = 0; i < words.Count; i++)
        {
            var word = words[i];
            string assignment;
            if (word.StartsWith("--", StringComparison.Ordinal))
                assignment = word[2..];
            else if (word == "-c" && i + 1 < words.Count)
                assignment = words[++i];
            else if (word.StartsWith("-c", StringComparison.Ordinal))
                assignment = word[2..];
            else
                return Refuse($"The option is \"{word}\".");

            var equals = assignment.IndexOf('=');
            if (equals <= 0) return Refuse($"The option \"{word}\" needs a name and a value.");

            // As on a command line, log-statement means log_statement.
            settings.Add(new(assignment[..equals].Replace('-', '_'), assignment[(equals + 1)..]));
        }

        return null;
    }

    private static List<string> Split(string options)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var inWord = false;
        for (var i = 0; i < options.Length; i++)
        {
            var c = options[i];
            if (c is ' ' or (>= '\t' and <= '\r'))
            {
                if (inWord) words.Add(word.ToString());
                word.Clear();
                inWord = false;
                continue;
            }

            inWord = true;
            if (c != '\\')
                word.Append(c);
            else if (++i < options.Length)
                word.Append(options[i]);
        }

        if (inWord) words.Add(word.ToString());
        return words;
    }

    private static PgError Refuse(string detail) => PgError.Fatal(
        "42601",
        "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed",
        detail: detail);
}
