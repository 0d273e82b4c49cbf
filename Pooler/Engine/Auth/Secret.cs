using System.Globalization;

namespace Pooler.Engine.Auth;

/// <summary>The form in which a password is stored.</summary>
public enum SecretKind
{
    /// <summary>The password itself.</summary>
    Plain,

    /// <summary>"md5" and the MD5 of password and user name, in hexadecimal.</summary>
    Md5,

    /// <summary>SCRAM-SHA-256 with iterations, salt, StoredKey and ServerKey.</summary>
    Scram,
}

/// <summary>
/// A stored password of a user, in one of the three forms of PgBouncer's auth_file and of pg_authid.rolpassword. What
/// only looks like an md5 or SCRAM secret but is malformed counts as a plain password, as it does for PgBouncer.
/// </summary>
public sealed class Secret
{
    private const string ScramPrefix = "SCRAM-SHA-256$";

    private Secret(SecretKind kind, string text) => (Kind, Text) = (kind, text);

    /// <summary>How it is stored.</summary>
    public SecretKind Kind { get; }

    /// <summary>The secret as it was given. Never log it.</summary>
    public string Text { get; }

    /// <summary>SCRAM: how often the hash is iterated.</summary>
    internal int Iterations { get; private init; }

    /// <summary>SCRAM: the salt.</summary>
    internal byte[] Salt { get; private init; } = [];

    /// <summary>SCRAM: the hash of the client key.</summary>
    internal byte[] StoredKey { get; private init; } = [];

    /// <summary>SCRAM: the server key.</summary>
    internal byte[] ServerKey { get; private init; } = [];

    /// <summary>Recognises the form of a stored password. An empty one is no password: null.</summary>
    public static Secret? Parse(string? text)
    {
        if (string.IsNullOrEmpty(text)) return null;
        return IsMd5(text) ? new Secret(SecretKind.Md5, text) : TryParseScram(text) ?? new Secret(SecretKind.Plain, text);
    }

    /// <summary>A password as it is, whatever it looks like. An empty one is no password: null.</summary>
    public static Secret? FromPassword(string? password) =>
        string.IsNullOrEmpty(password) ? null : new Secret(SecretKind.Plain, password);

    /// <summary>Names the form only.</summary>
    public override string ToString() => $"{Kind} secret";

    private static bool IsMd5(string text) =>
        text.Length == 35 && text.StartsWith("md5", StringComparison.Ordinal) && text.AsSpan(3).IndexOfAnyExcept("0123456789abcdef") < 0;

    private static Secret? TryParseScram(string text)
    {
        if (!text.StartsWith(ScramPrefix, StringComparison.Ordinal)) return null;
        var rest = text.AsSpan(ScramPrefix.Length);
        Span<Range> parts = stackalloc Range[3];
        if (rest.Split(parts, '$') != 2) return null;
        var parameters = rest[parts[0]];
        var keys = rest[parts[1]];

        Span<Range> pair = stackalloc Range[3];
        if (parameters.Split(pair, ':') != 2) return null;
        if (!int.TryParse(parameters[pair[0]], NumberStyles.None, CultureInfo.InvariantCulture, out var iterations) || iterations < 1) return null;
        if (Scram.Decode(parameters[pair[1]]) is not { Length: > 0 } salt) return null;

        if (keys.Split(pair, ':') != 2) return null;
        if (Scram.Decode(keys[pair[0]]) is not { Length: ScramKeys.Length } storedKey) return null;
        if (Scram.Decode(keys[pair[1]]) is not { Length: ScramKeys.Length } serverKey) return null;

        return new Secret(SecretKind.Scram, text) { Iterations = iterations, Salt = salt, StoredKey = storedKey, ServerKey = serverKey };
    }
}
