namespace Pooler.Engine.Telemetry;

/// <summary>How long things took, counted by length: the buckets of all loops added up at one moment.</summary>
public sealed class TimeDistribution
{
    /// <summary>Nothing counted yet.</summary>
    public static readonly TimeDistribution Empty = new();

    /// <summary>How many were counted.</summary>
    public long Count => 0;

    /// <summary>How long they took together, in microseconds.</summary>
    public long Sum => 0;

    /// <summary>The length that the given part of them did not exceed, in microseconds; 0 when nothing was counted.</summary>
    /// <param name="fraction">From 0 to 1: 0.95 for the 95th percentile.</param>
    public long Percentile(double fraction) => 0;

    /// <summary>Adds two distributions.</summary>
    public static TimeDistribution operator +(TimeDistribution a, TimeDistribution b) => a;

    /// <summary>What has been counted between two moments.</summary>
    public static TimeDistribution operator -(TimeDistribution a, TimeDistribution b) => a;
}
