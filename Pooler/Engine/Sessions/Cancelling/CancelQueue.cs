namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>
/// The cancel requests on their way to the server of one pool, or to one peer: so many connections at once as
/// <paramref name="limit"/> says, the others wait in order. Any thread.
/// </summary>
internal sealed class CancelQueue(Func<int> limit)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<CancelDelivery> _waiting = new();
    private readonly List<CancelDelivery> _underWay = [];

    /// <summary>A moment's deliveries: those that wait for their turn, then those under way.</summary>
    public CancelDelivery[] Deliveries
    {
        get
        {
            lock (_lock) return [.. _waiting, .. _underWay];
        }
    }

    /// <summary>Whether a delivery may begin now; otherwise <see cref="CancelDelivery.Begin"/> is called when it is its turn.</summary>
    public bool Enter(CancelDelivery delivery)
    {
        lock (_lock)
        {
            if (_underWay.Count < Limit)
            {
                _underWay.Add(delivery);
                return true;
            }
            _waiting.AddLast(delivery);
            return false;
        }
    }

    /// <summary>A delivery has ended, or given up waiting: the next may have its turn.</summary>
    public void Leave(CancelDelivery delivery)
    {
        List<CancelDelivery>? next = null;
        lock (_lock)
        {
            if (!_underWay.Remove(delivery)) _waiting.Remove(delivery);
            while (_waiting.First is { Value: var first } && _underWay.Count < Limit)
            {
                _waiting.RemoveFirst();
                _underWay.Add(first);
                (next ??= []).Add(first);
            }
        }
        if (next is null) return;
        foreach (var waiter in next) waiter.Loop.Post(static state => ((CancelDelivery)state!).Begin(), waiter);
    }

    private int Limit => Math.Max(1, limit());
}
