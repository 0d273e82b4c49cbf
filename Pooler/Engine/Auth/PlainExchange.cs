using System.Security.Cryptography;
using System.Text;
using System.Text.Unicode;

namespace Pooler.Engine.Auth;

/// <summary>Asks for the password in clear text and checks it against a secret of any form.</summary>
/// <param name="userName">Who the client says it is.</param>
/// <param name="secret">What to check against; null turns away.</param>
/// <param name="missing">Why there is no secret.</param>
internal sealed class PlainExchange(string userName, Secret? secret, string? missing) : CleartextExchange(userName)
{
    private const string WrongPassword = "wrong password";

    // Comparing hashes under a random key takes the same time whatever the lengths and contents of the two.
    private static readonly byte[] ComparisonKey = RandomNumberGenerator.GetBytes(32);

    private string? _password;
    private Task<ScramKeys>? _derivation;

    private protected override AuthStep Check(ReadOnlySpan<byte> password)
    {
        _password = Utf8.IsValid(password) ? Encoding.UTF8.GetString(password) : null;
        switch (secret?.Kind)
        {
            case SecretKind.Plain:
                return Answer(AreEqual(password, Encoding.UTF8.GetBytes(secret.Text)));
            case SecretKind.Md5:
                return Answer(AreEqual(Encoding.ASCII.GetBytes(Md5Password.Store(password, UserName)), Encoding.ASCII.GetBytes(secret.Text)));
            case SecretKind.Scram:
                return CheckBy(_derivation = ScramKeyCache.Derive(SaslPrep.Prepare(password), secret.Salt, secret.Iterations));
            default:
                AreEqual(password, password);
                return Reject(missing ?? WrongPassword);
        }
    }

    private protected override AuthStep Decide()
    {
        var keys = _derivation!.Result;
        var isRight = CryptographicOperations.FixedTimeEquals(keys.StoredKey, secret!.StoredKey);
        if (isRight) ScramKeys = keys;
        return Answer(isRight);
    }

    private AuthStep Answer(bool isRight)
    {
        if (!isRight) return Reject(WrongPassword);
        PlainPassword = _password;
        return AuthStep.Succeeded;
    }

    private static bool AreEqual(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) => CryptographicOperations.FixedTimeEquals(
        HMACSHA256.HashData(ComparisonKey, left),
        HMACSHA256.HashData(ComparisonKey, right));
}
