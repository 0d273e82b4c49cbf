using System.Text.RegularExpressions;

namespace Pooler.Engine.Auth.Hba;

/// <summary>
/// The regular expressions of HBA and ident files, written after a slash. PostgreSQL's are close enough to .NET's that
/// what people write there means the same here.
/// </summary>
internal static class HbaPattern
{
    // A name is at most some thousand characters, so this is for expressions that explode.
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(200);

    /// <summary>Makes the expression of a word that begins with a slash.</summary>
    /// <exception cref="HbaException">It is not one.</exception>
    public static Regex Parse(HbaToken word)
    {
        const RegexOptions options = RegexOptions.CultureInvariant;
        var expression = word.Text[1..];
        try
        {
            // Linear in time; knows neither look-around nor references back.
            return new Regex(expression, options | RegexOptions.NonBacktracking);
        }
        catch (NotSupportedException)
        {
            return new Regex(expression, options, Limit);
        }
        catch (ArgumentException e)
        {
            throw new HbaException($"{word} is no regular expression: {e.Message}");
        }
    }

    public static bool IsMatch(Regex pattern, string name) => Find(pattern, name) is not null;

    /// <summary>The match; null when there is none, and when it can't be had in time.</summary>
    public static Match? Find(Regex pattern, string name)
    {
        // To .NET a dollar sign also matches before a line's end, to PostgreSQL only at the end of the name.
        if (name.Contains('\n')) return null;
        try
        {
            return pattern.Match(name) is { Success: true } match ? match : null;
        }
        catch (RegexMatchTimeoutException)
        {
            return null;
        }
    }
}
