namespace SampleQueue;

/// <summary>How the queue lies in Redis; the same for all who share it. Configuration section <c>TaskQueue</c>.</summary>
public sealed class TaskQueueOptions
{
    /// <summary>
    /// Begins every key and channel. The braces are a Redis Cluster hash tag: all keys of a queue must share a slot.
    /// </summary>
    public string KeyPrefix { get; set; } = "{tasks}:";
}
