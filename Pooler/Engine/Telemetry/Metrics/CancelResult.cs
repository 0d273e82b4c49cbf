namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>What becomes of a cancel request.</summary>
internal enum CancelResult
{
    /// <summary>Its client has a server, which is told.</summary>
    Forwarded,

    /// <summary>Another pooler of the group is told, or the process before or after this one.</summary>
    PassedOn,

    /// <summary>Its client has no server, or none that could be told now: there is nothing to cancel.</summary>
    Idle,

    /// <summary>For a client of the console.</summary>
    Console,

    /// <summary>No client has that key.</summary>
    Unknown,
}
