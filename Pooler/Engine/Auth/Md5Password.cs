using System.Security.Cryptography;
using System.Text;

namespace Pooler.Engine.Auth;

/// <summary>PostgreSQL's MD5 passwords. PostgreSQL documentation, "Password Authentication".</summary>
internal static class Md5Password
{
    /// <summary>The stored form: "md5" and the hash of password and user name.</summary>
    public static string Store(ReadOnlySpan<byte> password, string userName) => "md5" + Hash(password, Encoding.UTF8.GetBytes(userName));

    /// <summary>The answer to a challenge, from the stored form.</summary>
    public static byte[] Answer(string stored, ReadOnlySpan<byte> salt) =>
        Encoding.ASCII.GetBytes("md5" + Hash(Encoding.ASCII.GetBytes(stored[3..]), salt));

    /// <summary>The stored form of a secret: null when it is a SCRAM one, from which no MD5 can be made.</summary>
    public static string? FromSecret(Secret secret, string userName) => secret.Kind switch
    {
        SecretKind.Plain => Store(Encoding.UTF8.GetBytes(secret.Text), userName),
        SecretKind.Md5 => secret.Text,
        _ => null,
    };

    private static string Hash(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        // A SCRAM-only policy is the administrator's to choose (auth_type, pg_hba.conf), not this method's.
        using var md5 = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
        md5.AppendData(first);
        md5.AppendData(second);
        return Convert.ToHexStringLower(md5.GetHashAndReset());
    }
}
