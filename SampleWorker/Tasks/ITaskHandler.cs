using System.Diagnostics;
using System.Text.Json;
using SampleQueue;

namespace SampleWorker.Tasks;

/// <summary>
/// Does the work of one kind of task. Delivery is at least once, so a handler must stand being run twice for one task:
/// each says how.
/// </summary>
internal interface ITaskHandler
{
    /// <summary>Name of the task.</summary>
    string Name { get; }

    /// <summary>Does it; returns when done for good.</summary>
    /// <exception cref="TaskDeferredException">Something it depends on is not there yet.</exception>
    /// <exception cref="TaskRejectedException">It can never succeed.</exception>
    Task RunAsync(TaskContext context, CancellationToken cancellationToken);
}

/// <summary>The task to be done.</summary>
internal sealed class TaskContext(TaskMessage message, DateTimeOffset takenAt, long takenAtTimestamp)
{
    public string Id => message.Id;

    /// <summary>This attempt, counted from 1.</summary>
    public int Attempt => message.Attempt;

    /// <summary>
    /// How long ago the task was enqueued. A duration, since Redis, the database and this machine need not agree on
    /// the time of day.
    /// </summary>
    public TimeSpan Age => takenAt - message.EnqueuedAt + Stopwatch.GetElapsedTime(takenAtTimestamp);

    /// <summary>A whole-number argument that must be there.</summary>
    /// <exception cref="TaskRejectedException">It is not.</exception>
    public long RequiredNumber(string name) =>
        OptionalNumber(name) ?? throw new TaskRejectedException($"Argument '{name}' is missing.");

    /// <summary>A whole-number argument; null when it is not there.</summary>
    /// <exception cref="TaskRejectedException">It is something else.</exception>
    public long? OptionalNumber(string name) => !message.Arguments.TryGetProperty(name, out var value) ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number
        : throw new TaskRejectedException($"Argument '{name}' is not a whole number.");
}

/// <summary>The task can't be done yet, through no fault of its own; it is tried later and no attempt is counted.</summary>
internal sealed class TaskDeferredException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The task can never succeed; it goes to the dead letters without another attempt.</summary>
internal sealed class TaskRejectedException(string message) : Exception(message);
