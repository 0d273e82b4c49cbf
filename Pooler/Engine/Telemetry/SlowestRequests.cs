namespace Pooler.Engine.Telemetry;

/// <summary>The slowest requests of the last minutes: so many and no more. Any thread.</summary>
internal sealed class SlowestRequests
{
    /// <summary>How many are kept.</summary>
    public const int Most = 100;

    /// <summary>For how long.</summary>
    public static readonly TimeSpan KeptFor = TimeSpan.FromMinutes(15);

    /// <summary>Loop microseconds between two looks for those that have become too old.</summary>
    private const long LookInterval = 1_000_000;

    private readonly Lock _lock = new();

    // The least slow one comes first: it is the one to make room.
    private readonly PriorityQueue<SlowRequest, TimeSpan> _requests = new();
    private DateTimeOffset _oldest;

    /// <summary>Microseconds that are too few to be kept; negative while there is room.</summary>
    private long _tooQuick = -1;

    /// <summary>When <see cref="_tooQuick"/> is not to be relied on any more, as old ones make room; in loop microseconds.</summary>
    private long _lookAgainAt = long.MinValue;

    /// <summary>
    /// The same for those who ask for every one of many: most are refused without a lock and without a look at the clock.
    /// </summary>
    /// <param name="took">Microseconds.</param>
    /// <param name="loopTime">In loop microseconds.</param>
    /// <param name="clock">For when it has to be looked at.</param>
    public bool Wants(long took, long loopTime, TimeProvider clock)
    {
        if (took <= Volatile.Read(ref _tooQuick) && loopTime < Volatile.Read(ref _lookAgainAt)) return false;
        Volatile.Write(ref _lookAgainAt, loopTime + LookInterval);
        return Wants(TimeSpan.FromMicroseconds(took), clock.GetUtcNow());
    }

    /// <summary>Whether one that took so long would be kept.</summary>
    public bool Wants(TimeSpan took, DateTimeOffset now)
    {
        lock (_lock)
        {
            if (_requests.Count == Most && now - _oldest > KeptFor) Forget(now);
            return _requests.Count < Most || _requests.Peek().Duration < took;
        }
    }

    /// <summary>Keeps it if it is slow enough.</summary>
    public void Add(SlowRequest request)
    {
        lock (_lock)
        {
            if (_requests.Count == 0) _oldest = request.End;
            if (_requests.Count < Most) _requests.Enqueue(request, request.Duration);
            else _requests.EnqueueDequeue(request, request.Duration);
            NoteTooQuick();
        }
    }

    /// <summary>Those of the last minutes, in no order.</summary>
    public SlowRequest[] Read(DateTimeOffset now)
    {
        lock (_lock)
        {
            Forget(now);
            return [.. _requests.UnorderedItems.Select(i => i.Element)];
        }
    }

    private void Forget(DateTimeOffset now)
    {
        var kept = _requests.UnorderedItems.Where(i => now - i.Element.End <= KeptFor).ToArray();
        if (kept.Length < _requests.Count)
        {
            _requests.Clear();
            _requests.EnqueueRange(kept);
        }
        _oldest = kept.Length == 0 ? now : kept.Min(i => i.Element.End);
        NoteTooQuick();
    }

    private void NoteTooQuick() =>
        Volatile.Write(ref _tooQuick, _requests.Count < Most ? -1 : _requests.Peek().Duration.Ticks / TimeSpan.TicksPerMicrosecond);
}
