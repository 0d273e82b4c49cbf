using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// An exchange that first finds something out, off the loop if need be (<see cref="AuthStep.Working"/>), and then leaves
/// the rest to another: the HBA line that applies, a user's secret on the server.
/// </summary>
internal abstract class StagedAuthentication(string userName) : ClientAuthentication(userName)
{
    private ClientAuthentication? _inner;

    public sealed override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output) =>
        _inner is { } inner ? Follow(inner, inner.Receive(body, output)) : BreakOutOfTurn();

    public sealed override AuthStep Resume(MessageWriter output) =>
        _inner is { } inner ? Follow(inner, inner.Resume(output)) : ResumeSearch(output);

    /// <remarks>The search itself is called off through <see cref="IUserQueries.Abandon"/>.</remarks>
    public sealed override void Abandon() => _inner?.Abandon();

    /// <summary>Goes on after <see cref="AuthExchange.Work"/>, before there is an inner exchange.</summary>
    private protected abstract AuthStep ResumeSearch(MessageWriter output);

    /// <summary>Leaves the rest to another exchange, which begins now.</summary>
    private protected AuthStep GoOnWith(ClientAuthentication inner, MessageWriter output)
    {
        _inner = inner;
        return Follow(inner, inner.Start(output));
    }

    private AuthStep Follow(ClientAuthentication inner, AuthStep step)
    {
        Work = inner.Work;
        Error = inner.Error;
        TakeOutcome(inner);
        return step;
    }
}
