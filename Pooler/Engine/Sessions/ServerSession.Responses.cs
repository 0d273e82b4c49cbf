using System.Text;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>What a server answers, on its way to the client.</summary>
internal sealed partial class ServerSession
{
    /// <summary>CommandComplete tags that matter are shorter than this; longer ones need no look.</summary>
    private const int LongestTagOfInterest = 32;

    /// <summary>A reported parameter has to be gathered whole; the longest of honest servers is a client's own search_path.</summary>
    private const int LongestParameter = 1024 * 1024;

    /// <summary>Bytes of the message in transit that have not arrived yet.</summary>
    private long _passing;

    private bool _dropping;

    /// <summary>
    /// The client has been sent the beginning of a message only: whatever it is told now, it would take for the rest, and
    /// perhaps for part of a row.
    /// </summary>
    public bool OwesRestOfMessage { get; private set; }

    /// <summary>The client has been forwarded a FATAL error: the server's own last words.</summary>
    private bool _toldFatal;

    /// <summary>Tracked parameters that this server reports by itself.</summary>
    private SessionParameters _reported = SessionParameters.Empty;

    private int ForwardResponses(Span<byte> data)
    {
        var client = _client!;
        var writer = Context.ToClient;
        writer.Clear();
        var pos = 0;
        var run = 0;
        var longest = _engine.Settings.MaxPacketSize;
        var unasked = false;
        if (_passing > 0)
        {
            pos = (int)Math.Min(_passing, data.Length);
            _passing -= pos;
            if (_dropping) run = pos;
        }

        while (data.Length - pos >= MessageHeader.Size)
        {
            var type = data[pos];
            var length = MessageHeader.Length(data[pos..]);
            var total = (long)length + 1;
            if ((total > longest ? "a message longer than max_packet_size" : ObjectionTo(type, length)) is { } objection)
            {
                FailProtocol(objection);
                return data.Length;
            }
            var available = (int)Math.Min(total, data.Length - pos);
            var whole = available == total;
            var drop = false;
            // Rows and COPY data are most of all bytes and need no look; our own queries may have rows as well.
            if (type is not (Backend.DataRow or Backend.CopyData) || Swallowing)
            {
                // The answers are complete, and an error behind them is nobody's: it announces the server's end.
                if (unasked = type == Backend.ErrorResponse && client.IsDoneWithServer) break;
                if (!whole && NeedsWhole(type, total)) break;
                drop = Inspect(client, type, data.Slice(pos, available), whole);
                if (_finished || _client != client) return data.Length;
            }
            if (drop)
            {
                if (pos > run) writer.Bytes(data[run..pos]);
                run = pos + available;
                _instead?.WriteTo(writer);
                _instead = null;
            }
            pos += available;
            _passing = total - available;
            _dropping = drop;
        }

        if (pos == 0 && data.Length == 0) return 0;
        Send(client, writer, data[run..pos]);
        writer.Clear();
        OwesRestOfMessage = _passing > 0 && !_dropping;
        if (unasked)
        {
            _engine.Log.UnexpectedPacket(LogName, (char)Backend.ErrorResponse);
            client.LeaveServer("server conn crashed?");
            return data.Length;
        }
        // Only when all is consumed: after the release the connection may already belong to another loop.
        if (pos == data.Length && _passing == 0) client.ReleaseServerIfDone();
        return pos;
    }

    /// <summary>Whether a query of ours is being answered, of which the client must not see anything.</summary>
    private bool Swallowing => Outstanding.Count > 0 && Outstanding.Peek().Kind == RequestKind.OwnQuery;

    private void Send(ClientSession client, Protocol.MessageWriter writer, ReadOnlySpan<byte> rest)
    {
        bool taken;
        int sent;
        if (writer.Length > 0)
        {
            writer.Bytes(rest);
            sent = writer.Length;
            taken = client.Connection.Send(writer.Written);
        }
        else if (rest.Length > 0)
        {
            sent = rest.Length;
            taken = client.Connection.Send(rest);
        }
        else
        {
            return;
        }
        Pool.StatisticsOf(Loop).BytesSent += sent;
        if (!taken) Connection!.PauseReading();
    }

    private bool NeedsWhole(byte type, long total) => type switch
    {
        Backend.ReadyForQuery or Backend.ParameterStatus => true,
        Backend.CommandComplete => total <= MessageHeader.Size + LongestTagOfInterest,
        Backend.ErrorResponse => total <= LongestLoginMessage,
        _ => false,
    };

    /// <summary>Keeps the books on one answer. Returns whether it is kept from the client.</summary>
    private bool Inspect(ClientSession client, byte type, Span<byte> message, bool whole)
    {
        switch (type)
        {
            case Backend.ReadyForQuery:
                return OnReadyForQuery(client, message);
            case Backend.ParameterStatus:
                return OnParameterStatus(client, message);
            case Backend.ErrorResponse:
                return OnError(client, message, whole);
            case Backend.ParseComplete when Outstanding.Count > 0 && Outstanding.Peek().Kind is RequestKind.Parse or RequestKind.OwnParse:
                return Outstanding.Dequeue().Kind == RequestKind.OwnParse;
            case Backend.CloseComplete when Outstanding.Count > 0:
                return OnCloseComplete(client, message);
            case Backend.CommandComplete when whole && message.Length <= MessageHeader.Size + LongestTagOfInterest:
                OnCommandComplete(client, message[MessageHeader.Size..]);
                return Swallowing;
            case Backend.CopyInResponse or Backend.CopyBothResponse:
                _streams = type == Backend.CopyBothResponse;
                client.OnCopyIn();
                return false;
            case Backend.NoticeResponse or Backend.NotificationResponse:
                return false;
            default:
                return Swallowing;
        }
    }

    private bool OnReadyForQuery(ClientSession client, ReadOnlySpan<byte> message)
    {
        if (message[MessageHeader.Size] is not (Protocol.TransactionStatus.Idle or Protocol.TransactionStatus.InTransaction or Protocol.TransactionStatus.Failed))
        {
            FailProtocol("an unknown transaction status");
            return true;
        }
        TransactionStatus = message[MessageHeader.Size];
        _streams = false;
        var skipped = 0;
        while (skipped < Outstanding.Count && !Outstanding[skipped].EndsWithReady) skipped++;
        // Backwards, as one undoes things: a name may have been closed and given again.
        for (var i = skipped - 1; i >= 0; i--) TakeBack(client, Outstanding[i]);
        for (; skipped > 0; skipped--) Outstanding.Dequeue();
        var unexpected = Outstanding.Count == 0;
        var answered = unexpected ? default : Outstanding.Dequeue();
        if (unexpected || answered.Kind != RequestKind.OwnQuery)
        {
            client.OnReady(TransactionStatus, Outstanding.Count > 0, unexpected, answered.Traced);
            if (client.IsTraced || AnsweredError is not null) ForgetAnswers();
            return false;
        }

        // The parameters are set. For those that the server reports, it has told how it writes them; the others are
        // now what the client wanted.
        var now = Parameters;
        foreach (var (name, _) in Parameters.Values)
            if (_reported[name] is null && client.Parameters[name] is null) now = now.With(name, null);
        foreach (var (name, value) in client.Parameters.Values)
            if (_reported[name] is null) now = now.With(name, value);
        Parameters = now;
        client.Parameters = now;
        client.OnOwnQueryDone();
        return true;
    }

    /// <summary>Sent, but passed over because of an error before it, or it was the error.</summary>
    private void TakeBack(ClientSession client, in Request request)
    {
        switch (request.Kind)
        {
            case RequestKind.Parse or RequestKind.OwnParse when request.Statement is { } statement:
                Statements.Remove(statement);
                break;
            case RequestKind.OwnClose:
                Statements.Add(request.Statement!);
                break;
        }
        client.OnRequestSkipped(request);
    }

    private bool OnParameterStatus(ClientSession client, ReadOnlySpan<byte> message)
    {
        var reader = new MessageReader(message[MessageHeader.Size..]);
        if (!reader.TryReadCString(out var nameBytes) || !reader.TryReadCString(out var valueBytes))
        {
            FailProtocol("a parameter without an end");
            return true;
        }
        var name = Encoding.UTF8.GetString(nameBytes);
        var value = Encoding.UTF8.GetString(valueBytes);
        NoteRole(name, value);
        if (!_engine.IsTracked(name)) return false;
        Parameters = Parameters.With(name, value);
        if (Swallowing && client.Parameters[name] == value) return true;
        client.Parameters = client.Parameters.With(name, value);
        return false;
    }

    private bool OnError(ClientSession client, ReadOnlySpan<byte> message, bool whole)
    {
        client.OnCopyEnded();
        if (!whole) return false;
        var error = ErrorFields.Read(message[MessageHeader.Size..]);
        if (error.Severity is "FATAL" or "PANIC") _toldFatal = true;
        NoteReadOnly(error.SqlState);
        if (!Swallowing) AnsweredError ??= error.SqlState;
        if (!Swallowing && client.IsTraced) _instead = ClientSession.InPlaceOf(error, Outstanding.BeingAnswered(client.OpenBatch));
        if (_instead is not null) return true;
        if (!Swallowing || _toldFatal) return false;
        // A parameter that this server does not accept. The client's requests are already behind it on the wire, so both
        // connections end here.
        client.FailWithServer(error with
        {
            Severity = "FATAL",
            Hint = error.Hint ?? "The pooler was restoring the client's parameters on another server connection.",
        });
        return true;
    }

    private bool OnCloseComplete(ClientSession client, Span<byte> message)
    {
        var kind = Outstanding.Peek().Kind;
        if (kind is not (RequestKind.Close or RequestKind.OwnClose or RequestKind.ParseAlreadyDone)) return false;
        var request = Outstanding.Dequeue();
        if (kind == RequestKind.ParseAlreadyDone) message[0] = Backend.ParseComplete;
        else if (kind == RequestKind.Close) client.OnStatementClosed(request);
        return kind == RequestKind.OwnClose;
    }

    /// <summary>Recognises what takes prepared statements away, unless it was recognised when it was sent.</summary>
    private void OnCommandComplete(ClientSession client, ReadOnlySpan<byte> tag)
    {
        NoteReset(tag);
        if (client.IsTraced && !Swallowing) NoteCommand(client, tag);
        if (!TakesStatementsAway(tag)) return;
        if (Outstanding.Count > 0 && Outstanding.Peek().Kind == RequestKind.ForgetStatements) return;
        Statements.Clear();
        client.ForgetAllStatements();
    }

    private static bool TakesStatementsAway(ReadOnlySpan<byte> tag) =>
        tag.SequenceEqual("DISCARD ALL\0"u8) || tag.SequenceEqual("DEALLOCATE ALL\0"u8);

    /// <summary>Parameters may have gone back to the server's own values; of those that it does not report, nobody tells.</summary>
    private void NoteReset(ReadOnlySpan<byte> tag)
    {
        if (!tag.SequenceEqual("DISCARD ALL\0"u8) && !tag.SequenceEqual("RESET\0"u8)) return;
        foreach (var (name, _) in Parameters.Values)
            if (_reported[name] is null) Parameters = Parameters.With(name, SessionParameters.Unknown);
    }

    /// <summary>The types of the messages that a server may send once it has let us in.</summary>
    private static ReadOnlySpan<byte> Answers => "123ACDEGHINSTVWZcdnst"u8;

    /// <summary>What is wrong with a message, as far as its header tells; null when it will do.</summary>
    private static string? ObjectionTo(byte type, int length) => type switch
    {
        _ when length < 4 => InvalidLength,
        Backend.DataRow or Backend.CopyData => null,
        Backend.ReadyForQuery when length != 5 => InvalidLength,
        Backend.ParameterStatus when length > LongestParameter => InvalidLength,
        _ => Answers.Contains(type) ? null : $"a message of the unexpected type {type}",
    };

    private const string InvalidLength = "a message of an invalid length";

    private void FailProtocol(string what)
    {
        var client = _client;
        client?.TraceEnd(PgError.Fatal(SqlState.ProtocolViolation, what), "bad packet from server");
        _client = null;
        Close("bad packet from server");
        client?.OnServerLost(PgError.Fatal(SqlState.ProtocolViolation, $"server sent {what}"));
    }
}
