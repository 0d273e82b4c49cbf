using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// Lets a known user in who is at the other end of a Unix socket under its own name, or under one that a map allows.
/// </summary>
/// <param name="login">The login.</param>
/// <param name="nameOf">Who a user id belongs to; asked off the loops.</param>
internal sealed class PeerExchange(AuthenticationRequest login, Func<uint, string?> nameOf) : ClientAuthentication(login.UserName)
{
    private const string Rejected = "unix socket login rejected";

    private Task<string?>? _lookup;

    public override AuthStep Start(MessageWriter output)
    {
        if (!login.IsLocal) return TurnAway(Rejected, "peer is for Unix sockets");
        if (login.Peer is not { } peer) return TurnAway(Rejected, "the system does not say who is at the other end");
        // User databases may be at the other end of a network.
        Work = _lookup = Task.Run(() => nameOf(peer.UserId));
        return AuthStep.Working;
    }

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output) => BreakOutOfTurn();

    public override AuthStep Resume(MessageWriter output)
    {
        if (_lookup is not { IsCompletedSuccessfully: true }) return BreakOutOfTurn();
        if (_lookup.Result is not { } name) return TurnAway(Rejected, $"user id {login.Peer!.UserId} has no name");
        var map = login.Rule?.Option("map");
        if (!login.Access.Maps.Allow(map, [name], UserName, StringComparison.Ordinal))
            return TurnAway(Rejected, map is null ? $"the peer is user {name}" : $"ident map {map} cannot be matched");
        return login.UserIsKnown ? AuthStep.Succeeded : TurnAway(Rejected, "no such user");
    }
}
