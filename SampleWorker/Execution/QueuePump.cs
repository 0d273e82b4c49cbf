using System.Diagnostics;
using SampleQueue;
using StackExchange.Redis;

namespace SampleWorker.Execution;

/// <summary>
/// Moves messages of one queue into execution, never more than there are free slots: what is taken is started at once,
/// so that no task waits in one worker while another is idle.
/// </summary>
internal sealed partial class QueuePump(
    string queue,
    int concurrency,
    TaskConsumer consumer,
    WorkerOptions options,
    TaskBudget budget,
    RunningTasks running,
    Func<RunningTask, Task> run,
    Func<Task> register,
    ILogger<QueuePump> logger) : IDisposable
{
    private readonly SemaphoreSlim _slots = new(concurrency, concurrency);
    private readonly SemaphoreSlim _wake = new(0, 1);
    private long _lastClaim = Stopwatch.GetTimestamp();
    private bool _failing;

    /// <summary>Says that there may be something in the queue.</summary>
    public void Wake()
    {
        try
        {
            _wake.Release();
        }
        catch (SemaphoreFullException)
        {
            // Woken already and not looked yet: one look sees all.
        }
    }

    /// <summary>Takes messages until <paramref name="drain"/>; the tasks started go on running after that.</summary>
    /// <param name="predecessor">A consumer that is known to be dead, whose messages are taken over at once.</param>
    /// <param name="drain">Ends the taking.</param>
    public async Task RunAsync(string? predecessor, CancellationToken drain)
    {
        try
        {
            while (true)
            {
                var free = await WaitForSlotsAsync(drain);
                var reserved = budget.Reserve(free);
                var started = 0;
                try
                {
                    if (reserved > 0)
                    {
                        var messages = await NextAsync(reserved, predecessor);
                        // A predecessor's messages may be more than there are slots: ask until there are none.
                        if (predecessor is not null && messages.Count < reserved)
                            predecessor = null;
                        foreach (var message in messages)
                        {
                            Start(message);
                            started++;
                        }
                    }

                    _failing = false;
                }
                catch (Exception error) when (error is RedisException or TimeoutException)
                {
                    await RecoverAsync(error);
                }
                finally
                {
                    budget.Settle(reserved, started);
                    if (free > started)
                        _slots.Release(free - started);
                }

                if (started < free)
                    await _wake.WaitAsync(options.Poll, drain);
            }
        }
        catch (OperationCanceledException) when (drain.IsCancellationRequested)
        {
        }
    }

    public void Dispose()
    {
        _slots.Dispose();
        _wake.Dispose();
    }

    private async Task<int> WaitForSlotsAsync(CancellationToken drain)
    {
        await _slots.WaitAsync(drain);
        var free = 1;
        while (_slots.Wait(0, CancellationToken.None))
            free++;
        return free;
    }

    private async Task<IReadOnlyList<TakenMessage>> NextAsync(int count, string? predecessor)
    {
        if (predecessor is not null)
        {
            var left = await ClaimAsync(count, TimeSpan.Zero, predecessor);
            if (left.Count > 0)
                return left;
        }

        if (Stopwatch.GetElapsedTime(_lastClaim) >= options.Heartbeat)
        {
            var abandoned = await ClaimAsync(count, options.ClaimAfter, null);
            // With a full hand there may be more of them: look again next time.
            if (abandoned.Count < count)
                _lastClaim = Stopwatch.GetTimestamp();
            if (abandoned.Count > 0)
                return abandoned;
        }

        return await consumer.TakeAsync(queue, count);
    }

    private async Task<IReadOnlyList<TakenMessage>> ClaimAsync(int count, TimeSpan idle, string? from)
    {
        var own = running.Messages.Where(message => message.Queue == queue).Select(message => message.EntryId);
        var claimed = await consumer.ClaimAsync(queue, count, idle, from, own);
        foreach (var message in claimed)
        {
            QueueTelemetry.Reclaimed.Add(1, new KeyValuePair<string, object?>("messaging.destination.name", queue));
            LogClaimed(message.Field("task"), message.Field("id"), queue, message.FormerOwner, message.Deliveries);
        }

        return claimed;
    }

    private void Start(TakenMessage message)
    {
        var task = new RunningTask(message);
        running.Add(task);
        task.Completion = Task.Run(async () =>
        {
            try
            {
                await run(task);
            }
            catch (Exception error)
            {
                // Whatever it was, the message is still pending and will be claimed.
                LogUnreported(error, message.Field("id"), queue);
            }
            finally
            {
                running.Remove(task);
                task.Dispose();
                _slots.Release();
            }
        });
    }

    private async Task RecoverAsync(Exception error)
    {
        if (!_failing)
            LogFailing(queue, error.Message);
        _failing = true;
        try
        {
            // Redis came back without its data: the consumer group has to be made anew.
            if (error.Message.StartsWith("NOGROUP", StringComparison.Ordinal))
                await register();
        }
        catch (Exception again) when (again is RedisException or TimeoutException)
        {
            // Comes round again after the poll interval.
        }
    }

    [LoggerMessage(LogLevel.Warning, "Took over task {Task} {Id} of queue {Queue} from {FormerOwner}, delivery {Delivery}")]
    private partial void LogClaimed(string? task, string? id, string queue, string? formerOwner, int delivery);

    [LoggerMessage(LogLevel.Error, "The outcome of task {Id} of queue {Queue} could not be reported; it will run again")]
    private partial void LogUnreported(Exception error, string? id, string queue);

    [LoggerMessage(LogLevel.Warning, "Can't read queue {Queue}, trying on: {Reason}")]
    private partial void LogFailing(string queue, string reason);
}
