using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Turns everybody away.</summary>
internal sealed class RejectExchange(string userName, string reason) : ClientAuthentication(userName)
{
    public override AuthStep Start(MessageWriter output) => TurnAway("login rejected", reason);

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output) => BreakOutOfTurn();

    public override AuthStep Resume(MessageWriter output) => BreakOutOfTurn();
}
