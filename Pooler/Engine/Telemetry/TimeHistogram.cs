using System.Numerics;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// Counts times by length, for one pool on one loop. Only that loop's thread records, so that it needs neither lock nor
/// atomic, and a few instructions; any thread may read, and is then perhaps a few records behind.
/// </summary>
/// <remarks>
/// Microseconds up to 15 have a bucket each; from there on each power of two is divided into eight, so that the middle of a
/// bucket is at most a sixteenth away from all that is counted in it. Times from 2^32 µs (71 minutes) on are in the last one.
/// </remarks>
internal sealed class TimeHistogram
{
    /// <summary>Buckets in all.</summary>
    public const int BucketCount = 240;

    private const long Longest = uint.MaxValue;

    // Made with the first record: most pools of a big installation never see a wait.
    private long[]? _counts;
    private long _sum;

    /// <summary>Counts one time. On the owning loop's thread.</summary>
    /// <param name="microseconds">How long it took; less than 0 counts as 0.</param>
    public void Record(long microseconds)
    {
        if (microseconds < 0) microseconds = 0;
        (_counts ??= new long[BucketCount])[IndexOf(microseconds)]++;
        _sum += microseconds;
    }

    /// <summary>What has been recorded together, in microseconds.</summary>
    public long Sum => Volatile.Read(ref _sum);

    /// <summary>Adds the counts to those of other loops.</summary>
    public void AddTo(Span<long> counts)
    {
        if (Volatile.Read(ref _counts) is not { } own) return;
        for (var i = 0; i < own.Length; i++) counts[i] += Volatile.Read(ref own[i]);
    }

    /// <summary>The bucket of a time.</summary>
    public static int IndexOf(long microseconds)
    {
        var value = (ulong)Math.Min(microseconds, Longest);
        // Below 16 nothing is shifted away.
        var shift = 60 - BitOperations.LeadingZeroCount(value | 8);
        return (shift << 3) + (int)(value >> shift);
    }

    /// <summary>The shortest time that is counted in a bucket, in microseconds.</summary>
    public static long LowerBound(int index) => index < 16 ? index : (8L + (index & 7)) << ((index >> 3) - 1);

    /// <summary>What stands for all that is counted in a bucket: its middle, in microseconds.</summary>
    public static long Middle(int index) => index < 16 ? index : LowerBound(index) + (1L << ((index >> 3) - 1)) / 2;
}
