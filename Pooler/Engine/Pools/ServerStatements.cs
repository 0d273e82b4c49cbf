using System.Diagnostics.CodeAnalysis;

namespace Pooler.Engine.Pools;

/// <summary>
/// Which statements one server has prepared, least recently used first out (<c>max_prepared_statements</c>). Belongs to
/// the thread of the server's loop.
/// </summary>
public sealed class ServerStatements
{
    private readonly Dictionary<PreparedStatement, LinkedListNode<PreparedStatement>> _nodes = [];
    private readonly LinkedList<PreparedStatement> _byUse = [];

    /// <summary>How many it has.</summary>
    public int Count => _nodes.Count;

    /// <summary>The one used longest ago.</summary>
    internal PreparedStatement? Oldest => _byUse.First?.Value;

    internal bool Contains(PreparedStatement statement) => _nodes.ContainsKey(statement);

    /// <summary>Whether the server has it; if so, it now counts as used last.</summary>
    internal bool Use(PreparedStatement statement)
    {
        if (!_nodes.TryGetValue(statement, out var node)) return false;
        if (_byUse.Last != node)
        {
            _byUse.Remove(node);
            _byUse.AddLast(node);
        }
        return true;
    }

    internal void Add(PreparedStatement statement)
    {
        if (!_nodes.ContainsKey(statement)) _nodes.Add(statement, _byUse.AddLast(statement));
    }

    internal void Remove(PreparedStatement statement)
    {
        if (_nodes.Remove(statement, out var node)) _byUse.Remove(node);
    }

    /// <summary>Takes out the one used longest ago, when there are as many as allowed.</summary>
    internal bool TryEvict(int most, [NotNullWhen(true)] out PreparedStatement? evicted)
    {
        evicted = _nodes.Count >= most ? _byUse.First?.Value : null;
        if (evicted is null) return false;
        Remove(evicted);
        return true;
    }

    /// <summary>All of them, least recently used first.</summary>
    internal IEnumerable<PreparedStatement> ByUse => _byUse;

    internal void Clear()
    {
        _nodes.Clear();
        _byUse.Clear();
    }
}
