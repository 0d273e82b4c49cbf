using System.Globalization;
using System.Text.Json;
using StackExchange.Redis;

namespace SampleQueue;

/// <summary>A periodic task.</summary>
/// <param name="Queue">Queue it goes to.</param>
/// <param name="Name">Name of the task.</param>
/// <param name="Every">Its interval; slots are cut from the Unix epoch on.</param>
internal sealed record PeriodicTask(string Queue, string Name, TimeSpan Every);

/// <summary>
/// A worker's side of the queues: takes messages and says what became of them. What it says counts only while the
/// message is still its own; the methods that end a message return false when another worker has taken it over.
/// </summary>
internal sealed class TaskConsumer(IConnectionMultiplexer redis, TaskQueueOptions options, string worker, string consumer)
{
    private readonly string _prefix = options.KeyPrefix;

    /// <summary>The worker's name in the monitor.</summary>
    public string Worker => worker;

    /// <summary>The name under which messages are owned, unlike any other executor's there ever was.</summary>
    public string Consumer => consumer;

    /// <summary>Makes the worker and its queues known. Repeat it when Redis has lost its data (error NOGROUP).</summary>
    public Task RegisterAsync(IReadOnlyDictionary<string, int> concurrency, int generation, TimeSpan deadAfter) =>
        RunAsync(
            QueueScripts.Register,
            [
                worker,
                JsonSerializer.Serialize(concurrency),
                Environment.ProcessId,
                generation,
                Milliseconds(deadAfter),
                .. concurrency.Keys.Select(queue => (RedisValue)queue),
            ]);

    /// <summary>Takes up to <paramref name="count"/> new messages; returns at once when there are none.</summary>
    public async Task<IReadOnlyList<TakenMessage>> TakeAsync(string queue, int count) =>
        Messages(queue, await RunAsync(QueueScripts.Take, queue, consumer, worker, count).ConfigureAwait(false));

    /// <summary>Takes over messages whose owner has not been heard of for <paramref name="idle"/>.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="count">How many at most.</param>
    /// <param name="idle">How long an owner may be silent.</param>
    /// <param name="from">Takes over from this consumer only; null for any.</param>
    /// <param name="own">Messages this worker has in hand. One it owns without having it (the answer to a take was
    /// lost with the connection) is taken over like a dead worker's.</param>
    public async Task<IReadOnlyList<TakenMessage>> ClaimAsync(
        string queue, int count, TimeSpan idle, string? from, IEnumerable<string> own) =>
        Messages(queue, await RunAsync(
            QueueScripts.Claim,
            [queue, consumer, worker, count, Milliseconds(idle), from ?? "", .. own.Select(entry => (RedisValue)entry)])
            .ConfigureAwait(false));

    /// <summary>Says that the worker lives and keeps its messages; returns queue and entry id of those it owns no longer.</summary>
    public async Task<IReadOnlyList<(string Queue, string EntryId)>> HeartbeatAsync(WorkerState state, IReadOnlyCollection<TakenMessage> running)
    {
        var lost = await RunAsync(
            QueueScripts.Heartbeat,
            [
                worker,
                consumer,
                state.ToString().ToLowerInvariant(),
                running.Count,
                .. running.SelectMany(message => new RedisValue[] { message.Queue, message.EntryId }),
            ]).ConfigureAwait(false);
        return [.. ((RedisResult[])lost!).Chunk(2).Select(pair => ((string)pair[0]!, (string)pair[1]!))];
    }

    public Task<bool> SucceedAsync(TakenMessage message) =>
        EndAsync(QueueScripts.Succeed, message.Queue, message.EntryId, consumer, worker, message.Field("id"));

    /// <summary>Puts a failed task aside for another attempt.</summary>
    public Task<bool> RetryAsync(TakenMessage message, string error, TimeSpan delay) => DelayAsync(message, error, delay, failed: true);

    /// <summary>Puts a task aside whose time has not come, without counting an attempt.</summary>
    public Task<bool> DeferAsync(TakenMessage message, string reason, TimeSpan delay) => DelayAsync(message, reason, delay, failed: false);

    /// <summary>Gives a task up.</summary>
    public Task<bool> BuryAsync(TakenMessage message, string error, int attempts) =>
        EndAsync(QueueScripts.Bury, message.Queue, message.EntryId, consumer, worker, message.Field("id") ?? "", error, attempts);

    /// <summary>Hands a task back, unfinished.</summary>
    public Task<bool> ReleaseAsync(TakenMessage message) =>
        EndAsync(QueueScripts.Release, message.Queue, message.EntryId, consumer, message.Field("id") ?? "");

    /// <summary>Puts delayed messages whose time has come into their queues; returns how many.</summary>
    public async Task<long> PromoteDelayedAsync() => (long)await RunAsync(QueueScripts.PromoteDelayed).ConfigureAwait(false);

    /// <summary>Enqueues the periodic tasks that are due and returns their names; all workers may call it at any time.</summary>
    public async Task<IReadOnlyList<string>> FireScheduleAsync(IEnumerable<PeriodicTask> tasks)
    {
        var fired = await RunAsync(
            QueueScripts.FireSchedule,
            [.. tasks.SelectMany(task => new RedisValue[]
            {
                task.Queue, task.Name, "{}", Milliseconds(task.Every), Guid.CreateVersion7().ToString("N"),
            })]).ConfigureAwait(false);
        return [.. ((RedisResult[])fired!).Select(name => (string)name!)];
    }

    /// <summary>Takes leave: the worker owns nothing any more, or leaves it to be claimed.</summary>
    public Task LeaveAsync(WorkerState state, IEnumerable<string> queues) =>
        RunAsync(
            QueueScripts.Leave,
            [worker, consumer, state.ToString().ToLowerInvariant(), .. queues.Select(queue => (RedisValue)queue)]);

    /// <summary>Forgets what long dead workers have left in Redis; not their messages.</summary>
    public Task TidyAsync() => RunAsync(QueueScripts.Tidy);

    private Task<bool> DelayAsync(TakenMessage message, string error, TimeSpan delay, bool failed) =>
        EndAsync(
            QueueScripts.Delay,
            message.Queue, message.EntryId, consumer, worker, message.Field("id"), error, Milliseconds(delay), failed ? "1" : "0");

    private async Task<bool> EndAsync(RedisScript script, params RedisValue[] arguments) =>
        (long)await RunAsync(script, arguments).ConfigureAwait(false) == 1;

    private Task<RedisResult> RunAsync(RedisScript script, params RedisValue[] arguments) =>
        script.RunAsync(redis.GetDatabase(), _prefix, arguments);

    private static IReadOnlyList<TakenMessage> Messages(string queue, RedisResult result) =>
        [.. ((RedisResult[])result!).Select(item =>
        {
            var row = (RedisResult[])item!;
            var flat = ((RedisResult[])row[3]!).Select(value => (string)value!).ToArray();
            return new TakenMessage(
                queue,
                (string)row[0]!,
                int.Parse((string)row[1]!, CultureInfo.InvariantCulture),
                (string?)row[2] is { Length: > 0 } former ? former : null,
                [.. flat.Chunk(2).Select(pair => new KeyValuePair<string, string>(pair[0], pair[1]))],
                DateTimeOffset.FromUnixTimeMilliseconds(long.Parse((string)row[4]!, CultureInfo.InvariantCulture)));
        })];

    private static RedisValue Milliseconds(TimeSpan time) => (long)time.TotalMilliseconds;
}
