using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>Where an authentication exchange stands after a step.</summary>
public enum AuthStep
{
    /// <summary>Waits for the peer's next message.</summary>
    Continue,

    /// <summary>Computes off the loop: when <see cref="AuthExchange.Work"/> has ended, call <see cref="AuthExchange.Resume"/> on the loop.</summary>
    Working,

    /// <summary>The peer is who it says.</summary>
    Succeeded,

    /// <summary>It is not, or the exchange broke; see <see cref="AuthExchange.Error"/>.</summary>
    Failed,
}

/// <summary>
/// One authentication, as a state machine over message bodies: it appends what is to be sent to a writer and never
/// does I/O. Costly derivations (SCRAM) run as <see cref="Work"/> on the thread pool, so that a login storm does not
/// slow running traffic. Used by one loop thread at a time.
/// </summary>
public abstract class AuthExchange
{
    /// <summary>Set when a step returned <see cref="AuthStep.Failed"/>.</summary>
    public PgError? Error { get; protected set; }

    /// <summary>Set when a step returned <see cref="AuthStep.Working"/>. Never faults.</summary>
    public Task? Work { get; protected set; }

    /// <summary>Begins. On the client's side of us this appends the authentication request.</summary>
    public abstract AuthStep Start(MessageWriter output);

    /// <summary>
    /// Handles the body (without type and length) of the peer's message: 'p' from clients, 'R' from servers.
    /// Malformed bodies end in <see cref="AuthStep.Failed"/>, never in an exception.
    /// </summary>
    public abstract AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output);

    /// <summary>Goes on after <see cref="Work"/>.</summary>
    public abstract AuthStep Resume(MessageWriter output);

    /// <summary>The peer has gone while <see cref="Work"/> is under way: what has not begun need not begin.</summary>
    public virtual void Abandon()
    {
    }
}
