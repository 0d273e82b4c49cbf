namespace Pooler.Engine.Pools;

/// <summary>
/// The idle servers of a pool that belong to one loop: last in, first out, so that the hottest backend is reused and
/// the coldest reaches its idle timeout. Guarded by the pool's lock.
/// </summary>
internal sealed class ServerShelf
{
    /// <summary>The server released last.</summary>
    public PooledServer? Top { get; private set; }

    /// <summary>The server idle longest.</summary>
    public PooledServer? Bottom { get; private set; }

    public int Count { get; private set; }

    public void Push(PooledServer server)
    {
        server.ShelfBelow = Top;
        server.ShelfAbove = null;
        if (Top is { } top) top.ShelfAbove = server;
        else Bottom = server;
        Top = server;
        Count++;
    }

    public void Remove(PooledServer server)
    {
        if (server.ShelfAbove is { } above) above.ShelfBelow = server.ShelfBelow;
        else Top = server.ShelfBelow;
        if (server.ShelfBelow is { } below) below.ShelfAbove = server.ShelfAbove;
        else Bottom = server.ShelfAbove;
        server.ShelfAbove = server.ShelfBelow = null;
        Count--;
    }
}
