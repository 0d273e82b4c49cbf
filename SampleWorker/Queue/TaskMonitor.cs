using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Threading.Channels;
using StackExchange.Redis;

namespace SampleQueue;

/// <summary>Reads what the queues, tasks and workers are doing, and tells when it changes. Safe for concurrent use.</summary>
public sealed class TaskMonitor(IConnectionMultiplexer redis, TaskQueueOptions? options = null)
{
    private readonly string _prefix = (options ?? new TaskQueueOptions()).KeyPrefix;

    /// <summary>Reads everything at once.</summary>
    /// <param name="limit">How many running tasks, finished tasks and dead letters at most.</param>
    public async Task<TaskMonitorSnapshot> ReadAsync(int limit = 50)
    {
        var queues = ReadQueuesAsync();
        var running = ReadRunningAsync(limit);
        var finished = ReadFinishedAsync(limit);
        var workers = ReadWorkersAsync();
        var dead = ReadDeadLettersAsync(limit);
        await Task.WhenAll(queues, running, finished, workers, dead).ConfigureAwait(false);
        return new TaskMonitorSnapshot(
            await queues.ConfigureAwait(false),
            await running.ConfigureAwait(false),
            await finished.ConfigureAwait(false),
            await workers.ConfigureAwait(false),
            await dead.ConfigureAwait(false));
    }

    /// <summary>Lengths and counts of all queues, by name.</summary>
    public async Task<IReadOnlyList<QueueStatus>> ReadQueuesAsync()
    {
        var rows = (RedisResult[])(await RunAsync(QueueScripts.ReadQueues).ConfigureAwait(false))!;
        return [.. rows.Select(ReadQueue).OrderBy(queue => queue.Name, StringComparer.Ordinal)];
    }

    /// <summary>Tasks that run now, the longest running first.</summary>
    public Task<IReadOnlyList<TaskRecord>> ReadRunningAsync(int limit = 50) => ReadTasksAsync("running", limit);

    /// <summary>Tasks that finished, with success or given up, the latest first. The last 1,000 are kept for a day.</summary>
    public Task<IReadOnlyList<TaskRecord>> ReadFinishedAsync(int limit = 50) => ReadTasksAsync("finished", limit);

    /// <summary>One task; null when it is unknown or finished more than a day ago.</summary>
    public async Task<TaskRecord?> ReadTaskAsync(string id) =>
        (await ReadTasksAsync("id", id).ConfigureAwait(false)).SingleOrDefault();

    /// <summary>Workers heard of within the last hour, by name.</summary>
    public async Task<IReadOnlyList<WorkerStatus>> ReadWorkersAsync()
    {
        var rows = (RedisResult[])(await RunAsync(QueueScripts.ReadWorkers).ConfigureAwait(false))!;
        var now = (long)rows[0];
        return [.. rows.Skip(1).Select(row => ReadWorker((RedisResult[])row!, now)).OfType<WorkerStatus>()
            .OrderBy(worker => worker.Name, StringComparer.Ordinal)];
    }

    /// <summary>Tasks given up, the latest first. About 10,000 are kept.</summary>
    public async Task<IReadOnlyList<DeadLetter>> ReadDeadLettersAsync(int limit = 50)
    {
        var rows = (RedisResult[])(await redis.GetDatabase()
            .ExecuteAsync("XREVRANGE", (RedisKey)(_prefix + "dead"), "+", "-", "COUNT", limit).ConfigureAwait(false))!;
        return [.. rows.Select(row => ReadDeadLetter((RedisResult[])row!))];
    }

    /// <summary>Puts a dead letter back into its queue as a first attempt. False when it is there no more.</summary>
    public async Task<bool> RequeueAsync(string entryId) =>
        (long)await RunAsync(QueueScripts.RequeueDead, entryId).ConfigureAwait(false) == 1;

    /// <summary>Forgets a dead letter. False when it is there no more.</summary>
    public async Task<bool> DiscardAsync(string entryId) =>
        (long)await redis.GetDatabase().ExecuteAsync("XDEL", (RedisKey)(_prefix + "dead"), entryId).ConfigureAwait(false) == 1;

    /// <summary>
    /// Yields an event for each change from now until cancelled. Events are hints for a live view: those missed while
    /// the connection to Redis is down do not come later, and a reader slower than 1,000 events loses the oldest.
    /// </summary>
    public async IAsyncEnumerable<TaskEvent> SubscribeAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var events = Channel.CreateBounded<TaskEvent>(
            new BoundedChannelOptions(1000) { FullMode = BoundedChannelFullMode.DropOldest });
        var subscriber = redis.GetSubscriber();
        void OnMessage(RedisChannel channel, RedisValue value)
        {
            if (((string?)value)?.Split(' ', 3) is [var kind, var queue, var subject])
                events.Writer.TryWrite(new TaskEvent(kind, queue, subject));
        }

        await subscriber.SubscribeAsync(_prefix + "events", OnMessage).ConfigureAwait(false);
        try
        {
            await foreach (var item in events.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
                yield return item;
        }
        finally
        {
            await subscriber.UnsubscribeAsync(_prefix + "events", OnMessage).ConfigureAwait(false);
        }
    }

    private Task<RedisResult> RunAsync(RedisScript script, params RedisValue[] arguments) =>
        script.RunAsync(redis.GetDatabase(), _prefix, arguments);

    private async Task<IReadOnlyList<TaskRecord>> ReadTasksAsync(string which, RedisValue what)
    {
        var rows = (RedisResult[])(await RunAsync(QueueScripts.ReadTasks, which, what).ConfigureAwait(false))!;
        return [.. rows.Select(row => ReadTask((RedisResult[])row!))];
    }

    private static QueueStatus ReadQueue(RedisResult result)
    {
        var row = (RedisResult[])result!;
        var counters = new RedisFields((RedisResult[])row[4]!);
        var running = (long)row[2];
        return new QueueStatus(
            (string)row[0]!,
            Math.Max(0, (long)row[1] - running),
            running,
            (long)row[3],
            counters.Number("succeeded"),
            counters.Number("failed"),
            counters.Number("retried"),
            counters.Number("reclaimed"),
            counters.Number("dead"));
    }

    private static TaskRecord ReadTask(RedisResult[] row)
    {
        var fields = new RedisFields((RedisResult[])row[1]!);
        return new TaskRecord(
            (string)row[0]!,
            fields.Text("task") ?? "",
            fields.Text("queue") ?? "",
            fields.Text("args") ?? "",
            State<TaskState>(fields.Text("state")),
            fields.Text("worker"),
            (int)fields.Number("attempt"),
            fields.Time("enqueued") ?? default,
            fields.Time("started"),
            fields.Time("finished"),
            fields.Text("error"));
    }

    private static WorkerStatus? ReadWorker(RedisResult[] row, long now)
    {
        var fields = new RedisFields((RedisResult[])row[1]!);
        if (fields.Time("heartbeat") is not { } heartbeat)
            return null;

        var state = State<WorkerState>(fields.Text("state"));
        if (state != WorkerState.Stopped && now - heartbeat.ToUnixTimeMilliseconds() > fields.Number("dead_after"))
            state = WorkerState.Lost;
        return new WorkerStatus(
            (string)row[0]!,
            state,
            JsonSerializer.Deserialize<Dictionary<string, int>>(fields.Text("concurrency") ?? "{}")!,
            fields.Number("running"),
            fields.Number("processed"),
            fields.Number("failed"),
            fields.Number("recycled"),
            (int)fields.Number("pid"),
            fields.Time("started") ?? heartbeat,
            heartbeat);
    }

    private static DeadLetter ReadDeadLetter(RedisResult[] row)
    {
        var fields = new RedisFields((RedisResult[])row[1]!);
        var flat = JsonSerializer.Deserialize<string[]>(fields.Text("message") ?? "[]")!;
        var message = flat.Chunk(2).Select(pair => new KeyValuePair<string, string>(pair[0], pair[1])).ToArray();
        string? Field(string name) => message.Where(pair => pair.Key == name).Select(pair => pair.Value).FirstOrDefault();
        return new DeadLetter(
            (string)row[0]!,
            Field("id"),
            Field("task"),
            fields.Text("queue") ?? "",
            Field("args"),
            (int)fields.Number("attempts"),
            fields.Text("worker"),
            fields.Time("died") ?? default,
            fields.Text("error") ?? "",
            message);
    }

    private static TState State<TState>(string? name) where TState : struct, Enum =>
        Enum.TryParse<TState>(name, ignoreCase: true, out var state) ? state : default;

    /// <summary>A hash or a message as Redis returns it: names and values in turn.</summary>
    private readonly struct RedisFields(RedisResult[] flat)
    {
        public string? Text(string name)
        {
            for (var i = 0; i + 1 < flat.Length; i += 2)
                if ((string?)flat[i] == name)
                    return (string?)flat[i + 1];
            return null;
        }

        public long Number(string name) =>
            long.TryParse(Text(name), CultureInfo.InvariantCulture, out var number) ? number : 0;

        public DateTimeOffset? Time(string name) =>
            Text(name) is null ? null : DateTimeOffset.FromUnixTimeMilliseconds(Number(name));
    }
}
