namespace SampleWorker.Execution;

/// <summary>How many tasks this process may still start before it is to be replaced. Shared by its queues.</summary>
/// <param name="limit">Tasks in all; 0 for no limit.</param>
internal sealed class TaskBudget(int limit)
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _exhausted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _reserved;
    private int _started;

    /// <summary>Completes when the last task has been started, or <see cref="Exhaust"/> was called.</summary>
    public Task Exhausted => _exhausted.Task;

    /// <summary>Reserves up to <paramref name="wanted"/> starts; every one is to be used or given back.</summary>
    public int Reserve(int wanted)
    {
        lock (_lock)
        {
            var granted = _exhausted.Task.IsCompleted ? 0
                : limit == 0 ? wanted : Math.Min(wanted, limit - _started - _reserved);
            _reserved += granted;
            return granted;
        }
    }

    /// <summary>Allows no further start: the process is in no state to go on for long.</summary>
    public void Exhaust()
    {
        lock (_lock)
            _exhausted.TrySetResult();
    }

    /// <summary>Settles a reservation of which <paramref name="used"/> were used.</summary>
    public void Settle(int reserved, int used)
    {
        lock (_lock)
        {
            _reserved -= reserved;
            _started += used;
            if (limit > 0 && _started >= limit)
                _exhausted.TrySetResult();
        }
    }
}
