namespace Pooler.Engine;

/// <summary>
/// Commands whose answer waits for something: PAUSE until the servers are closed, for example. Any thread. Who gives up
/// waiting takes his entry along; what the command has ordered is not undone by that.
/// </summary>
internal sealed class PendingCommands
{
    private readonly Lock _lock = new();
    private readonly List<Entry> _entries = [];

    /// <summary>How many wait.</summary>
    public int Count
    {
        get
        {
            lock (_lock) return _entries.Count;
        }
    }

    /// <summary>Ends when the condition holds; it is looked at whenever something ended, and a few times a second.</summary>
    /// <param name="condition">Quick, and must not call back.</param>
    /// <param name="endsWithResume">Waits for a standstill: <see cref="EndByResume"/> makes it pointless.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    public async Task WaitAsync(Func<bool> condition, bool endsWithResume, CancellationToken cancellationToken)
    {
        // Continuations must not run on the loop that notices: they may block or write to other connections.
        var entry = new Entry(condition, endsWithResume, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        lock (_lock) _entries.Add(entry);
        await using var registration = cancellationToken.UnsafeRegister(static (state, token) =>
        {
            var (pending, cancelled) = ((PendingCommands, Entry))state!;
            lock (pending._lock) pending._entries.Remove(cancelled);
            cancelled.Done.TrySetCanceled(token);
        }, (this, entry)).ConfigureAwait(false);
        Check();
        await entry.Done.Task.ConfigureAwait(false);
    }

    /// <summary>Something ended: looks who is done.</summary>
    public void Check()
    {
        if (_entries.Count == 0) return;
        List<Entry>? done = null;
        lock (_lock)
        {
            for (var i = _entries.Count - 1; i >= 0; i--)
            {
                if (!_entries[i].Condition()) continue;
                (done ??= []).Add(_entries[i]);
                _entries.RemoveAt(i);
            }
        }
        if (done is null) return;
        foreach (var entry in done) entry.Done.TrySetResult();
    }

    /// <summary>The standstill that they wait for has been called off.</summary>
    public void EndByResume()
    {
        Entry[] ended;
        lock (_lock)
        {
            ended = [.. _entries.Where(e => e.EndsWithResume)];
            _entries.RemoveAll(e => e.EndsWithResume);
        }
        foreach (var entry in ended) entry.Done.TrySetException(new AdministrationException("ended by RESUME"));
    }

    private sealed record Entry(Func<bool> Condition, bool EndsWithResume, TaskCompletionSource Done);
}
