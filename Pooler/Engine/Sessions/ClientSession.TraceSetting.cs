using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>
/// The session parameter <c>pooler.traceparent</c>: a client says with it what its requests are part of, without a change to
/// their texts. Servers never see it.
/// </summary>
/// <remarks>
/// A statement about it that comes alone is answered here, without a server. Among others it is replaced by a harmless one
/// of the same length (<see cref="TraceCommand.Replace"/>), so that every answer comes from the server, in its order, and
/// fails where it would fail. Only the first statement of a simple query is looked at.
/// </remarks>
internal sealed partial class ClientSession
{
    /// <summary>Text parameters in SHOW's answer: pg_type.dat.</summary>
    private const int TextType = 25;

    /// <summary>The client does not take our own answers: it is not read until it does.</summary>
    private bool _owesAnswers;

    /// <summary>The value that the client gave at its login.</summary>
    public void UseTraceAtStart(TraceValue value) => _trace = new SessionTrace(value);

    private SessionTrace NeedTrace() => _trace ??= new SessionTrace(TraceValue.None);

    /// <summary>
    /// Answers what the client says about the parameter alone, when nothing of it is under way.
    /// </summary>
    /// <param name="data">A message with others behind it.</param>
    /// <param name="total">The message's length.</param>
    /// <param name="status">Of the transaction.</param>
    /// <returns>How many bytes are dealt with; 0: it is not alone, or a server has to answer.</returns>
    private int AnswerTraceSetting(ReadOnlySpan<byte> data, long total, byte status)
    {
        if (IsReplication || total > LongestReset || data.Length < total) return 0;
        var writer = _context.ToClient;
        writer.Clear();
        var used = data[0] == Frontend.Query ? AnswerQuery(data[..(int)total], status, writer) : AnswerBatch(data, status, writer);
        if (used > 0 && !Connection.Send(writer.Written))
        {
            _owesAnswers = true;
            Connection.PauseReading();
        }
        writer.Clear();
        return used;
    }

    private int AnswerQuery(ReadOnlySpan<byte> message, byte status, MessageWriter writer)
    {
        if (TraceCommand.TryRead(message[MessageHeader.Size..^1], isWhole: true, out var command, out _, out var isAlone) != TraceReading.Found
            || !isAlone || !CanExecuteHere(command, status)) return 0;
        if (command.Verb == TraceVerb.Show) DescribeShow(writer, format: 0);
        ExecuteHere(command, status, writer);
        writer.ReadyForQuery(status);
        return message.Length;
    }

    /// <summary>Parse to Sync of one unnamed statement, and nothing besides.</summary>
    private int AnswerBatch(ReadOnlySpan<byte> data, byte status, MessageWriter writer)
    {
        TraceCommand? parsed = null;
        var (isBound, isExecuted, format, pos) = (false, false, (short)0, 0);
        while (data.Length - pos >= MessageHeader.Size)
        {
            var length = MessageHeader.Length(data[pos..]);
            if (length < 4 || length > LongestReset || data.Length - pos <= length) return 0;
            var type = data[pos];
            var body = new MessageReader(data.Slice(pos + MessageHeader.Size, length - 4));
            pos += length + 1;
            if (type == Frontend.Sync)
            {
                if (!isExecuted) return 0;
                writer.ReadyForQuery(status);
                return pos;
            }
            switch (type)
            {
                case Frontend.Parse when parsed is null:
                    if (!body.TryReadCString(out var name) || !name.IsEmpty || !body.TryReadCString(out var sql)
                        || TraceCommand.TryRead(sql, isWhole: true, out parsed, out _, out var isAlone) != TraceReading.Found
                        || !isAlone || !CanExecuteHere(parsed, status) || !CanParseHere(parsed, status)) return 0;
                    writer.ParseComplete();
                    break;
                case Frontend.Bind when parsed is not null && !isBound:
                    if (!TryReadBind(body, out format)) return 0;
                    isBound = true;
                    writer.BindComplete();
                    break;
                case Frontend.Describe when parsed is not null:
                    if (!body.TryReadByte(out var kind) || !body.TryReadCString(out name) || !name.IsEmpty) return 0;
                    if (kind == 'S') writer.ParameterDescription([]);
                    else if (kind != 'P' || !isBound) return 0;
                    if (parsed.Verb == TraceVerb.Show) DescribeShow(writer, kind == 'S' ? (short)0 : format);
                    else writer.NoData();
                    break;
                case Frontend.Execute when isBound && !isExecuted:
                    if (!body.TryReadCString(out name) || !name.IsEmpty || pos == data.Length || !EndsWithSync(data[pos..])) return 0;
                    isExecuted = true;
                    ExecuteHere(parsed!, status, writer);
                    break;
                default:
                    return 0;
            }
        }
        return 0;
    }

    // What follows an Execute is looked at before it has an effect.
    private static bool EndsWithSync(ReadOnlySpan<byte> data) =>
        data.Length >= MessageHeader.Size && data[0] == Frontend.Sync && MessageHeader.Length(data) == 4;

    private static bool TryReadBind(MessageReader body, out short format)
    {
        format = 0;
        if (!body.TryReadCString(out var portal) || !portal.IsEmpty || !body.TryReadCString(out var name) || !name.IsEmpty
            || !body.TryReadInt16(out var formats) || formats < 0 || !body.TryReadBytes(formats * sizeof(short), out _)
            || !body.TryReadInt16(out var parameters) || parameters != 0 || !body.TryReadInt16(out var results)) return false;
        return results switch
        {
            0 => true,
            1 => body.TryReadInt16(out format) && format is 0 or 1,
            _ => false,
        };
    }

    // An error would have to fail the server's transaction too, and RESET ALL is more than ours.
    private static bool CanExecuteHere(TraceCommand command, byte status) =>
        !command.IsForServer && (status == TransactionStatus.Idle || (status == TransactionStatus.InTransaction && !command.IsMalformed));

    // While the client keeps its server, the server's unnamed statement is the client's, and has to become this one.
    private bool CanParseHere(TraceCommand command, byte status) =>
        _server is null || command.Verb == TraceVerb.Show || (status == TransactionStatus.Idle && _mode != PoolMode.Session);

    private void ExecuteHere(TraceCommand command, byte status, MessageWriter writer)
    {
        var isIdle = status == TransactionStatus.Idle;
        if (command.IsMalformed)
        {
            TraceCommand.MalformedError(command.Value).WriteTo(writer);
            return;
        }
        if (command.Verb == TraceVerb.Show)
        {
            writer.DataRow((_trace?.Confirmed ?? TraceValue.None).Text);
        }
        else
        {
            if (isIdle && command.Verb is TraceVerb.SetLocal or TraceVerb.ResetLocal)
                new PgError("WARNING", "25P01", "SET LOCAL can only be used in transaction blocks").WriteNoticeTo(writer);
            NeedTrace().Execute(command, isIdle);
        }
        writer.CommandComplete(command.Tag);
    }

    private static void DescribeShow(MessageWriter writer, short format) =>
        writer.RowDescription([new ColumnDescription(TraceCommand.Parameter, TextType, -1, format)]);

    /// <summary>
    /// Whether a message that is to be forwarded may be answered here instead: not in the middle of something that the
    /// server says unasked.
    /// </summary>
    private bool CanAnswerHere(ServerSession server, ReadOnlySpan<byte> message) =>
        server.Outstanding.Count == 0 && !server.OwesRestOfMessage && TraceCommand.MayBeginMessage(message) && !_inBatch && !_copyingIn;

    /// <summary>
    /// Looks for the parameter at the beginning of a Query that goes to the server.
    /// </summary>
    private TraceReading ReadTraceSetting(ReadOnlySpan<byte> message, long total, out TraceCommand? command, out Range statement, out bool isAlone)
    {
        (command, statement, isAlone) = (null, default, false);
        if (IsReplication || !TraceCommand.MayBegin(message[MessageHeader.Size..])) return TraceReading.None;
        var isWhole = message.Length == total;
        var reading = TraceCommand.TryRead(
            isWhole ? message[MessageHeader.Size..^1] : message[MessageHeader.Size..], isWhole, out var found, out statement, out isAlone);
        // A reset resets nothing where nothing has been set.
        if (reading == TraceReading.Found && !(found.IsForServer && _trace is null)) command = found;
        return reading == TraceReading.Incomplete && message.Length > LongestReset ? TraceReading.None : reading;
    }

    /// <summary>
    /// The Parse of a statement about the parameter is changed into a harmless one's. The original is given back when the
    /// message cannot be judged yet: it will come again.
    /// </summary>
    private Verdict JudgeParseOfTraceSetting(
        ServerSession server, Span<byte> message, long total, MessageWriter writer, ReadOnlySpan<byte> before, out int used)
    {
        used = 0;
        var isWhole = message.Length == total;
        var nameLength = message[MessageHeader.Size..].IndexOf((byte)0);
        if (nameLength < 0) return JudgeStatementMessage(server, message, total, writer, before, out used);
        var textStart = MessageHeader.Size + nameLength + 1;
        var mayBegin = TraceCommand.MayBegin(message[textStart..]);
        if (!isWhole && total <= LongestReset && (mayBegin || message.Length - textStart < 4)) return Verdict.NeedMore;
        var name = message[MessageHeader.Size..(textStart - 1)];
        TraceCommand? command = null;
        var text = message[textStart..];
        var statement = default(Range);
        if (mayBegin && isWhole && total <= LongestReset && text.IndexOf((byte)0) is >= 0 and var end
            && TraceCommand.TryRead(text[..end], isWhole: true, out var found, out statement, out var isAlone) == TraceReading.Found
            && isAlone)
        {
            // It is answered here, when everything before it is, unless there is more in its batch.
            if (found.Verb == TraceVerb.Show && !_inBatch && !_copyingIn && server.Outstanding.Count > 0) return Verdict.AwaitAnswers;
            if (found.Verb != TraceVerb.Show && !(found.IsForServer && _trace is null)) command = found;
        }
        if (command is null)
        {
            if (_trace is { HasStatements: true } trace) trace.OnPrepared(name, null);
            return JudgeStatementMessage(server, message, total, writer, before, out used);
        }
        NeedTrace().OnPrepared(name, command);
        if (command.IsForServer) return JudgeStatementMessage(server, message, total, writer, before, out used);
        Span<byte> original = stackalloc byte[LongestReset];
        text[statement].CopyTo(original);
        command.Replace(text[statement]);
        var verdict = JudgeStatementMessage(server, message, total, writer, before, out used);
        if (verdict is Verdict.NeedMore or Verdict.AwaitAnswers) original[..text[statement].Length].CopyTo(text[statement]);
        return verdict;
    }

    /// <summary>Follows what becomes of statements about the parameter.</summary>
    private void NoteTraceStatements(ReadOnlySpan<byte> message)
    {
        if (_trace is not { HasStatements: true } trace) return;
        var body = new MessageReader(message[MessageHeader.Size..]);
        switch (message[0])
        {
            case Frontend.Bind when body.TryReadCString(out var portal) && body.TryReadCString(out var name):
                trace.OnBound(portal, name);
                break;
            case Frontend.Close when body.TryReadByte(out var kind) && kind == 'S' && body.TryReadCString(out var closed):
                trace.OnStatementClosed(closed);
                break;
            case Frontend.Execute when body.TryReadCString(out var portal) && trace.Executed(portal) is { } command:
                (trace.Batch ??= NewRequest()).Add(command);
                trace.OnSent(command);
                break;
        }
    }

    /// <summary>The error that the client gets in the place of the one that its malformed value was turned into.</summary>
    public static PgError? InPlaceOf(PgError error, TracedRequest? answered)
    {
        // The quotes around the name are the language's, which lc_messages chooses.
        if (error.SqlState != SqlState.InvalidParameterValue || !error.Message.Contains("geqo", StringComparison.Ordinal)) return null;
        foreach (var command in answered?.Commands ?? [])
            if (command.IsMalformed) return TraceCommand.MalformedError(command.Value);
        return null;
    }
}
