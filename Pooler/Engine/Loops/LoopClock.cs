namespace Pooler.Engine.Loops;

/// <summary>The unit of time of the loops: microseconds of a monotonic clock, comparable between loops.</summary>
internal static class LoopClock
{
    /// <summary>Reads the clock. Any thread.</summary>
    public static long Microseconds(TimeProvider timeProvider)
    {
        var frequency = timeProvider.TimestampFrequency;
        var timestamp = timeProvider.GetTimestamp();
        if (frequency == 1_000_000_000) return timestamp / 1_000;
        // Whole seconds and rest apart: the product would overflow after some months of uptime.
        return timestamp / frequency * 1_000_000 + timestamp % frequency * 1_000_000 / frequency;
    }
}
