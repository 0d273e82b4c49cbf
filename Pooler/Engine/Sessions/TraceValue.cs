using System.Diagnostics;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>A value of <c>pooler.traceparent</c>.</summary>
/// <param name="Text">As it was set; empty for none.</param>
/// <param name="Context">What it stands for.</param>
internal sealed record TraceValue(string Text, ActivityContext Context)
{
    public static readonly TraceValue None = new("", default);

    /// <summary>Null for none.</summary>
    public string? TextOrNull => Text.Length == 0 ? null : Text;

    /// <summary>The value of a text; none when it is malformed.</summary>
    public static TraceValue Of(string? text) =>
        text is not null && TraceParent.TryRead(text, out var context) ? new TraceValue(text, context) : None;
}

/// <summary>
/// The values of <c>pooler.traceparent</c> in a session: as with PostgreSQL's own parameters, what a transaction has set is
/// forgotten when it is rolled back, and what it has set for itself when it ends.
/// </summary>
internal record struct TraceValues(TraceValue Session)
{
    private TraceValue? _inTransaction;
    private TraceValue? _local;

    public readonly TraceValue Current => _local ?? _inTransaction ?? Session;

    public void Apply(TraceCommand command, TraceValue atStart)
    {
        switch (command.Verb)
        {
            case TraceVerb.Set:
                _inTransaction = new TraceValue(command.Value, command.Context);
                _local = null;
                break;
            case TraceVerb.Reset:
                _inTransaction = atStart;
                _local = null;
                break;
            case TraceVerb.SetLocal:
                _local = new TraceValue(command.Value, command.Context);
                break;
            case TraceVerb.ResetLocal:
                _local = atStart;
                break;
        }
    }

    public void Commit()
    {
        Session = _inTransaction ?? Session;
        _inTransaction = _local = null;
    }

    public void RollBack() => _inTransaction = _local = null;
}
