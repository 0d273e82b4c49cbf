using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Asks for no proof: decided at the start.</summary>
internal sealed class TrustExchange(string userName, bool isTrusted) : ClientAuthentication(userName)
{
    public override AuthStep Start(MessageWriter output)
    {
        if (isTrusted) return AuthStep.Succeeded;
        return TurnAway("\"trust\" authentication failed", "no such user");
    }

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output) => BreakOutOfTurn();

    public override AuthStep Resume(MessageWriter output) => BreakOutOfTurn();
}
