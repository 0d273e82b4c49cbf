using System.Diagnostics;

namespace Pooler.Engine.Sessions;

/// <summary>A request under way that has something to do with tracing: a simple query, or an extended batch up to its Sync.</summary>
/// <param name="startedAt">When its first byte was forwarded, in loop microseconds.</param>
internal sealed class TracedRequest(long startedAt)
{
    /// <summary>Of more commands in one request the last ones count.</summary>
    private const int MostCommands = 64;

    private ActivityContext _context;
    private bool _isMarkedByComment;
    private List<TraceCommand>? _commands;

    public long StartedAt { get; } = startedAt;

    /// <summary>The client's span; the default when the request is not to be traced.</summary>
    public ActivityContext Context => _context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded) ? _context : default;

    /// <summary>What it says about pooler.traceparent, in order.</summary>
    public IReadOnlyList<TraceCommand> Commands => _commands ?? [];

    /// <summary>How many commands are in it only for the pooler's sake.</summary>
    public int OwnCommands { get; private set; }

    /// <summary>One of its texts says what it is part of: that goes before anything the session says, and the first before others.</summary>
    public void MarkByComment(in ActivityContext context)
    {
        if (!_isMarkedByComment) _context = context;
        _isMarkedByComment = true;
    }

    /// <summary>It says something about pooler.traceparent: what it sets first marks the request itself.</summary>
    public void Add(TraceCommand command)
    {
        _commands ??= [];
        if (_commands.Count == MostCommands) _commands.RemoveAt(0);
        _commands.Add(command);
        if (!command.IsForServer) OwnCommands++;
        if (!_isMarkedByComment && _context == default) _context = command.Context;
    }

    /// <summary>It says nothing itself: what the session says holds.</summary>
    public void MarkBySession(TraceValue value)
    {
        if (!_isMarkedByComment && _context == default && _commands is null) _context = value.Context;
    }
}
