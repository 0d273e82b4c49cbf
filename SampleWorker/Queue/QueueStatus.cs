namespace SampleQueue;

/// <summary>One queue as the monitor shows it.</summary>
/// <param name="Name">Name of the queue.</param>
/// <param name="Waiting">Tasks that wait for a free worker.</param>
/// <param name="Running">Tasks that a worker has taken and not acknowledged yet.</param>
/// <param name="Delayed">Tasks that wait for their time (retries and deferred tasks).</param>
/// <param name="Succeeded">Tasks done since the counters began.</param>
/// <param name="Failed">Failed attempts since the counters began, whether retried or given up.</param>
/// <param name="Retried">Failed attempts that led to another one.</param>
/// <param name="Reclaimed">Tasks taken over from a worker that died.</param>
/// <param name="Dead">Tasks given up since the counters began.</param>
public sealed record QueueStatus(
    string Name,
    long Waiting,
    long Running,
    long Delayed,
    long Succeeded,
    long Failed,
    long Retried,
    long Reclaimed,
    long Dead);
