using SampleQueue;
using StackExchange.Redis;

namespace SampleWorker.Execution;

/// <summary>Identity of an executing process within its worker.</summary>
/// <param name="Consumer">Name under which it owns messages; never used twice.</param>
/// <param name="Generation">0 for the worker's first executor, then counting.</param>
/// <param name="Predecessor">Consumer of the executor before, when that one died; null otherwise.</param>
internal sealed record ExecutorIdentity(string Consumer, int Generation, string? Predecessor);

/// <summary>How the executing process ends, for its supervisor.</summary>
internal sealed class ExecutorExit
{
    /// <summary>It was told to stop.</summary>
    public const int Stopped = 0;

    /// <summary>It wants to be replaced: it has run its number of tasks, or a task does not let go of it.</summary>
    public const int Recycled = 64;

    /// <summary>The exit code.</summary>
    public int Code { get; set; } = Stopped;
}

/// <summary>
/// Runs tasks: takes them from the queues, keeps them from being claimed while they run, fires the schedule, and stops
/// in order. Also the scheduler of the stack, as every worker is; see <see cref="QueueScripts.FireSchedule"/> for why
/// that needs no leader.
/// </summary>
internal sealed partial class TaskExecutor(
    IConnectionMultiplexer redis,
    TaskQueueOptions queueOptions,
    WorkerOptions options,
    ExecutorIdentity identity,
    ExecutorExit exit,
    IServiceProvider services,
    IHostApplicationLifetime lifetime,
    ILoggerFactory loggers,
    ILogger<TaskExecutor> logger) : BackgroundService
{
    // Cancelled tasks are given this long to notice.
    private static readonly TimeSpan AbortLimit = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan TidyInterval = TimeSpan.FromMinutes(1);

    private readonly RunningTasks _running = new();
    private readonly TaskBudget _budget = new(options.MaxTasksPerChild);
    private readonly TaskConsumer _consumer = new(redis, queueOptions, options.Name, identity.Consumer);
    private WorkerState _state = WorkerState.Running;
    private bool _redisFails;

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!await WaitForRedisAsync(stoppingToken))
            return;

        using var end = new CancellationTokenSource();
        using var abort = new CancellationTokenSource();
        using var drain = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        var runner = new TaskRunner(_consumer, services, options, _budget, loggers.CreateLogger<TaskRunner>());
        var pumps = options.Served.ToDictionary(
            queue => queue.Key,
            queue => new QueuePump(
                queue.Key, queue.Value, _consumer, options, _budget, _running,
                task => runner.RunAsync(task, abort.Token, end.Token),
                RegisterAsync,
                loggers.CreateLogger<QueuePump>()));
        var wake = (RedisChannel)(queueOptions.KeyPrefix + "wake");
        await redis.GetSubscriber().SubscribeAsync(wake, (_, queue) => pumps.GetValueOrDefault((string)queue!)?.Wake());

        var pumping = pumps.Values.Select(pump => pump.RunAsync(identity.Predecessor, drain.Token)).ToArray();
        var heartbeat = EveryAsync(options.Heartbeat, HeartbeatAsync, end.Token);
        var housekeeping = EveryAsync(options.Poll, KeepHouseAsync, drain.Token);
        var tidying = EveryAsync(TidyInterval, _consumer.TidyAsync, drain.Token);
        LogReady(options.Name, string.Join(", ", options.Served.Select(queue => $"{queue.Key} {queue.Value}")));

        await Task.WhenAny(_budget.Exhausted, Task.Delay(Timeout.Infinite, drain.Token));
        _state = stoppingToken.IsCancellationRequested ? WorkerState.Draining : WorkerState.Recycling;
        await drain.CancelAsync();
        await Task.WhenAll([.. pumping, housekeeping, tidying]);
        await TryAsync(HeartbeatAsync);

        await FinishRunningAsync(abort, stoppingToken);
        await end.CancelAsync();
        await heartbeat;
        await LeaveAsync(wake);

        foreach (var pump in pumps.Values)
            pump.Dispose();

        if (!stoppingToken.IsCancellationRequested)
        {
            LogRecycling();
            exit.Code = ExecutorExit.Recycled;
            lifetime.StopApplication();
        }
    }

    private async Task FinishRunningAsync(CancellationTokenSource abort, CancellationToken stoppingToken)
    {
        // When it is only to be replaced nothing presses, as every task has its time limit; being told to stop does.
        var done = _state == WorkerState.Recycling
            && await _running.WaitAsync(options.TaskTimeLimit + options.CancellationGrace + AbortLimit, stoppingToken);
        if (!done && _running.Messages.Count > 0)
        {
            LogDraining(_running.Messages.Count, options.ShutdownLimit);
            done = await _running.WaitAsync(options.ShutdownLimit);
        }

        if (done)
            return;

        await abort.CancelAsync();
        if (await _running.WaitAsync(AbortLimit))
            return;

        // These ignore their cancellation. They end with the process, and whoever takes them over begins anew.
        foreach (var message in _running.Messages)
        {
            LogStuck(message.Field("task"), message.Field("id"));
            await TryAsync(() => _consumer.ReleaseAsync(message));
        }
    }

    private async Task LeaveAsync(RedisChannel wake)
    {
        await TryAsync(() => redis.GetSubscriber().UnsubscribeAsync(wake));
        await TryAsync(() => _consumer.LeaveAsync(
            _state == WorkerState.Recycling ? WorkerState.Recycling : WorkerState.Stopped, options.Served.Keys));
    }

    private async Task<bool> WaitForRedisAsync(CancellationToken stoppingToken)
    {
        var told = false;
        while (true)
        {
            try
            {
                await RegisterAsync();
                return true;
            }
            catch (Exception error) when (error is RedisException or TimeoutException)
            {
                if (!told)
                    LogWaiting(error.Message);
                told = true;
            }

            try
            {
                await Task.Delay(options.Poll, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return false;
            }
        }
    }

    private Task RegisterAsync() => _consumer.RegisterAsync(options.Served, identity.Generation, options.ClaimAfter);

    private async Task HeartbeatAsync()
    {
        foreach (var (queue, entryId) in await _consumer.HeartbeatAsync(_state, _running.Messages))
            _running.MarkLost(queue, entryId);
    }

    private async Task KeepHouseAsync()
    {
        await _consumer.PromoteDelayedAsync();
        var periodic = options.Schedule
            .Where(entry => entry.Value > TimeSpan.Zero)
            .Select(entry => new PeriodicTask(TaskQueues.Default, entry.Key, entry.Value));
        foreach (var name in await _consumer.FireScheduleAsync(periodic))
            LogFired(name);
    }

    private async Task EveryAsync(TimeSpan interval, Func<Task> action, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            do
                await TryAsync(action);
            while (await timer.WaitForNextTickAsync(cancellationToken));
        }
        catch (OperationCanceledException)
        {
        }
    }

    // What fails here is tried again at the next tick, or can be left to the other workers.
    private async Task TryAsync(Func<Task> action)
    {
        try
        {
            await action();
            if (Interlocked.Exchange(ref _redisFails, false))
                LogRedisAgain();
        }
        catch (Exception error) when (error is RedisException or TimeoutException)
        {
            if (!Interlocked.Exchange(ref _redisFails, true))
                LogRedisError(error.Message);
        }
    }

    [LoggerMessage(LogLevel.Information, "Worker {Worker} takes tasks: {Queues}")]
    private partial void LogReady(string worker, string queues);

    [LoggerMessage(LogLevel.Warning, "Waiting for Redis: {Reason}")]
    private partial void LogWaiting(string reason);

    [LoggerMessage(LogLevel.Information, "Periodic task {Task} is due and enqueued")]
    private partial void LogFired(string task);

    [LoggerMessage(LogLevel.Information, "Stopping: {Count} tasks have {Limit} to finish")]
    private partial void LogDraining(int count, TimeSpan limit);

    [LoggerMessage(LogLevel.Warning, "Task {Task} {Id} does not heed its cancellation and is handed back as it is")]
    private partial void LogStuck(string? task, string? id);

    [LoggerMessage(LogLevel.Information, "Making room for a fresh process")]
    private partial void LogRecycling();

    [LoggerMessage(LogLevel.Warning, "Redis does not answer, trying on: {Reason}")]
    private partial void LogRedisError(string reason);

    [LoggerMessage(LogLevel.Information, "Redis answers again")]
    private partial void LogRedisAgain();
}
