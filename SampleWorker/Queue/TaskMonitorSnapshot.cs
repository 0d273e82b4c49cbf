namespace SampleQueue;

/// <summary>Everything the monitor shows, read at one moment.</summary>
/// <param name="Queues">All queues known, by name.</param>
/// <param name="Running">Running tasks, the longest running first.</param>
/// <param name="Finished">Recently finished tasks, the latest first.</param>
/// <param name="Workers">Workers heard of lately, by name.</param>
/// <param name="DeadLetters">Tasks given up, the latest first.</param>
public sealed record TaskMonitorSnapshot(
    IReadOnlyList<QueueStatus> Queues,
    IReadOnlyList<TaskRecord> Running,
    IReadOnlyList<TaskRecord> Finished,
    IReadOnlyList<WorkerStatus> Workers,
    IReadOnlyList<DeadLetter> DeadLetters)
{
    /// <summary>Tasks done, over all queues.</summary>
    public long Succeeded => Queues.Sum(queue => queue.Succeeded);

    /// <summary>Failed attempts, over all queues.</summary>
    public long Failed => Queues.Sum(queue => queue.Failed);

    /// <summary>Tasks given up, over all queues.</summary>
    public long Dead => Queues.Sum(queue => queue.Dead);
}
