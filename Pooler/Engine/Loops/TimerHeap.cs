namespace Pooler.Engine.Loops;

/// <summary>Timers of one loop in a binary heap, earliest first, those of the same time in the order of scheduling.</summary>
internal sealed class TimerHeap
{
    /// <summary>Below this many timers cancelled ones may stay until they are due.</summary>
    private const int CompactFrom = 64;

    private Entry[] _heap = new Entry[16];
    private int _count;
    private int _cancelled;
    private long _sequence;

    public LoopTimer Add(long due, Action<object?> callback, object? state)
    {
        if (_cancelled > CompactFrom && _cancelled > _count / 2)
            Compact();
        if (_count == _heap.Length)
            Array.Resize(ref _heap, 2 * _count);
        var entry = new Entry(this, due, ++_sequence, callback, state);
        SiftUp(_count++, entry);
        return entry;
    }

    /// <summary>When the first timer is due (microseconds on the loop's clock), or <see cref="long.MaxValue"/>.</summary>
    public long NextDue
    {
        get
        {
            while (_count > 0 && _heap[0].Callback is null)
            {
                _cancelled--;
                RemoveFirst();
            }

            return _count == 0 ? long.MaxValue : _heap[0].Due;
        }
    }

    /// <summary>The newest timer's number: <see cref="TryTake"/> leaves timers that are newer than a given one.</summary>
    public long Newest => _sequence;

    /// <summary>
    /// Takes the first timer if it is due. A timer added after <paramref name="newest"/> waits for the next turn, so
    /// that a callback that schedules itself without delay doesn't keep the loop from its connections.
    /// </summary>
    public bool TryTake(long now, long newest, out Action<object?> callback, out object? state)
    {
        if (NextDue > now || _heap[0].Sequence > newest)
        {
            (callback, state) = (null!, null);
            return false;
        }

        var entry = _heap[0];
        (callback, state) = (entry.Callback!, entry.State);
        entry.Clear();
        RemoveFirst();
        return true;
    }

    private void RemoveFirst()
    {
        var last = _heap[--_count];
        _heap[_count] = null!;
        if (_count > 0)
            SiftDown(0, last);
    }

    private void Compact()
    {
        var kept = 0;
        for (var i = 0; i < _count; i++)
        {
            if (_heap[i].Callback is not null)
                _heap[kept++] = _heap[i];
        }

        Array.Clear(_heap, kept, _count - kept);
        _count = kept;
        _cancelled = 0;
        for (var i = _count / 2 - 1; i >= 0; i--)
            SiftDown(i, _heap[i]);
    }

    private void SiftUp(int index, Entry entry)
    {
        while (index > 0)
        {
            var parent = (index - 1) / 2;
            if (!entry.IsBefore(_heap[parent]))
                break;
            _heap[index] = _heap[parent];
            index = parent;
        }

        _heap[index] = entry;
    }

    private void SiftDown(int index, Entry entry)
    {
        while (true)
        {
            var child = 2 * index + 1;
            if (child >= _count)
                break;
            if (child + 1 < _count && _heap[child + 1].IsBefore(_heap[child]))
                child++;
            if (!_heap[child].IsBefore(entry))
                break;
            _heap[index] = _heap[child];
            index = child;
        }

        _heap[index] = entry;
    }

    private sealed class Entry(TimerHeap heap, long due, long sequence, Action<object?> callback, object? state) : LoopTimer
    {
        public long Due { get; } = due;

        public long Sequence { get; } = sequence;

        /// <summary>Null once fired or cancelled.</summary>
        public Action<object?>? Callback { get; private set; } = callback;

        public object? State { get; private set; } = state;

        public bool IsBefore(Entry other) => Due < other.Due || (Due == other.Due && Sequence < other.Sequence);

        public void Clear()
        {
            Callback = null;
            State = null;
        }

        public override void Cancel()
        {
            if (Callback is null)
                return;
            Clear();
            heap._cancelled++;
        }
    }
}
