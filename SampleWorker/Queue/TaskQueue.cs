using System.Diagnostics;
using System.Text.Json;
using StackExchange.Redis;

namespace SampleQueue;

/// <summary>Puts tasks into queues. Safe for concurrent use.</summary>
/// <remarks>
/// A task runs at least once: twice when a worker dies after the work and before the acknowledgement. Handlers are
/// written so that a second run changes nothing.
/// </remarks>
public sealed class TaskQueue(IConnectionMultiplexer redis, TaskQueueOptions? options = null)
{
    private readonly string _prefix = (options ?? new TaskQueueOptions()).KeyPrefix;

    /// <summary>Enqueues a task, carrying the current trace with it, and returns its id.</summary>
    /// <param name="queue">Queue, see <see cref="TaskQueues"/>.</param>
    /// <param name="taskName">Task, see <see cref="TaskNames"/>.</param>
    /// <param name="arguments">Arguments, serialised to JSON with their own property names; null for none.</param>
    /// <param name="options">Uniqueness and delay; null for neither.</param>
    /// <exception cref="RedisException">Redis can't be reached or refused; nothing was enqueued, or it is unknown.</exception>
    public async Task<string> EnqueueAsync(
        string queue, string taskName, object? arguments = null, EnqueueOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(queue);
        ArgumentException.ThrowIfNullOrWhiteSpace(taskName);
        options ??= new EnqueueOptions();

        using var activity = QueueTelemetry.Source.StartActivity($"send {queue}", ActivityKind.Producer);
        activity?.SetTag("messaging.system", "redis");
        activity?.SetTag("messaging.operation.type", "send");
        activity?.SetTag("messaging.destination.name", queue);
        activity?.SetTag("task.name", taskName);

        var id = Guid.CreateVersion7().ToString("N");
        var current = Activity.Current;
        try
        {
            var result = await QueueScripts.Enqueue.RunAsync(
                redis.GetDatabase(),
                _prefix,
                queue,
                id,
                taskName,
                arguments is null ? "{}" : JsonSerializer.Serialize(arguments),
                current is { IdFormat: ActivityIdFormat.W3C, Id: { } trace } ? trace : "",
                current?.TraceStateString ?? "",
                options.UniqueKey ?? "",
                Milliseconds(options.UniqueFor),
                Milliseconds(options.Delay)).ConfigureAwait(false);
            var enqueued = (string)result!;
            activity?.SetTag("messaging.message.id", enqueued);
            if (enqueued == id)
                QueueTelemetry.Sent.Add(1, new("messaging.destination.name", queue), new("task.name", taskName));
            return enqueued;
        }
        catch (Exception error)
        {
            activity?.SetStatus(ActivityStatusCode.Error, error.Message);
            throw;
        }
    }

    private static RedisValue Milliseconds(TimeSpan time) => (long)time.TotalMilliseconds;
}
