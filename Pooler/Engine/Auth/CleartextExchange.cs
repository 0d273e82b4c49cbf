using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Asks for the password in clear text; what it is checked against is the derived class's.</summary>
internal abstract class CleartextExchange(string userName) : ClientAuthentication(userName)
{
    private State _state;

    private enum State
    {
        /// <summary>The request has not been sent.</summary>
        New,

        /// <summary>The password is awaited.</summary>
        Asked,

        /// <summary>It is being checked, off the loop.</summary>
        Checking,

        /// <summary>Decided.</summary>
        Ended,
    }

    public sealed override AuthStep Start(MessageWriter output)
    {
        if (_state != State.New) return BreakOutOfTurn();
        output.AuthenticationCleartextPassword();
        _state = State.Asked;
        return AuthStep.Continue;
    }

    public sealed override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output)
    {
        if (_state != State.Asked) return BreakOutOfTurn();
        _state = State.Ended;
        // An empty one never gets further: directories take it for an anonymous login, which succeeds.
        return TryReadPassword(body, out var password) ? Check(password) : AuthStep.Failed;
    }

    public sealed override AuthStep Resume(MessageWriter output)
    {
        if (_state != State.Checking || Work is not { IsCompletedSuccessfully: true }) return BreakOutOfTurn();
        _state = State.Ended;
        return Decide();
    }

    /// <summary>Checks the password, which is not empty: at once, or off the loop with <see cref="CheckBy"/>.</summary>
    private protected abstract AuthStep Check(ReadOnlySpan<byte> password);

    /// <summary>What the work of <see cref="CheckBy"/> has come to.</summary>
    private protected abstract AuthStep Decide();

    /// <summary>Goes on with <see cref="Decide"/> when the work has ended.</summary>
    private protected AuthStep CheckBy(Task work)
    {
        _state = State.Checking;
        Work = work;
        return AuthStep.Working;
    }
}
