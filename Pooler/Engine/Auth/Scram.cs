using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Pooler.Engine.Auth;

/// <summary>The computations and the text form of SCRAM-SHA-256 that both sides share (RFC 5802, RFC 7677).</summary>
internal static class Scram
{
    /// <summary>The mechanism's name.</summary>
    public static ReadOnlySpan<byte> Mechanism => "SCRAM-SHA-256"u8;

    /// <summary>The name with channel binding: both sides prove that they are at the two ends of the same TLS connection.</summary>
    public static ReadOnlySpan<byte> MechanismPlus => "SCRAM-SHA-256-PLUS"u8;

    /// <summary>The type of channel binding that PostgreSQL and its clients know (RFC 5929, section 4).</summary>
    public const string BindingType = "tls-server-end-point";

    /// <summary>The binding as it is named at the beginning of a client's first message: "GS2 header".</summary>
    public const string BindingHeader = $"p={BindingType},,";

    /// <summary>What the client's final message repeats under c=: its header, and with a binding the binding's data.</summary>
    public static string EncodeBinding(string header, ReadOnlySpan<byte> data) =>
        Convert.ToBase64String([.. Encoding.ASCII.GetBytes(header), .. data]);

    /// <summary>PostgreSQL's limit for SASL messages of a client, in bytes; a server's are held to the same order.</summary>
    public const int MaxMessageLength = 1024;

    /// <summary>A server's first message: room for a salt far beyond PostgreSQL's 16 bytes.</summary>
    public const int MaxServerMessageLength = 4096;

    /// <summary>Longest nonce of a peer. PostgreSQL's have 24 characters, drivers' up to 48.</summary>
    public const int MaxNonceLength = 512;

    /// <summary>Salt length of secrets made here, in bytes; as PostgreSQL's.</summary>
    public const int SaltLength = 16;

    // Random bytes in a nonce, before base64; as PostgreSQL's.
    private const int RawNonceLength = 18;

    /// <summary>A fresh nonce: printable and without commas.</summary>
    public static string NewNonce() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(RawNonceLength));

    /// <summary>
    /// The proof of either side: HMAC over the conversation ("AuthMessage"), keyed with StoredKey (client signature)
    /// or ServerKey (server signature).
    /// </summary>
    public static byte[] Sign(byte[] key, string clientFirstBare, string serverFirst, string clientFinalWithoutProof) =>
        HMACSHA256.HashData(key, Encoding.Latin1.GetBytes($"{clientFirstBare},{serverFirst},{clientFinalWithoutProof}"));

    /// <summary>The bitwise exclusive or of two keys.</summary>
    public static byte[] Xor(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        var result = new byte[ScramKeys.Length];
        for (var i = 0; i < result.Length; i++) result[i] = (byte)(left[i] ^ right[i]);
        return result;
    }

    /// <summary>
    /// A message as text, or null when it is empty, too long or has a zero byte. Latin-1 on the way in and in
    /// <see cref="Sign"/>: the bytes that are signed stay exactly those that came, whatever a name in them is encoded in.
    /// </summary>
    public static string? ReadText(ReadOnlySpan<byte> message, int maxLength) =>
        message.Length == 0 || message.Length > maxLength || message.Contains((byte)0) ? null : Encoding.Latin1.GetString(message);

    /// <summary>Whether a nonce has only the characters RFC 5802 allows and a sane length.</summary>
    public static bool IsNonce(ReadOnlySpan<char> value)
    {
        if (value.Length is 0 or > MaxNonceLength) return false;
        foreach (var c in value)
        {
            if (c is < '!' or > '~' or ',') return false;
        }

        return true;
    }

    /// <summary>Decodes base64 of a bounded length, or null.</summary>
    public static byte[]? Decode(ReadOnlySpan<char> base64)
    {
        if (base64.IsEmpty || !Base64.IsValid(base64, out var length)) return null;
        var bytes = new byte[length];
        return Convert.TryFromBase64Chars(base64, bytes, out var written) && written == length ? bytes : null;
    }

    /// <summary>Takes <c>name=value</c> from the front of a message, with the comma that ends it.</summary>
    /// <returns>False when the next attribute is malformed or another one.</returns>
    public static bool TakeAttribute(ref ReadOnlySpan<char> message, char name, out ReadOnlySpan<char> value) =>
        TakeAttribute(ref message, out var actual, out value) && actual == name;

    /// <summary>Takes any attribute from the front of a message, with the comma that ends it.</summary>
    public static bool TakeAttribute(ref ReadOnlySpan<char> message, out char name, out ReadOnlySpan<char> value)
    {
        name = '\0';
        value = default;
        if (message.Length < 2 || !char.IsAsciiLetter(message[0]) || message[1] != '=') return false;
        name = message[0];
        var end = message.IndexOf(',');
        value = end < 0 ? message[2..] : message[2..end];
        message = end < 0 ? default : message[(end + 1)..];
        return true;
    }
}
