namespace SampleQueue;

/// <summary>One task as the monitor shows it.</summary>
/// <param name="Id">The id that <see cref="TaskQueue.EnqueueAsync"/> returned.</param>
/// <param name="Name">Name of the task.</param>
/// <param name="Queue">Queue it was put in.</param>
/// <param name="Arguments">Arguments as JSON.</param>
/// <param name="State">Where it is in its life; for a finished task this is its outcome.</param>
/// <param name="Worker">Worker that runs or last ran it; null while no worker had it.</param>
/// <param name="Attempt">Attempt that runs or ran last, counted from 1.</param>
/// <param name="EnqueuedAt">When it was enqueued first, by Redis' clock.</param>
/// <param name="StartedAt">When the last attempt started.</param>
/// <param name="FinishedAt">When it succeeded or was given up.</param>
/// <param name="Error">Message of the last failure; kept when a later attempt succeeds.</param>
public sealed record TaskRecord(
    string Id,
    string Name,
    string Queue,
    string Arguments,
    TaskState State,
    string? Worker,
    int Attempt,
    DateTimeOffset EnqueuedAt,
    DateTimeOffset? StartedAt,
    DateTimeOffset? FinishedAt,
    string? Error)
{
    /// <summary>How long the last attempt took; null until the task has finished.</summary>
    public TimeSpan? Duration => FinishedAt - StartedAt;
}
