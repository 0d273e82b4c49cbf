namespace Pooler.Engine.Pools;

/// <summary>
/// All distinct prepared statements of all clients. A statement that no client has prepared any more is kept a while,
/// so that clients which come, prepare and go do not make servers prepare the same text under ever new names.
/// </summary>
public sealed class StatementRegistry
{
    private const int MostUnused = 1000;
    private const long MostUnusedBytes = 16 * 1024 * 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<byte[], PreparedStatement> _statements = new(BytesComparer.Instance);
    private readonly LinkedList<PreparedStatement> _unused = [];
    private long _unusedBytes;
    private long _lastId;

    /// <summary>How many distinct statements are known.</summary>
    public int Count
    {
        get
        {
            lock (_lock) return _statements.Count;
        }
    }

    /// <summary>Finds or adds the statement with this definition and counts one more client that has it.</summary>
    internal PreparedStatement Acquire(ReadOnlySpan<byte> definition)
    {
        lock (_lock)
        {
            var lookup = _statements.GetAlternateLookup<ReadOnlySpan<byte>>();
            if (!lookup.TryGetValue(definition, out var statement))
            {
                statement = new PreparedStatement(++_lastId, definition.ToArray());
                _statements.Add(statement.Definition, statement);
            }
            else if (statement.Unused is { } node)
            {
                _unused.Remove(node);
                _unusedBytes -= statement.Definition.Length;
                statement.Unused = null;
            }
            statement.References++;
            return statement;
        }
    }

    /// <summary>
    /// Adds a statement under the number that it has on servers already, as if one client had it: to be called in a
    /// registry where all numbers come this way, before any is given out.
    /// </summary>
    internal PreparedStatement Restore(long id, byte[] definition)
    {
        lock (_lock)
        {
            var statement = new PreparedStatement(id, definition) { References = 1 };
            // A text may have been forgotten and come again under another number, while servers still have the first: that one
            // nobody will ask for any more, and it must not take the other's place away when it goes.
            if (!_statements.TryAdd(definition, statement)) statement.References = int.MaxValue / 2;
            _lastId = Math.Max(_lastId, id);
            return statement;
        }
    }

    /// <summary>One client less has it.</summary>
    internal void Release(PreparedStatement statement)
    {
        lock (_lock)
        {
            if (--statement.References > 0) return;
            statement.Unused = _unused.AddLast(statement);
            _unusedBytes += statement.Definition.Length;
            while (_unused.Count > MostUnused || _unusedBytes > MostUnusedBytes)
            {
                var oldest = _unused.First!.Value;
                _unused.RemoveFirst();
                _unusedBytes -= oldest.Definition.Length;
                _statements.Remove(oldest.Definition);
            }
        }
    }
}
