using Pooler.Engine.Loops;

namespace Pooler.Engine.Console;

/// <summary>The admin database of one engine: what its sessions share.</summary>
internal sealed class AdminConsole
{
    public AdminConsole(PoolerEngine engine, EngineCore core)
    {
        Engine = engine;
        Core = core;
        Shows = new ShowCatalog(this);
        Parser = new ConsoleParser(Shows);
    }

    public PoolerEngine Engine { get; }

    public EngineCore Core { get; }

    public ShowCatalog Shows { get; }

    public ConsoleParser Parser { get; }

    /// <summary>Takes over an authenticated connection. On its loop's thread.</summary>
    public IConnectionHandler Open(ConsoleRequest request) => new ConsoleSession(this, request);
}
