using System.Collections.Concurrent;
using System.Diagnostics;
using SampleQueue;

namespace SampleWorker.Execution;

/// <summary>A task that this process has in hand.</summary>
internal sealed class RunningTask(TakenMessage message) : IDisposable
{
    private readonly CancellationTokenSource _lost = new();

    public TakenMessage Message => message;

    /// <summary>When it was taken, by <see cref="Stopwatch"/>.</summary>
    public long TakenAt { get; } = Stopwatch.GetTimestamp();

    /// <summary>Cancelled when another worker has taken the task over; what becomes of it here no longer counts.</summary>
    public CancellationToken Lost => _lost.Token;

    /// <summary>Completes when the task has ended and that has been reported.</summary>
    public Task Completion { get; set; } = Task.CompletedTask;

    public void MarkLost() => _lost.Cancel();

    public void Dispose() => _lost.Dispose();
}

/// <summary>The tasks that this process has in hand.</summary>
internal sealed class RunningTasks
{
    private readonly ConcurrentDictionary<(string Queue, string EntryId), RunningTask> _tasks = new();

    /// <summary>Their messages, at this moment.</summary>
    public IReadOnlyList<TakenMessage> Messages => [.. _tasks.Values.Select(task => task.Message)];

    public void Add(RunningTask task) => _tasks[(task.Message.Queue, task.Message.EntryId)] = task;

    public void Remove(RunningTask task) => _tasks.TryRemove((task.Message.Queue, task.Message.EntryId), out _);

    public void MarkLost(string queue, string entryId)
    {
        if (_tasks.TryGetValue((queue, entryId), out var task))
            task.MarkLost();
    }

    /// <summary>Waits until all have ended; false when that takes longer than <paramref name="limit"/>.</summary>
    public async Task<bool> WaitAsync(TimeSpan limit, CancellationToken cancellationToken = default)
    {
        try
        {
            await Task.WhenAll(_tasks.Values.Select(task => task.Completion)).WaitAsync(limit, cancellationToken);
            return true;
        }
        catch (Exception error) when (error is TimeoutException or OperationCanceledException)
        {
            return _tasks.IsEmpty;
        }
    }
}
