using System.Security.Cryptography;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Challenges with four random bytes; the secret is a plain or an md5 one.</summary>
/// <param name="userName">Who the client says it is.</param>
/// <param name="secret">What to check against; null turns away.</param>
/// <param name="missing">Why there is no secret.</param>
internal sealed class Md5Exchange(string userName, Secret? secret, string? missing) : ClientAuthentication(userName)
{
    private readonly byte[] _salt = RandomNumberGenerator.GetBytes(4);
    private bool _isAsked;

    public override AuthStep Start(MessageWriter output)
    {
        output.AuthenticationMd5Password(_salt);
        _isAsked = true;
        return AuthStep.Continue;
    }

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output)
    {
        if (!_isAsked) return BreakOutOfTurn();
        _isAsked = false;
        if (!TryReadPassword(body, out var answer)) return AuthStep.Failed;

        // Without a secret the same work is done on nothing, for the same timing.
        var stored = secret is null ? null : Md5Password.FromSecret(secret, UserName);
        var expected = Md5Password.Answer(stored ?? Md5Password.Store([], UserName), _salt);
        var isRight = CryptographicOperations.FixedTimeEquals(answer, expected);
        if (stored is null) return Reject(missing ?? "the secret can't serve for md5");
        return isRight ? AuthStep.Succeeded : Reject("wrong password");
    }

    public override AuthStep Resume(MessageWriter output) => BreakOutOfTurn();
}
