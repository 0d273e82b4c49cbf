namespace Pooler.Engine.Sessions;

/// <summary>An entry of a <see cref="SessionList{T}"/>.</summary>
internal interface IListed
{
    /// <summary>Its position, kept by the list.</summary>
    int ListIndex { get; set; }
}

/// <summary>
/// The sessions of one loop: added and removed by the loop's thread, copied by others. An array with swaps instead of a
/// hash table, for the memory of idle clients.
/// </summary>
internal sealed class SessionList<T> where T : class, IListed
{
    private readonly Lock _lock = new();
    private readonly List<T> _items = [];

    public int Count => _items.Count;

    /// <summary>The item at a position; on the loop's thread only.</summary>
    public T this[int index] => _items[index];

    public void Add(T item)
    {
        lock (_lock)
        {
            item.ListIndex = _items.Count;
            _items.Add(item);
        }
    }

    public void Remove(T item)
    {
        lock (_lock)
        {
            if (item.ListIndex < 0) return;
            var last = _items[^1];
            _items[item.ListIndex] = last;
            last.ListIndex = item.ListIndex;
            _items.RemoveAt(_items.Count - 1);
            item.ListIndex = -1;
        }
    }

    /// <summary>The first item that is meant. Any thread; makes no copy.</summary>
    public T? Find<TArgument>(TArgument argument, Func<T, TArgument, bool> isMeant)
    {
        lock (_lock)
        {
            foreach (var item in _items)
                if (isMeant(item, argument)) return item;
            return null;
        }
    }

    /// <summary>A copy. Any thread.</summary>
    public T[] ToArray()
    {
        lock (_lock) return [.. _items];
    }
}
