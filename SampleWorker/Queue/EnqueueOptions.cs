namespace SampleQueue;

/// <summary>What may be asked of a task beyond its name and arguments.</summary>
public sealed record EnqueueOptions
{
    /// <summary>
    /// Tasks with the same key are enqueued once within <see cref="UniqueFor"/>; a second call returns the first
    /// one's id. Makes it safe to run an enqueuing task twice, and stops impatient double clicks.
    /// </summary>
    public string? UniqueKey { get; init; }

    /// <summary>How long <see cref="UniqueKey"/> is remembered; the default is ten minutes.</summary>
    public TimeSpan UniqueFor { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Runs the task no earlier than this from now; zero means as soon as a worker is free.</summary>
    public TimeSpan Delay { get; init; }
}
