using System.Text;

namespace Pooler.Engine.Auth;

/// <summary>
/// Users and their secrets in PgBouncer's format, <c>userlist.txt</c>: a line is <c>"name" "secret"</c>, what follows
/// on it is ignored, <c>""</c> stands for a quote, and a line that begins with <c>;</c> is a comment.
/// </summary>
public sealed class AuthFile
{
    // As in PgBouncer, in bytes: names up to 127, secrets up to 65,530.
    private const int MaxNameLength = 127;
    private const int MaxSecretLength = 65530;

    // More than a million users; beyond it, it's the wrong file.
    private const int MaxFileLength = 256 * 1024 * 1024;

    private readonly Dictionary<string, Secret?> _users = new(StringComparer.Ordinal);
    private readonly List<string> _errors = [];

    private AuthFile()
    {
    }

    /// <summary>
    /// Secrets by user name. Null: the user is listed with an empty password, which lets nobody in where a password
    /// is asked for. Of several lines for one name the last counts.
    /// </summary>
    public IReadOnlyDictionary<string, Secret?> Users => _users;

    /// <summary>What is wrong, each with file and line; lines without an error count nevertheless. No secrets.</summary>
    public IReadOnlyList<string> Errors => _errors;

    /// <summary>Reads a file. That it can't be read is one of <see cref="Errors"/>. Blocks: not for a loop's thread.</summary>
    public static AuthFile Load(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxFileLength }) return Unreadable(path, "it is too long for a list of users");
            return Parse(File.ReadAllBytes(path), path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            return Unreadable(path, exception.Message);
        }
    }

    /// <summary>Parses text.</summary>
    /// <param name="text">The whole file.</param>
    /// <param name="path">Its name, for the messages.</param>
    public static AuthFile Parse(ReadOnlySpan<char> text, string path)
    {
        var file = new AuthFile();
        var number = 0;
        text = text.TrimStart('\uFEFF');
        foreach (var range in text.Split('\n'))
        {
            number++;
            if (file.ReadLine(text[range].TrimStart()) is { } error) file._errors.Add($"{path}:{number}: {error}");
        }

        return file;
    }

    private static AuthFile Parse(byte[] bytes, string path)
    {
        try
        {
            return Parse(new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes), path);
        }
        catch (DecoderFallbackException exception)
        {
            var line = bytes.AsSpan(0, Math.Clamp(exception.Index, 0, bytes.Length)).Count((byte)'\n') + 1;
            var file = new AuthFile();
            file._errors.Add($"{path}:{line}: the text is not valid UTF-8");
            return file;
        }
    }

    private static AuthFile Unreadable(string path, string reason)
    {
        var file = new AuthFile();
        file._errors.Add($"{path}: can't be read: {reason}");
        return file;
    }

    private string? ReadLine(ReadOnlySpan<char> line)
    {
        if (line.IsEmpty || line[0] == ';') return null;
        if (line[0] != '"') return "expected a user name in double quotes";
        if (!TryReadQuoted(ref line, out var name)) return "the user name has no closing double quote on its line";
        if (name.Length == 0) return "the user name is empty";
        if (Encoding.UTF8.GetByteCount(name) > MaxNameLength) return $"the user name is longer than {MaxNameLength} bytes";

        line = line.TrimStart();
        if (line.IsEmpty || line[0] != '"') return $"expected the secret of user \"{name}\" in double quotes";
        if (!TryReadQuoted(ref line, out var secret)) return $"the secret of user \"{name}\" has no closing double quote on its line";
        if (Encoding.UTF8.GetByteCount(secret) > MaxSecretLength) return $"the secret of user \"{name}\" is longer than {MaxSecretLength} bytes";
        if (name.Contains('\0') || secret.Contains('\0')) return "zero bytes are not allowed";

        _users[name] = Secret.Parse(secret);
        return null;
    }

    // The line begins with the opening quote; afterwards it begins behind the closing one.
    private static bool TryReadQuoted(ref ReadOnlySpan<char> line, out string text)
    {
        var builder = new StringBuilder();
        for (var i = 1; i < line.Length; i++)
        {
            if (line[i] != '"')
            {
                builder.Append(line[i]);
            }
            else if (i + 1 < line.Length && line[i + 1] == '"')
            {
                builder.Append('"');
                i++;
            }
            else
            {
                text = builder.ToString();
                line = line[(i + 1)..];
                return true;
            }
        }

        text = "";
        return false;
    }
}
