using Pooler.Engine.Console;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>What the sessions of one loop share: scratch buffers and the list of the loop's clients.</summary>
internal sealed class LoopContext(EngineCore engine, EventLoop loop)
{
    public EngineCore Engine { get; } = engine;

    public EventLoop Loop { get; } = loop;

    /// <summary>Logged-in clients of this loop.</summary>
    public SessionList<ClientSession> Clients { get; } = new();

    /// <summary>Administrators' connections of this loop.</summary>
    public SessionList<ConsoleSession> Consoles { get; } = new();

    /// <summary>Clients of this loop that have not logged in yet.</summary>
    public SessionList<LoginSession> Logins { get; } = new();

    /// <summary>Connections of this loop that ask for cancellation.</summary>
    public SessionList<CancelRequest> Cancels { get; } = new();

    /// <summary>Spans that are no part of a client's trace.</summary>
    public RootSpanAllowance RootSpans { get; } = new();

    /// <summary>Those of <see cref="Logins"/> that take a place of max_client_conn; guarded by <see cref="EngineCore.Admission"/>.</summary>
    public int AdmittedLogins { get; private set; }

    /// <summary>Gives a login one of the places, if there is one left: of two that come at once for the last, one gets it.</summary>
    public bool TryAdmit(int limit)
    {
        lock (Engine.Admission)
        {
            if (Engine.AdmittedCount >= limit) return false;
            AdmittedLogins++;
            return true;
        }
    }

    /// <summary>A login is over: it has become a session, in the same breath under the lock, or it has ended.</summary>
    public void Dismiss()
    {
        lock (Engine.Admission) AdmittedLogins--;
    }

    /// <summary>Gathers what goes to a server in one turn, when it cannot be sent from the receive buffer.</summary>
    public MessageWriter ToServer { get; } = new(16 * 1024);

    /// <summary>Gathers what goes to a client.</summary>
    public MessageWriter ToClient { get; } = new(16 * 1024);
}
