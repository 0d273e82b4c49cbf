using System.Security.Cryptography;

namespace Pooler.Engine.Auth;

/// <summary>
/// The keys that SCRAM-SHA-256 derives from a password, a salt and an iteration count (RFC 5802, section 3). Whoever
/// has the client key can log in wherever the same salt and count are stored: never log one.
/// </summary>
public sealed class ScramKeys
{
    /// <summary>Length of every key, in bytes: that of a SHA-256 hash.</summary>
    public const int Length = SHA256.HashSizeInBytes;

    /// <summary>Bundles keys; each must have <see cref="Length"/> bytes.</summary>
    public ScramKeys(byte[] clientKey, byte[] serverKey)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(clientKey.Length, Length, nameof(clientKey));
        ArgumentOutOfRangeException.ThrowIfNotEqual(serverKey.Length, Length, nameof(serverKey));
        (ClientKey, ServerKey, StoredKey) = (clientKey, serverKey, SHA256.HashData(clientKey));
    }

    /// <summary>Proves to a server who we are.</summary>
    internal byte[] ClientKey { get; }

    /// <summary>Proves to a client that the server knows its secret.</summary>
    internal byte[] ServerKey { get; }

    /// <summary>The hash of the client key: what a server stores.</summary>
    internal byte[] StoredKey { get; }

    /// <summary>Derives the keys. Costs milliseconds of CPU time: not for a loop's thread.</summary>
    internal static ScramKeys Derive(ReadOnlySpan<byte> password, ReadOnlySpan<byte> salt, int iterations)
    {
        Span<byte> salted = stackalloc byte[Length];
        Rfc2898DeriveBytes.Pbkdf2(password, salt, salted, iterations, HashAlgorithmName.SHA256);
        var keys = new ScramKeys(HMACSHA256.HashData(salted, "Client Key"u8), HMACSHA256.HashData(salted, "Server Key"u8));
        CryptographicOperations.ZeroMemory(salted);
        return keys;
    }

    /// <summary>Keeps keys out of logs.</summary>
    public override string ToString() => "SCRAM keys";
}
