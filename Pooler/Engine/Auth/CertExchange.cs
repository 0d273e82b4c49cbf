using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Lets a known user in whose TLS client certificate carries its name, or one that a map allows.</summary>
internal sealed class CertExchange(AuthenticationRequest login) : ClientAuthentication(login.UserName)
{
    public override AuthStep Start(MessageWriter output)
    {
        var reason = CertificateCheck.Mismatch(login) ?? (login.UserIsKnown ? null : "no such user");
        return reason is null ? AuthStep.Succeeded : TurnAway("certificate authentication failed", reason);
    }

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output) => BreakOutOfTurn();

    public override AuthStep Resume(MessageWriter output) => BreakOutOfTurn();
}
