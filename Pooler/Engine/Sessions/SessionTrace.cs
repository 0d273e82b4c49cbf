using System.Diagnostics;
using Pooler.Engine.Pools;

namespace Pooler.Engine.Sessions;

/// <summary>
/// What tracing knows of a client; only clients that have marked something as part of a trace, or used
/// <c>pooler.traceparent</c>, have one.
/// </summary>
/// <param name="atStart">The value that the client gave at its login: what a reset goes back to.</param>
internal sealed class SessionTrace(TraceValue atStart)
{
    /// <summary>Nobody prepares more; names of which the server has refused the statement would pile up.</summary>
    private const int MostNamed = 1000;

    private TraceValues _sent = new(atStart);
    private TraceValues _confirmed = new(atStart);
    private Dictionary<byte[], TraceCommand>? _named;
    private TraceCommand? _unnamed;
    private TraceCommand? _bound;
    private byte[] _portal = [];

    /// <summary>The value that the client gave at its login.</summary>
    public TraceValue AtStart { get; } = atStart;

    /// <summary>The extended batch that has begun and has no Sync yet, when it has something to do with tracing.</summary>
    public TracedRequest? Batch { get; set; }

    /// <summary>What the request that waits for a server is part of.</summary>
    public ActivityContext Waiting { get; set; }

    /// <summary>The span of the transaction in progress.</summary>
    public Activity? Transaction { get; set; }

    /// <summary>What <see cref="Transaction"/> is a part of.</summary>
    public ActivityContext TransactionParent { get; set; }

    /// <summary>The value for what is sent next, should all go well that is under way.</summary>
    public TraceValue Sent => _sent.Current;

    /// <summary>The value as of what has been answered.</summary>
    public TraceValue Confirmed => _confirmed.Current;

    /// <summary>The value that another process has handed over.</summary>
    public void Restore(TraceValue value) => _sent = _confirmed = new TraceValues(value);

    /// <summary>A command is on its way to the server.</summary>
    public void OnSent(TraceCommand command)
    {
        if (!command.IsMalformed) _sent.Apply(command, AtStart);
    }

    /// <summary>A request has been answered.</summary>
    /// <param name="request">What it said, if anything.</param>
    /// <param name="isIdle">No transaction goes on.</param>
    /// <param name="hasFailed">It ended in an error.</param>
    /// <param name="isRolledBack">The transaction was rolled back.</param>
    /// <param name="isQuiet">Nothing else is under way.</param>
    public void OnAnswered(TracedRequest? request, bool isIdle, bool hasFailed, bool isRolledBack, bool isQuiet)
    {
        if (request is not null && !hasFailed)
            foreach (var command in request.Commands) _confirmed.Apply(command, AtStart);
        if (isIdle)
        {
            if (hasFailed || isRolledBack) _confirmed.RollBack();
            else _confirmed.Commit();
        }
        if (isQuiet) _sent = _confirmed;
    }

    /// <summary>A command was executed here, while nothing is under way.</summary>
    public void Execute(TraceCommand command, bool isIdle)
    {
        _confirmed.Apply(command, AtStart);
        if (isIdle) _confirmed.Commit();
        _sent = _confirmed;
    }

    /// <summary>Whether some statement or portal of the client is a command.</summary>
    public bool HasStatements => _unnamed is not null || _named is not null || _bound is not null;

    /// <summary>A statement is prepared under a name, which may be a command.</summary>
    public void OnPrepared(ReadOnlySpan<byte> name, TraceCommand? command)
    {
        if (name.IsEmpty) _unnamed = command;
        else if (command is null) OnStatementClosed(name);
        else if (_named is null || _named.Count < MostNamed) (_named ??= new(BytesComparer.Instance))[name.ToArray()] = command;
    }

    /// <summary>A portal is made of a statement.</summary>
    public void OnBound(ReadOnlySpan<byte> portal, ReadOnlySpan<byte> name)
    {
        TraceCommand? command = null;
        if (name.IsEmpty) command = _unnamed;
        else _named?.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out command);
        if (command is not null) (_bound, _portal) = (command, portal.ToArray());
        else if (_bound is not null && portal.SequenceEqual(_portal)) _bound = null;
    }

    /// <summary>A statement is closed.</summary>
    public void OnStatementClosed(ReadOnlySpan<byte> name)
    {
        if (_named is null || !_named.GetAlternateLookup<ReadOnlySpan<byte>>().Remove(name)) return;
        if (_named.Count == 0) _named = null;
    }

    /// <summary>All named statements and portals are gone.</summary>
    public void ForgetStatements()
    {
        _named = null;
        _bound = null;
    }

    /// <summary>The command that a portal executes; null when it is something else.</summary>
    public TraceCommand? Executed(ReadOnlySpan<byte> portal) => _bound is not null && portal.SequenceEqual(_portal) ? _bound : null;
}
