using System.Diagnostics;
using SampleQueue;
using SampleWorker.Tasks;
using StackExchange.Redis;

namespace SampleWorker.Execution;

/// <summary>
/// Runs one task and reports its outcome: done, again later, given up, or handed back. The message is acknowledged with
/// the outcome and not before.
/// </summary>
internal sealed partial class TaskRunner(
    TaskConsumer consumer, IServiceProvider services, WorkerOptions options, TaskBudget budget, ILogger<TaskRunner> logger)
{
    private readonly Dictionary<string, ITaskHandler> _handlers =
        services.GetServices<ITaskHandler>().ToDictionary(handler => handler.Name, StringComparer.Ordinal);

    /// <summary>Runs a task.</summary>
    /// <param name="task">The task.</param>
    /// <param name="abort">Cancelled when the worker can wait no longer: the task is handed back.</param>
    /// <param name="end">Cancelled when the worker ends: reporting is given up.</param>
    public async Task RunAsync(RunningTask task, CancellationToken abort, CancellationToken end)
    {
        var taken = task.Message;
        TaskMessage message;
        try
        {
            message = TaskMessage.Parse(taken);
        }
        catch (MalformedTaskException error)
        {
            LogDead(taken.Field("task"), taken.Field("id") ?? taken.EntryId, taken.Queue, error.Message);
            await ReportAsync(() => consumer.BuryAsync(taken, error.Message, 0), end);
            return;
        }

        ActivityContext.TryParse(message.TraceParent, message.TraceState, isRemote: true, out var parent);
        using var activity = QueueTelemetry.Source.StartActivity($"process {message.Queue}", ActivityKind.Consumer, parent);
        activity?.SetTag("messaging.system", "redis");
        activity?.SetTag("messaging.operation.type", "process");
        activity?.SetTag("messaging.destination.name", message.Queue);
        activity?.SetTag("messaging.message.id", message.Id);
        activity?.SetTag("messaging.client.id", consumer.Worker);
        activity?.SetTag("task.name", message.Name);
        activity?.SetTag("task.attempt", message.Attempt);
        activity?.SetTag("task.delivery", taken.Deliveries);
        using var scope = logger.BeginScope(new Dictionary<string, object> { ["TaskId"] = message.Id });

        var tags = new TagList { { "messaging.destination.name", message.Queue }, { "task.name", message.Name } };
        QueueTelemetry.Consumed.Add(1, tags);
        QueueTelemetry.QueueTime.Record(Math.Max(0, (taken.TakenAt - message.EnqueuedAt).TotalSeconds), tags);
        QueueTelemetry.Running.Add(1, tags);
        var outcome = "aborted";
        try
        {
            outcome = await AttemptAsync(task, message, activity, abort, end);
        }
        finally
        {
            QueueTelemetry.Running.Add(-1, tags);
            tags.Add("task.outcome", outcome);
            QueueTelemetry.ProcessDuration.Record(Stopwatch.GetElapsedTime(task.TakenAt).TotalSeconds, tags);
            activity?.SetTag("task.outcome", outcome);
        }
    }

    private async Task<string> AttemptAsync(
        RunningTask task, TaskMessage message, Activity? activity, CancellationToken abort, CancellationToken end)
    {
        var taken = task.Message;
        Exception failure;
        try
        {
            if (!_handlers.TryGetValue(message.Name, out var handler))
                throw new TaskRejectedException($"This worker knows no task '{message.Name}'.");
            if (taken.Deliveries > options.MaxDeliveries)
                throw new TaskRejectedException($"{taken.Deliveries - 1} workers died over it or lost it.");

            using var timeLimit = new CancellationTokenSource(options.TaskTimeLimit);
            using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(timeLimit.Token, task.Lost, abort);
            try
            {
                var context = new TaskContext(message, taken.TakenAt, task.TakenAt);
                await WithinLimitAsync(handler.RunAsync(context, cancellation.Token));
            }
            catch (OperationCanceledException error) when (
                timeLimit.IsCancellationRequested && !task.Lost.IsCancellationRequested && !abort.IsCancellationRequested)
            {
                throw new TimeoutException($"It took longer than the time limit of {options.TaskTimeLimit}.", error);
            }

            return await SettleAsync("succeeded", message, () => consumer.SucceedAsync(taken), end);
        }
        catch (OperationCanceledException) when (task.Lost.IsCancellationRequested)
        {
            LogLost(message.Name, message.Id, message.Queue);
            return "lost";
        }
        catch (OperationCanceledException) when (abort.IsCancellationRequested)
        {
            return await SettleAsync("released", message, () => consumer.ReleaseAsync(taken), end);
        }
        catch (Exception error) when (error is not RedisException || !end.IsCancellationRequested)
        {
            failure = error;
        }

        activity?.SetStatus(ActivityStatusCode.Error, failure.Message);
        activity?.SetTag("error.type", failure.GetType().FullName);

        if (failure is TaskDeferredException && taken.TakenAt - message.EnqueuedAt < options.DeferLimit)
        {
            LogDeferred(message.Name, message.Id, failure.Message, options.DeferDelay);
            return await SettleAsync("deferred", message, () => consumer.DeferAsync(taken, failure.Message, options.DeferDelay), end);
        }

        if (failure is TaskRejectedException || message.Attempt >= options.MaxAttempts)
        {
            LogDead(message.Name, message.Id, message.Queue, failure.Message);
            return await SettleAsync("dead", message, () => consumer.BuryAsync(taken, failure.Message, message.Attempt), end);
        }

        // The random part keeps tasks that failed together (a site was down) from coming back together.
        var delay = options.DelayAfter(message.Attempt) * (1 + (Random.Shared.NextDouble() / 4));
        LogRetry(message.Name, message.Id, message.Attempt, options.MaxAttempts, delay, failure.Message);
        return await SettleAsync("retried", message, () => consumer.RetryAsync(taken, failure.Message, delay), end);
    }

    // Celery kills the process of a task that outlives its hard limit. Here other tasks share it: the attempt counts as
    // failed, and the process is replaced as soon as they are done, which ends what is still running.
    private async Task WithinLimitAsync(Task work)
    {
        try
        {
            await work.WaitAsync(options.TaskTimeLimit + options.CancellationGrace);
        }
        catch (TimeoutException) when (!work.IsCompleted)
        {
            budget.Exhaust();
            throw new TimeoutException($"It went on after the time limit of {options.TaskTimeLimit}, heedless of its cancellation.");
        }
    }

    private async Task<string> SettleAsync(string outcome, TaskMessage message, Func<Task<bool>> report, CancellationToken end)
    {
        if (await ReportAsync(report, end))
        {
            // The others have been logged with their reason.
            if (outcome is "succeeded" or "released")
                LogEnded(message.Name, message.Id, message.Queue, outcome);
            return outcome;
        }

        LogLost(message.Name, message.Id, message.Queue);
        return "lost";
    }

    // While Redis is away the task stays in hand. Should a report have arrived without its answer, the repetition finds
    // the message owned no longer and changes nothing.
    private async Task<bool> ReportAsync(Func<Task<bool>> report, CancellationToken end)
    {
        while (true)
        {
            try
            {
                return await report();
            }
            catch (Exception error) when (error is RedisException or TimeoutException && !end.IsCancellationRequested)
            {
                await Task.Delay(options.Poll, end);
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "Task {Task} {Id} of queue {Queue} {Outcome}")]
    private partial void LogEnded(string task, string id, string queue, string outcome);

    [LoggerMessage(LogLevel.Warning, "Task {Task} {Id} failed in attempt {Attempt} of {MaxAttempts}, next in {Delay}: {Reason}")]
    private partial void LogRetry(string task, string id, int attempt, int maxAttempts, TimeSpan delay, string reason);

    [LoggerMessage(LogLevel.Warning, "Task {Task} {Id} can't be done yet, next try in {Delay}: {Reason}")]
    private partial void LogDeferred(string task, string id, string reason, TimeSpan delay);

    [LoggerMessage(LogLevel.Error, "Task {Task} {Id} of queue {Queue} is given up and kept among the dead letters: {Reason}")]
    private partial void LogDead(string? task, string id, string queue, string reason);

    [LoggerMessage(LogLevel.Warning, "Task {Task} {Id} of queue {Queue} was taken over by another worker; the outcome here does not count")]
    private partial void LogLost(string task, string id, string queue);
}
