namespace Pooler.Engine.Telemetry;

/// <summary>
/// How many spans of unmarked requests a loop may make: where everything is slow, thousands a second would tell no more
/// than a few, and would take the time that the requests lack.
/// </summary>
internal sealed class RootSpanAllowance
{
    /// <summary>Spans per second, and at once after a quiet second.</summary>
    public const int PerSecond = 20;

    private const long Interval = 1_000_000 / PerSecond;

    /// <summary>Up to when it is used up, in loop microseconds.</summary>
    private long _usedUntil = long.MinValue / 2;

    /// <summary>Takes one, if one is left. On the loop.</summary>
    /// <param name="now">In loop microseconds.</param>
    public bool TryTake(long now)
    {
        var from = Math.Max(_usedUntil, now - PerSecond * Interval);
        if (from + Interval > now) return false;
        _usedUntil = from + Interval;
        return true;
    }
}
