namespace Pooler.Engine.Pools;

/// <summary>
/// The waiters of a pool, first in, first out. Kept per loop, because handing a server to a waiter of the same loop
/// costs no move between loops; how often a loop may prefer its own is bounded. Guarded by the pool's lock.
/// </summary>
internal sealed class WaitQueue(int loops)
{
    /// <summary>How many times in a row a loop may serve its own waiter although another loop has an older one.</summary>
    private const int MostOwnInARow = 8;

    private readonly PoolWaiter?[] _first = new PoolWaiter?[loops];
    private readonly PoolWaiter?[] _last = new PoolWaiter?[loops];
    private long _lastTicket;

    /// <summary>Of those put back: less than zero, which stands for none.</summary>
    private long _firstTicket;

    private int _ownInARow;

    /// <summary>How many wait.</summary>
    public int Count { get; private set; }

    /// <summary>How many of them only wait for the welcome.</summary>
    public int WelcomeCount { get; private set; }

    /// <summary>Who waits longest.</summary>
    public PoolWaiter? Oldest
    {
        get
        {
            PoolWaiter? oldest = null;
            foreach (var first in _first)
                if (first is not null && (oldest is null || first.Ticket < oldest.Ticket)) oldest = first;
            return oldest;
        }
    }

    /// <summary>Who waits longest of those for whom no server is being opened. Not many are opened at once.</summary>
    public PoolWaiter? OldestWithoutServer
    {
        get
        {
            PoolWaiter? oldest = null;
            foreach (var first in _first)
            {
                var waiter = first;
                while (waiter is { Opened.State: ServerState.Login }) waiter = waiter.Next;
                if (waiter is not null && (oldest is null || waiter.Ticket < oldest.Ticket)) oldest = waiter;
            }
            return oldest;
        }
    }

    public void Enqueue(PoolWaiter waiter)
    {
        var index = waiter.WaiterLoop.Index;
        waiter.Ticket = ++_lastTicket;
        waiter.Previous = _last[index];
        waiter.Next = null;
        if (_last[index] is { } last) last.Next = waiter;
        else _first[index] = waiter;
        _last[index] = waiter;
        Count++;
        if (waiter.WaitsForWelcome) WelcomeCount++;
    }

    /// <summary>Puts a waiter in front of all others again: what it was given has come to nothing.</summary>
    public void PutBack(PoolWaiter waiter)
    {
        var index = waiter.WaiterLoop.Index;
        waiter.Ticket = --_firstTicket;
        waiter.Previous = null;
        waiter.Next = _first[index];
        if (_first[index] is { } first) first.Previous = waiter;
        else _last[index] = waiter;
        _first[index] = waiter;
        Count++;
        if (waiter.WaitsForWelcome) WelcomeCount++;
    }

    /// <summary>Takes out whose turn it is, seen from the loop that has a server to give.</summary>
    public PoolWaiter? Dequeue(int loopIndex)
    {
        if (Count == 0) return null;
        var own = _first[loopIndex];
        var oldest = _first.Length == 1 ? own : Oldest;
        PoolWaiter chosen;
        if (own is null || own == oldest || _ownInARow >= MostOwnInARow)
        {
            chosen = oldest!;
            _ownInARow = 0;
        }
        else
        {
            chosen = own;
            _ownInARow++;
        }
        Remove(chosen);
        return chosen;
    }

    /// <summary>Takes out a waiter that gives up. False when it was not queued.</summary>
    public bool Remove(PoolWaiter waiter)
    {
        if (waiter.Ticket == 0) return false;
        var index = waiter.WaiterLoop.Index;
        if (waiter.Previous is { } previous) previous.Next = waiter.Next;
        else _first[index] = waiter.Next;
        if (waiter.Next is { } next) next.Previous = waiter.Previous;
        else _last[index] = waiter.Previous;
        waiter.Previous = waiter.Next = null;
        waiter.Ticket = 0;
        waiter.Opened = null;
        Count--;
        if (waiter.WaitsForWelcome) WelcomeCount--;
        return true;
    }

    /// <summary>Takes out all of a kind, oldest first within each loop.</summary>
    public List<PoolWaiter> Drain(Func<PoolWaiter, bool> which)
    {
        var drained = new List<PoolWaiter>();
        foreach (var head in _first.ToArray())
        {
            for (var waiter = head; waiter is not null;)
            {
                var next = waiter.Next;
                if (which(waiter))
                {
                    Remove(waiter);
                    drained.Add(waiter);
                }
                waiter = next;
            }
        }
        return drained;
    }
}
