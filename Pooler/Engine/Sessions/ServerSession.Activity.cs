using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>What a server is asked, for those who want to see it; see <see cref="RequestText"/>.</summary>
internal sealed partial class ServerSession
{
    private readonly RequestText _request = new();

    /// <summary>How long the client that it is linked to waited for it, microseconds, until that is reported; 0: not worth a word.</summary>
    private long _slowWait;

    /// <summary>What it was last asked. Any thread.</summary>
    public RequestCopy LastRequest => _request.Read();

    /// <summary>Its client waited for it too long; what for is known when the client's request has been read.</summary>
    public void NoteSlowWait(long waited) => _slowWait = waited;

    /// <summary>A Query message on its way to the server, as much of it as has arrived.</summary>
    public void NoteQuery(ReadOnlySpan<byte> message) => _request.Set(message[MessageHeader.Size..]);

    /// <summary>The Parse message of an unnamed statement on its way to the server, as much of it as has arrived.</summary>
    public void NoteUnnamedParse(ReadOnlySpan<byte> message) => _request.Set(message[(MessageHeader.Size + 1)..]);

    /// <summary>The Parse of a statement that the pool keeps.</summary>
    public void NoteStatement(PreparedStatement statement) => _request.Set(statement);

    /// <summary>The rest of a message of which the server was sent the beginning.</summary>
    public void NoteRest(ReadOnlySpan<byte> bytes) => _request.Append(bytes);

    /// <summary>The Bind of a statement that the pool keeps.</summary>
    /// <param name="statement">The statement.</param>
    /// <param name="values">The message behind its names.</param>
    public void NoteBind(PreparedStatement statement, ReadOnlySpan<byte> values)
    {
        _request.Set(statement);
        NoteValues(values);
    }

    /// <summary>The Bind of the unnamed statement, or of one that the pool does not keep.</summary>
    /// <param name="name">The statement's name.</param>
    /// <param name="values">The message behind its names.</param>
    public void NoteBind(ReadOnlySpan<byte> name, ReadOnlySpan<byte> values)
    {
        if (name.IsEmpty) _request.SetUnnamed();
        else _request.SetName(name);
        NoteValues(values);
    }

    /// <summary>Where statements are the server's own business: a message with a statement's name, or its text.</summary>
    public void NoteUntracked(ReadOnlySpan<byte> message)
    {
        if (message[0] is not (Frontend.Parse or Frontend.Bind)) return;
        var reader = new MessageReader(message[MessageHeader.Size..]);
        if (!reader.TryReadCString(out var name)) return;
        if (message[0] == Frontend.Parse) _request.SetParsed(name, reader.Rest);
        else if (reader.TryReadCString(out name)) NoteBind(name, reader.Rest);
    }

    /// <summary>
    /// Its client's first requests have been read, or will not come: tells of the wait for it, if that was too long.
    /// </summary>
    /// <param name="isKnown">It has been sent what the client waited for.</param>
    public void ReportSlowWait(bool isKnown)
    {
        if (_slowWait == 0) return;
        var waited = _slowWait;
        _slowWait = 0;
        _client?.ReportSlowWait(waited, isKnown ? this : null);
    }

    private void NoteValues(ReadOnlySpan<byte> values)
    {
        if (_engine.Settings.LogQueryParameters) _request.SetValues(values);
    }
}
