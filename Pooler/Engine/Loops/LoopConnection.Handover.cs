namespace Pooler.Engine.Loops;

// How a connection leaves for another process, or comes from one.
internal abstract partial class LoopConnection
{
    public override bool CanBeHandedOver =>
        Tls is null && _tls is null && (Flags & (State.Closed | State.Lingering | State.Connecting | State.SendFailed)) == 0;

    public override byte[] CopyKeptInput() => _input.Span.ToArray();

    public override byte[] CopyPendingOutput() => _output.Span.ToArray();

    public override void Abandon()
    {
        if ((Flags & State.Closed) != 0)
            return;
        if ((Flags & State.Accepted) != 0)
            Owner.CountAccepted(-1);
        Flags = State.Closed;
        _generation = Interlocked.Increment(ref _lastGeneration);
        _input.Release();
        _output.Release();
        AbandonSocket();
    }

    /// <summary>Frees the entry in the table and this process's descriptor, and nothing of the connection itself.</summary>
    private protected abstract void AbandonSocket();

    /// <summary>Fills a connection that has just been adopted, before any event of it.</summary>
    internal void Preload(ReadOnlySpan<byte> kept, ReadOnlySpan<byte> pending)
    {
        if (!kept.IsEmpty)
            _input.Append(kept);
        Flags |= State.Paused;
        if (pending.IsEmpty)
            return;
        _output.Append(pending);
        // Not before the loop runs: until the handover is agreed upon the process before has these bytes still, and sends
        // them if it fails.
        Owner.Post(static state =>
        {
            var connection = (LoopConnection)state!;
            if ((connection.Flags & State.Closed) == 0)
                connection.Owner.Guard(connection, connection._generation, 0, static (its, _) => its.Flush());
        }, this);
    }
}
