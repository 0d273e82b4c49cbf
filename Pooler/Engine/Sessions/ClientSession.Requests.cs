using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>What a client sends, on its way to the server.</summary>
internal sealed partial class ClientSession
{
    /// <summary>Length of the message <c>RESET ALL</c>.</summary>
    private const int ShortestReset = 15;

    /// <summary>Npgsql's reset of a connection with prepared statements is about half as long.</summary>
    private const int LongestReset = 300;

    /// <summary>
    /// Messages that carry a name at most: they are gathered whole. PostgreSQL's limit (PQ_SMALL_MESSAGE_LIMIT) is 10,000, but
    /// what it gets are our names, not the client's.
    /// </summary>
    private const int LongestShortMessage = 64 * 1024;

    /// <summary>
    /// A client that sends on and on without a Sync, behind an error above all, must not fill the memory with the books
    /// on it. A hundred times what any driver pipelines.
    /// </summary>
    private const int MostOutstanding = 1_000_000;

    /// <summary>Bytes of the message in transit that have not arrived yet; its beginning is already dealt with.</summary>
    private long _passing;

    /// <summary>The message in transit is dropped instead of forwarded.</summary>
    private bool _dropping;

    /// <summary>Extended-protocol messages were forwarded and no Sync has followed yet.</summary>
    private bool _inBatch;

    /// <summary>The server takes COPY data from this client and has not been told its end.</summary>
    private bool _copyingIn;

    /// <summary>Of the COPY under way, data has been sent on.</summary>
    private bool _copyDataSent;

    /// <summary>Reading is paused until more of what was sent has been answered.</summary>
    private bool _awaitsAnswers;

    /// <summary>SQL that brings the server's parameters in line with this client's, to go before its first message.</summary>
    private string? _setup;

    /// <summary>What a query takes away from the session.</summary>
    [Flags]
    private enum Reset
    {
        None = 0,
        Parameters = 1,
        Statements = 2,
    }

    private enum Verdict
    {
        /// <summary>Send it on as it is.</summary>
        Forward,

        /// <summary>Leave it out.</summary>
        Drop,

        /// <summary>Dealt with: what goes out in its place is written already.</summary>
        Replaced,

        /// <summary>Cannot be judged before more of it has arrived.</summary>
        NeedMore,

        /// <summary>Cannot be judged before it is known how what was sent earlier ended.</summary>
        AwaitAnswers,

        /// <summary>The session has ended.</summary>
        Stop,
    }

    /// <summary>The server will ignore Sync until the end of the COPY data; see <see cref="OutstandingQueue.DropSyncsIgnoredByCopy"/>.</summary>
    public void OnCopyIn()
    {
        if (_server!.Outstanding.HasRequestsBehindTheFirst)
        {
            // They would break the COPY off, and nobody could say which of their Syncs the server still answers: an answer
            // too many would reach the server's next client.
            FailWithServer(PgError.Fatal(SqlState.FeatureNotSupported, "COPY FROM STDIN cannot be followed by other requests in a pipeline"));
            return;
        }
        _copyingIn = true;
        if (_server!.Outstanding.DropSyncsIgnoredByCopy() is { } traced) _trace!.Batch = traced;
        // The batch is open again: a Sync has to follow the data.
        if (_server.Outstanding.Count == 0) _inBatch = true;
        // The answers it waits for may be those that will not come now.
        StopAwaitingAnswers();
    }

    /// <summary>The COPY failed; what the client still sends of it is ignored.</summary>
    public void OnCopyEnded() => _copyingIn = false;

    /// <summary>The parameters of the server it has just been linked to differ.</summary>
    public void PrepareSetup(string? sql) => _setup = sql;

    /// <summary>
    /// Without a server: handles what no server is needed for. Returns how many bytes that was; the next message, if its
    /// header is there, needs a server.
    /// </summary>
    private int SkipWhatNeedsNoServer(ReadOnlySpan<byte> data)
    {
        var pos = 0;
        while (true)
        {
            if (_passing > 0)
            {
                var part = (int)Math.Min(_passing, data.Length - pos);
                pos += part;
                _passing -= part;
            }
            if (data.Length - pos < MessageHeader.Size) return pos;
            var type = data[pos];
            if (!CheckHeader(type, data[pos..], out var total)) return pos;
            switch (type)
            {
                case Frontend.Terminate:
                    Leave();
                    return pos;
                // The rest of a COPY that has already failed: PostgreSQL ignores it as well.
                case Frontend.CopyData or Frontend.CopyDone or Frontend.CopyFail:
                    _passing = total;
                    _dropping = true;
                    continue;
                case Frontend.Query or Frontend.Parse when TraceCommand.MayBeginMessage(data[pos..]):
                    var answered = AnswerTraceSetting(data[pos..], total, TransactionStatus.Idle);
                    pos += answered;
                    if (answered == 0 || _owesAnswers) return pos;
                    continue;
                default:
                    return pos;
            }
        }
    }

    private int ForwardRequests(Span<byte> data)
    {
        var server = _server!;
        var writer = _context.ToServer;
        writer.Clear();
        var pos = 0;
        var run = 0;
        if (_passing > 0)
        {
            pos = (int)Math.Min(_passing, data.Length);
            _passing -= pos;
            if (_dropping) run = pos;
            else server.NoteRest(data[..pos]);
        }

        while (data.Length - pos >= MessageHeader.Size)
        {
            var message = data[pos..];
            if (!CheckHeader(message[0], message, out var total))
            {
                writer.Clear();
                return pos;
            }
            if (pos == run && writer.Length == 0 && CanAnswerHere(server, message)
                && AnswerTraceSetting(message, total, server.TransactionStatus) is > 0 and var answered)
            {
                pos = run = pos + answered;
                if (_owesAnswers) break;
                continue;
            }
            var available = (int)Math.Min(total, message.Length);
            var verdict = Judge(server, message[..available], total, writer, data[run..pos], out var used);
            if (verdict == Verdict.NeedMore) break;
            if (verdict == Verdict.AwaitAnswers)
            {
                _awaitsAnswers = true;
                Connection.PauseReading();
                break;
            }
            if (verdict == Verdict.Stop) return pos;
            _dropping = verdict == Verdict.Drop;
            if (verdict == Verdict.Forward)
            {
                pos += available;
            }
            else
            {
                if (verdict == Verdict.Drop)
                {
                    if (pos > run) writer.Bytes(data[run..pos]);
                    used = available;
                }
                pos += used;
                run = pos;
                // Behind the part that was replaced, the rest of the message goes on as it is.
                if (verdict == Verdict.Replaced) pos += available - used;
            }
            _passing = total - available;
            if (server.Outstanding.Count > MostOutstanding)
            {
                writer.Clear();
                FailWithServer(PgError.Fatal(SqlState.LimitExceeded, "too many requests that are not answered yet",
                    hint: $"The pooler keeps account of up to {MostOutstanding} messages per server connection: send Sync more often."));
                return pos;
            }
        }

        Statistics.BytesReceived += pos;
        if (_requestStart != 0) server.ReportSlowWait(isKnown: true);
        if (writer.Length > 0)
        {
            if (pos > run) writer.Bytes(data[run..pos]);
            SendToServer(server, writer.Written);
            writer.Clear();
        }
        else if (pos > run)
        {
            SendToServer(server, data[run..pos]);
        }
        // The rest of what the server says unasked is for this client as well; it is released behind that.
        if (server.Outstanding.Count == 0 && !server.OwesRestOfMessage) ReleaseServerIfDone();
        return pos;
    }

    private void SendToServer(ServerSession server, ReadOnlySpan<byte> bytes)
    {
        if (!server.Connection!.Send(bytes)) Connection.PauseReading();
    }

    /// <summary>Decides about one message and keeps the books on it.</summary>
    /// <param name="server">Where it would go.</param>
    /// <param name="message">As much of it as has arrived, at least the header.</param>
    /// <param name="total">Its whole length.</param>
    /// <param name="writer">Takes what goes out in its place; empty while everything is forwarded as it is.</param>
    /// <param name="before">Bytes in front of it that are still to be forwarded; go to the writer before anything else does.</param>
    /// <param name="used">When replaced: how many of its bytes that covers.</param>
    private Verdict Judge(
        ServerSession server, Span<byte> message, long total, MessageWriter writer, ReadOnlySpan<byte> before, out int used)
    {
        used = 0;
        switch (message[0])
        {
            case Frontend.Query:
                if (message.Length < total && total <= LongestReset) return Verdict.NeedMore;
                var reset = KindOfReset(message, total);
                var own = server.Outstanding.Count == 1 && server.Outstanding.Peek().Kind == RequestKind.OwnQuery;
                if (reset != Reset.None && (_inBatch || _copyingIn || server.TransactionStatus != TransactionStatus.Idle))
                    reset = Reset.None;
                if (reset != Reset.None && server.Outstanding.Count > 0 && !own) return Verdict.AwaitAnswers;
                var reading = ReadTraceSetting(message, total, out var setting, out var statement, out var isAlone);
                if (reading == TraceReading.Incomplete) return Verdict.NeedMore;
                if (setting is { Verb: TraceVerb.Show })
                {
                    // It is answered here, when everything before it is.
                    if (isAlone && server.Outstanding.Count > 0 && !_inBatch && !_copyingIn) return Verdict.AwaitAnswers;
                    setting = null;
                }
                if (setting is null && _trace is not null && reset.HasFlag(Reset.Parameters)) setting = TraceCommand.ResetAll;
                Begin(server, writer);
                _inBatch = false;
                server.NoteQuery(message);
                server.Outstanding.Enqueue(new Request(ForgetStatementsAfter(reset, server), Traced: TraceQuery(message, total, setting)));
                setting?.Replace(message[MessageHeader.Size..][statement]);
                if (!reset.HasFlag(Reset.Parameters) || server.ParametersAtLogin.ChangesTo(_startupParameters) is not { } restore) break;
                // PostgreSQL goes back to what the client asked for at its start, but the server knows its own start only.
                writer.Bytes(before).Bytes(message).Query(restore);
                server.Outstanding.Enqueue(new Request(RequestKind.OwnQuery));
                used = message.Length;
                return Verdict.Replaced;
            case Frontend.FunctionCall:
                Begin(server, writer);
                server.Outstanding.Enqueue(new Request(RequestKind.Query, Traced: TakeBatch()));
                break;
            case Frontend.Sync:
                if (_copyingIn && _copyDataSent)
                {
                    // Ignored or answered, depending on whether the COPY has failed by then: see OnCopyIn.
                    FailWithServer(PgError.Fatal(SqlState.ProtocolViolation, "Sync in the middle of COPY data"));
                    return Verdict.Stop;
                }
                Begin(server, writer);
                if (_copyingIn) break;
                _inBatch = false;
                server.Outstanding.Enqueue(new Request(RequestKind.Sync, Traced: TakeBatch()));
                break;
            case Frontend.Parse or Frontend.Bind or Frontend.Describe or Frontend.Close:
                var judged = message[0] == Frontend.Parse && !IsReplication
                    ? JudgeParseOfTraceSetting(server, message, total, writer, before, out used)
                    : JudgeStatementMessage(server, message, total, writer, before, out used);
                if (judged is Verdict.NeedMore or Verdict.AwaitAnswers or Verdict.Stop) return judged;
                if (message[0] == Frontend.Parse) TraceParse(message, total);
                else NoteTraceStatements(message);
                _inBatch = true;
                return judged;
            case Frontend.Execute or Frontend.Flush:
                Begin(server, writer);
                NoteTraceStatements(message);
                _inBatch = true;
                break;
            case Frontend.CopyData:
                if (!_copyingIn && server.Outstanding.Count == 0 && !_inBatch) return Verdict.Drop;
                _copyDataSent = true;
                break;
            case Frontend.CopyDone or Frontend.CopyFail:
                if (!_copyingIn && server.Outstanding.Count == 0 && !_inBatch) return Verdict.Drop;
                _copyingIn = false;
                break;
            case Frontend.Terminate:
                if (before.Length > 0) writer.Bytes(before);
                if (writer.Length > 0) server.Connection!.Send(writer.Written);
                writer.Clear();
                Leave();
                return Verdict.Stop;
        }
        // Nothing has been written in place of a message yet in this turn: the run before it stays one piece.
        return Verdict.Forward;
    }

    /// <summary>Marks the beginning of a request and puts the parameters in order before the first one.</summary>
    private void Begin(ServerSession server, MessageWriter writer)
    {
        var now = _context.Loop.Now;
        if (_requestStart == 0) _requestStart = now;
        if (_transactionStart == 0) _transactionStart = now;
        if (_setup is null) return;
        // The first message of a link: nothing can have been forwarded before it.
        writer.Query(_setup);
        server.Outstanding.Enqueue(new Request(RequestKind.OwnQuery));
        _setup = null;
    }

    /// <summary>Only messages that clients may send at this stage, with lengths that are possible.</summary>
    private bool CheckHeader(byte type, ReadOnlySpan<byte> message, out long total)
    {
        var length = MessageHeader.Length(message);
        total = (long)length + 1;
        var known = type is Frontend.Query or Frontend.Parse or Frontend.Bind or Frontend.Execute or Frontend.Sync
            or Frontend.Describe or Frontend.Close or Frontend.Flush or Frontend.CopyData or Frontend.CopyDone
            or Frontend.CopyFail or Frontend.FunctionCall or Frontend.Terminate;
        if (!known)
        {
            Fail(PgError.Fatal(SqlState.ProtocolViolation, $"invalid frontend message type {type}"));
            return false;
        }
        if (length < 4 || (length > LongestShortMessage && type is not (Frontend.Query or Frontend.Parse or Frontend.Bind
            or Frontend.FunctionCall or Frontend.CopyData or Frontend.CopyFail)))
        {
            Fail(PgError.Fatal(SqlState.ProtocolViolation, "invalid message length"));
            return false;
        }
        var settings = _context.Engine.Settings;
        if (total > settings.MaxPacketSize)
        {
            Fail(PgError.Fatal(SqlState.ProtocolViolation, $"message of {total} bytes is longer than max_packet_size"));
            return false;
        }
        if (type == Frontend.Query && settings.DisablePqexec)
        {
            Fail(PgError.Fatal(SqlState.ProtocolViolation, "PQexec disallowed", hint: "The setting disable_pqexec forbids simple queries."));
            return false;
        }
        return true;
    }

    private void Leave()
    {
        End("client close request", byPeer: true);
        Connection.Close();
    }

    /// <summary>
    /// Recognises DISCARD ALL, DEALLOCATE ALL and RESET ALL before the server answers: drivers send them in front of the
    /// next command in the same batch (Npgsql resets a connection this way), which must not rely on what they take away.
    /// They count only where they cannot fail: outside a transaction, with nothing before them.
    /// </summary>
    private static Reset KindOfReset(ReadOnlySpan<byte> message, long total)
    {
        if (total is < ShortestReset or > LongestReset) return Reset.None;
        var sql = message[MessageHeader.Size..^1].Trim(" ;\t\r\n"u8);
        if (Ascii.EqualsIgnoreCase(sql, "DISCARD ALL"u8)) return Reset.Parameters | Reset.Statements;
        if (Ascii.EqualsIgnoreCase(sql, "DEALLOCATE ALL"u8)) return Reset.Statements;
        return HasPart(sql, "RESET ALL"u8) ? Reset.Parameters : Reset.None;
    }

    private RequestKind ForgetStatementsAfter(Reset reset, ServerSession server)
    {
        if (!_tracksStatements || !reset.HasFlag(Reset.Statements)) return RequestKind.Query;
        server.Statements.Clear();
        ForgetAllStatements();
        return RequestKind.ForgetStatements;
    }

    /// <summary>Whether one of the statements in a text without quotes is the given one.</summary>
    private static bool HasPart(ReadOnlySpan<byte> sql, ReadOnlySpan<byte> statement)
    {
        if (sql.ContainsAny((byte)'\'', (byte)'"', (byte)'$')) return false;
        foreach (var part in sql.Split((byte)';'))
            if (Ascii.EqualsIgnoreCase(sql[part].Trim(" \t\r\n"u8), statement)) return true;
        return false;
    }

    private void StopAwaitingAnswers()
    {
        if (!_awaitsAnswers) return;
        _awaitsAnswers = false;
        Connection.ResumeReading();
    }
}
