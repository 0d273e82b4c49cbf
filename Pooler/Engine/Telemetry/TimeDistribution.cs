namespace Pooler.Engine.Telemetry;

/// <summary>How long things took, counted by length: the buckets of all loops added up at one moment. Immutable.</summary>
public sealed class TimeDistribution
{
    /// <summary>Nothing counted yet.</summary>
    public static readonly TimeDistribution Empty = new(0, [], 0);

    // The counts of consecutive buckets of TimeHistogram, without the empty ones at both ends: histories keep many of these.
    private readonly int _first;
    private readonly long[] _counts;

    private TimeDistribution(int first, long[] counts, long sum)
    {
        _first = first;
        _counts = counts;
        Sum = sum;
        foreach (var count in counts) Count += count;
    }

    /// <summary>How many were counted.</summary>
    public long Count { get; }

    /// <summary>How long they took together, in microseconds.</summary>
    public long Sum { get; }

    /// <summary>
    /// The length that the given part of them did not exceed, in microseconds, exact to a sixteenth; 0 when nothing was
    /// counted.
    /// </summary>
    /// <param name="fraction">From 0 to 1: 0.95 for the 95th percentile.</param>
    public long Percentile(double fraction)
    {
        if (Count == 0) return 0;
        var rank = Math.Clamp((long)Math.Ceiling(fraction * Count), 1, Count);
        var i = 0;
        for (; i < _counts.Length - 1 && rank > _counts[i]; i++) rank -= _counts[i];
        return TimeHistogram.Middle(_first + i);
    }

    /// <summary>
    /// How many took no longer than the given time. It decides by the middle of each bucket, as whoever is told the
    /// <see cref="Buckets"/> does.
    /// </summary>
    /// <param name="microseconds">The boundary, which belongs to what is counted.</param>
    public long CountUpTo(long microseconds)
    {
        var count = 0L;
        for (var i = 0; i < _counts.Length && TimeHistogram.Middle(_first + i) <= microseconds; i++) count += _counts[i];
        return count;
    }

    /// <summary>What was counted: lengths in microseconds, each standing for those near it, and how many of them.</summary>
    public IEnumerable<(long Microseconds, long Count)> Buckets()
    {
        for (var i = 0; i < _counts.Length; i++)
            if (_counts[i] != 0) yield return (TimeHistogram.Middle(_first + i), _counts[i]);
    }

    /// <summary>Adds two distributions.</summary>
    public static TimeDistribution operator +(TimeDistribution a, TimeDistribution b)
    {
        if (a.Count == 0) return b;
        if (b.Count == 0) return a;
        Span<long> counts = stackalloc long[TimeHistogram.BucketCount];
        a._counts.CopyTo(counts[a._first..]);
        for (var i = 0; i < b._counts.Length; i++) counts[b._first + i] += b._counts[i];
        return Of(counts, a.Sum + b.Sum);
    }

    /// <summary>What has been counted between two moments.</summary>
    public static TimeDistribution operator -(TimeDistribution a, TimeDistribution b)
    {
        if (b.Count == 0) return a;
        Span<long> counts = stackalloc long[TimeHistogram.BucketCount];
        a._counts.CopyTo(counts[a._first..]);
        // Never less than nothing, should somebody take a later one off an earlier one.
        for (var i = 0; i < b._counts.Length; i++) counts[b._first + i] = Math.Max(0, counts[b._first + i] - b._counts[i]);
        return Of(counts, Math.Max(0, a.Sum - b.Sum));
    }

    /// <summary>The records of all loops, and so many more that took no time.</summary>
    internal static TimeDistribution Of(ReadOnlySpan<TimeHistogram> perLoop, long zeros)
    {
        Span<long> counts = stackalloc long[TimeHistogram.BucketCount];
        counts[0] = zeros;
        var sum = 0L;
        foreach (var histogram in perLoop)
        {
            histogram.AddTo(counts);
            sum += histogram.Sum;
        }
        return Of(counts, sum);
    }

    private static TimeDistribution Of(ReadOnlySpan<long> counts, long sum)
    {
        var first = counts.IndexOfAnyExcept(0);
        return first < 0 ? Empty : new TimeDistribution(first, counts[first..(counts.LastIndexOfAnyExcept(0) + 1)].ToArray(), sum);
    }
}
