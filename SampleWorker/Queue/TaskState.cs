namespace SampleQueue;

/// <summary>Where a task is in its life.</summary>
public enum TaskState
{
    /// <summary>Nothing is known of the task, or its record was written by a newer version.</summary>
    Unknown,

    /// <summary>Waits in its queue for a worker.</summary>
    Queued,

    /// <summary>A worker is at it (or was, until it died: the task is claimed by another soon).</summary>
    Running,

    /// <summary>Waits for its time: after a failed attempt, because it was deferred, or because it was enqueued so.</summary>
    Delayed,

    /// <summary>Done.</summary>
    Succeeded,

    /// <summary>Given up after the last attempt, or unusable from the start; kept among the dead letters.</summary>
    Dead,
}
