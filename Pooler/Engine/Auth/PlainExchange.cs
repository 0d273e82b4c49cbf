using System.Security.Cryptography;
using System.Text;
using System.Text.Unicode;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Asks for the password in clear text and checks it against a secret of any form.</summary>
/// <param name="userName">Who the client says it is.</param>
/// <param name="secret">What to check against; null turns away.</param>
/// <param name="missing">Why there is no secret.</param>
internal sealed class PlainExchange(string userName, Secret? secret, string? missing) : ClientAuthentication(userName)
{
    private const string WrongPassword = "wrong password";

    // Comparing hashes under a random key takes the same time whatever the lengths and contents of the two.
    private static readonly byte[] ComparisonKey = RandomNumberGenerator.GetBytes(32);

    private State _state;
    private string? _password;
    private Task<ScramKeys>? _derivation;

    private enum State
    {
        /// <summary>The request has not been sent.</summary>
        New,

        /// <summary>The password is awaited.</summary>
        Asked,

        /// <summary>Keys are derived from the password, to compare with a SCRAM secret.</summary>
        Deriving,

        /// <summary>Decided.</summary>
        Ended,
    }

    public override AuthStep Start(MessageWriter output)
    {
        if (_state != State.New) return BreakOutOfTurn();
        output.AuthenticationCleartextPassword();
        _state = State.Asked;
        return AuthStep.Continue;
    }

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output)
    {
        if (_state != State.Asked) return BreakOutOfTurn();
        _state = State.Ended;
        if (!TryReadPassword(body, out var password)) return AuthStep.Failed;
        _password = Utf8.IsValid(password) ? Encoding.UTF8.GetString(password) : null;
        switch (secret?.Kind)
        {
            case SecretKind.Plain:
                return Decide(AreEqual(password, Encoding.UTF8.GetBytes(secret.Text)));
            case SecretKind.Md5:
                return Decide(AreEqual(Encoding.ASCII.GetBytes(Md5Password.Store(password, UserName)), Encoding.ASCII.GetBytes(secret.Text)));
            case SecretKind.Scram:
                _state = State.Deriving;
                Work = _derivation = ScramKeyCache.Derive(SaslPrep.Prepare(password), secret.Salt, secret.Iterations);
                return AuthStep.Working;
            default:
                AreEqual(password, password);
                return Reject(missing ?? WrongPassword);
        }
    }

    public override AuthStep Resume(MessageWriter output)
    {
        if (_state != State.Deriving || _derivation is not { IsCompletedSuccessfully: true }) return BreakOutOfTurn();
        _state = State.Ended;
        var keys = _derivation.Result;
        var isRight = CryptographicOperations.FixedTimeEquals(keys.StoredKey, secret!.StoredKey);
        if (isRight) ScramKeys = keys;
        return Decide(isRight);
    }

    private AuthStep Decide(bool isRight)
    {
        if (!isRight) return Reject(WrongPassword);
        PlainPassword = _password;
        return AuthStep.Succeeded;
    }

    private static bool AreEqual(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) => CryptographicOperations.FixedTimeEquals(
        HMACSHA256.HashData(ComparisonKey, left),
        HMACSHA256.HashData(ComparisonKey, right));
}
