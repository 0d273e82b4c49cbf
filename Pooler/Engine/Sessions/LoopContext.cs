using Pooler.Engine.Console;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;

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

    /// <summary>Gathers what goes to a server in one turn, when it cannot be sent from the receive buffer.</summary>
    public MessageWriter ToServer { get; } = new(16 * 1024);

    /// <summary>Gathers what goes to a client.</summary>
    public MessageWriter ToClient { get; } = new(16 * 1024);
}
