namespace Pooler.Engine.Loops;

/// <summary>
/// All open connections of a group of loops by number: an epoll event carries the number, not a pointer. Growth adds
/// a chunk and moves no entry, so that loops look up without a lock.
/// </summary>
internal sealed class ConnectionTable
{
    private const int ChunkBits = 10;
    private const int ChunkSize = 1 << ChunkBits;

    private readonly Lock _lock = new();
    private readonly Stack<int> _free = new();
    private volatile LoopConnection?[][] _chunks = [];
    private int _used;

    /// <summary>The connection with this number now. May belong to another loop, and is null when it was closed.</summary>
    public LoopConnection? this[int index] => Volatile.Read(ref _chunks[index >> ChunkBits][index & (ChunkSize - 1)]);

    public int Add(LoopConnection connection)
    {
        lock (_lock)
        {
            if (!_free.TryPop(out var index))
            {
                index = _used++;
                if (index >> ChunkBits == _chunks.Length)
                    _chunks = [.. _chunks, new LoopConnection?[ChunkSize]];
            }

            Volatile.Write(ref _chunks[index >> ChunkBits][index & (ChunkSize - 1)], connection);
            return index;
        }
    }

    public void Remove(int index)
    {
        lock (_lock)
        {
            _chunks[index >> ChunkBits][index & (ChunkSize - 1)] = null;
            _free.Push(index);
        }
    }

    /// <summary>The connections that belong to a loop at the moment.</summary>
    public List<LoopConnection> Of(EventLoop loop)
    {
        lock (_lock)
        {
            var found = new List<LoopConnection>();
            foreach (var chunk in _chunks)
            {
                foreach (var connection in chunk)
                {
                    if (connection?.Loop == loop)
                        found.Add(connection);
                }
            }

            return found;
        }
    }
}
