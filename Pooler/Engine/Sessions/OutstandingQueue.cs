using Pooler.Engine.Pools;

namespace Pooler.Engine.Sessions;

/// <summary>What was sent to a server and is still to be answered, as far as the pool must tell answers apart.</summary>
internal enum RequestKind : byte
{
    /// <summary>A client's simple query or function call; ends with ReadyForQuery.</summary>
    Query,

    /// <summary>A client's DISCARD ALL or DEALLOCATE ALL, recognised when it was sent.</summary>
    ForgetStatements,

    /// <summary>Our own query before a client's (parameters): all its answers are dropped.</summary>
    OwnQuery,

    /// <summary>A client's Sync; ends with ReadyForQuery.</summary>
    Sync,

    /// <summary>A client's Parse, sent on: ParseComplete goes to the client.</summary>
    Parse,

    /// <summary>A Parse of ours, because this server did not have the statement yet: ParseComplete is dropped.</summary>
    OwnParse,

    /// <summary>A client's Close, sent on: CloseComplete goes to the client.</summary>
    Close,

    /// <summary>
    /// A client's Parse of a statement that the server has: sent as Close of a name nobody uses, so that the answer comes
    /// in the server's own order; CloseComplete goes to the client as ParseComplete.
    /// </summary>
    ParseAlreadyDone,

    /// <summary>A Close of ours, to make room: CloseComplete is dropped.</summary>
    OwnClose,
}

/// <summary>One entry of the <see cref="OutstandingQueue"/>.</summary>
/// <param name="Kind">What was sent.</param>
/// <param name="Statement">The statement concerned, if any.</param>
/// <param name="ClientName">The client's name for it, when the client's own list depends on the outcome.</param>
/// <param name="Traced">What tracing wants to know when it is answered.</param>
internal readonly record struct Request(RequestKind Kind, PreparedStatement? Statement = null, byte[]? ClientName = null, TracedRequest? Traced = null)
{
    /// <summary>Whether ReadyForQuery ends it.</summary>
    public bool EndsWithReady => Kind <= RequestKind.Sync;

    /// <summary>Whether its outcome decides what the server has prepared, or what a name of the client means.</summary>
    public bool ChangesStatements => Statement is not null;
}

/// <summary>
/// The requests a server has still to answer, in order. A ring that grows to the longest pipeline seen and is kept: only
/// servers have one, so there are few.
/// </summary>
internal sealed class OutstandingQueue
{
    private Request[] _ring = new Request[8];
    private int _head;
    private int _statementChanges;

    public int Count { get; private set; }

    /// <summary>An entry by its position from the oldest.</summary>
    public ref readonly Request this[int index] => ref _ring[(_head + index) & (_ring.Length - 1)];

    public void Enqueue(in Request request)
    {
        if (Count == _ring.Length) Grow();
        if (request.ChangesStatements) _statementChanges++;
        _ring[(_head + Count++) & (_ring.Length - 1)] = request;
    }

    public ref readonly Request Peek() => ref _ring[_head];

    public Request Dequeue()
    {
        var request = _ring[_head];
        _ring[_head] = default;
        _head = (_head + 1) & (_ring.Length - 1);
        Count--;
        if (request.ChangesStatements) _statementChanges--;
        return request;
    }

    /// <summary>
    /// Whether a batch that was sent before the one in the making, and is not answered yet, decides about a statement or
    /// a client's name. Within one batch everything is certain enough: after an error the server passes over all of it.
    /// </summary>
    public bool IsUndecided(PreparedStatement? statement, ReadOnlySpan<byte> clientName)
    {
        if (_statementChanges == 0) return false;
        var ended = Count;
        while (ended > 0 && !this[ended - 1].EndsWithReady) ended--;
        for (var i = 0; i < ended; i++)
        {
            ref readonly var request = ref this[i];
            if (!request.ChangesStatements) continue;
            if (request.Statement == statement || (request.ClientName is { } name && clientName.SequenceEqual(name))) return true;
        }
        return false;
    }

    /// <summary>Whether anything was sent behind the batch or query that is being answered.</summary>
    public bool HasRequestsBehindTheFirst
    {
        get
        {
            for (var i = 0; i < Count; i++)
                if (this[i].EndsWithReady) return i + 1 < Count;
            return false;
        }
    }

    /// <summary>
    /// The server has begun to take COPY data: it will ignore every Sync that was sent before the data's end, so they are
    /// not answered. Those of simple queries stay (PostgreSQL documentation, "COPY Operations").
    /// </summary>
    /// <returns>What tracing wanted to know of the first of them.</returns>
    public TracedRequest? DropSyncsIgnoredByCopy()
    {
        TracedRequest? traced = null;
        var kept = 0;
        for (var i = 0; i < Count; i++)
        {
            var request = _ring[(_head + i) & (_ring.Length - 1)];
            if (request.Kind == RequestKind.Sync)
            {
                traced ??= request.Traced;
                continue;
            }
            _ring[(_head + kept++) & (_ring.Length - 1)] = request;
        }
        for (var i = kept; i < Count; i++) _ring[(_head + i) & (_ring.Length - 1)] = default;
        Count = kept;
        return traced;
    }

    /// <summary>What tracing wants to know of the batch or query that is being answered.</summary>
    /// <param name="open">The same of the batch whose end has not been sent.</param>
    public TracedRequest? BeingAnswered(TracedRequest? open)
    {
        for (var i = 0; i < Count; i++)
            if (this[i].EndsWithReady && this[i].Kind != RequestKind.OwnQuery) return this[i].Traced;
        return open;
    }

    public void Clear()
    {
        Array.Clear(_ring);
        _head = Count = _statementChanges = 0;
    }

    private void Grow()
    {
        var larger = new Request[_ring.Length * 2];
        for (var i = 0; i < Count; i++) larger[i] = _ring[(_head + i) & (_ring.Length - 1)];
        _ring = larger;
        _head = 0;
    }
}
