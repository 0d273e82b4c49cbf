namespace SampleQueue;

/// <summary>What a worker says of itself, or what its silence says.</summary>
public enum WorkerState
{
    /// <summary>The record was written by a newer version.</summary>
    Unknown,

    /// <summary>Takes and runs tasks.</summary>
    Running,

    /// <summary>Finishes its tasks and takes no new ones: it is about to stop or to be recycled.</summary>
    Draining,

    /// <summary>Its executor has reached its number of tasks and is being replaced by a fresh process.</summary>
    Recycling,

    /// <summary>Stopped in an orderly way.</summary>
    Stopped,

    /// <summary>Has not been heard of for several heartbeats; others take over its tasks.</summary>
    Lost,
}

/// <summary>One worker as the monitor shows it.</summary>
/// <param name="Name">Name of the worker, the same across recycling.</param>
/// <param name="State">State at its last heartbeat, or <see cref="WorkerState.Lost"/>.</param>
/// <param name="Concurrency">How many tasks it runs at once, by queue.</param>
/// <param name="Running">Tasks it runs now.</param>
/// <param name="Processed">Tasks it has finished since it started, with success or without.</param>
/// <param name="Failed">Attempts that failed since it started.</param>
/// <param name="Recycled">How many times its executor was replaced.</param>
/// <param name="ProcessId">Process that executes the tasks.</param>
/// <param name="StartedAt">When the worker started.</param>
/// <param name="LastHeartbeat">When it was last heard of.</param>
public sealed record WorkerStatus(
    string Name,
    WorkerState State,
    IReadOnlyDictionary<string, int> Concurrency,
    long Running,
    long Processed,
    long Failed,
    long Recycled,
    int ProcessId,
    DateTimeOffset StartedAt,
    DateTimeOffset LastHeartbeat);
