using System.Diagnostics;
using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>What the spans of requests tell about their answers.</summary>
internal sealed partial class ServerSession
{
    /// <summary>The tags of what is asked for most, so that no text is made for them.</summary>
    private static readonly string[] UsualOperations = ["SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "SET", "COPY", "MERGE"];

    private ActivityContext _connectSpan;
    private string? _operation;
    private int _operations;
    private int _ownCommands;
    private bool _isMixed;

    /// <summary>All of the request was there only for the pooler's sake.</summary>
    public bool HasDoneNothingElse => _ownCommands > 0 && _operations == 0 && AnsweredError is null;

    /// <summary>The transaction that has ended last was rolled back, as far as this was noted.</summary>
    public bool IsRolledBack { get; private set; }

    /// <summary>What the client gets instead of the message that is being looked at.</summary>
    private PgError? _instead;

    /// <summary>SQLSTATE of the first error of the request that is being answered, or has just been.</summary>
    public string? AnsweredError { get; private set; }

    /// <summary>The span of its opening, once: for the first client that it works for.</summary>
    public ActivityContext TakeConnectSpan()
    {
        var span = _connectSpan;
        _connectSpan = default;
        return span;
    }

    /// <summary>The span of its opening was made.</summary>
    public void NoteConnectSpan(in ActivityContext span) => _connectSpan = span;

    /// <summary>Tells what was executed.</summary>
    public void NoteOperation(Activity? span)
    {
        if (_operation is null || span is not { IsAllDataRequested: true }) return;
        span.SetTag("db.operation.name", _operations == 1 ? _operation : _isMixed ? "BATCH" : "BATCH " + _operation);
        if (_operations > 1) span.SetTag("db.operation.batch.size", _operations);
    }

    /// <summary>A command of the request that is being answered is complete.</summary>
    private void NoteCommand(ClientSession client, ReadOnlySpan<byte> tag)
    {
        tag = tag.TrimEnd("\0"u8).TrimEnd(" 0123456789"u8);
        string? operation = null;
        foreach (var usual in UsualOperations)
            if (Ascii.Equals(tag, usual)) operation = usual;
        operation ??= Encoding.ASCII.GetString(tag);
        if (operation is "COMMIT" or "ROLLBACK") IsRolledBack = operation == "ROLLBACK";
        if (operation is "SET" or "RESET" && _ownCommands < Outstanding.BeingAnswered(client.OpenBatch)?.OwnCommands)
        {
            _ownCommands++;
            return;
        }
        if (_operation is not null && _operation != operation) _isMixed = true;
        _operation ??= operation;
        _operations++;
    }

    private void ForgetAnswers()
    {
        AnsweredError = _operation = null;
        IsRolledBack = false;
        _operations = _ownCommands = 0;
        _isMixed = false;
    }
}
