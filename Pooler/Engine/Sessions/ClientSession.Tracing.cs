using System.Diagnostics;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>
/// The spans of this client's waits, queries and transactions: of those that it has marked as part of a trace, and of
/// unmarked ones that took long. Traffic that is neither pays a look at the last bytes of its texts, and that only while
/// somebody listens.
/// </summary>
/// <remarks>
/// What has to be judged before all of it is here, because it is longer than the receive buffer, is not held back for its
/// comment: it goes on untraced.
/// </remarks>
internal sealed partial class ClientSession
{
    /// <summary>Null until the client marks something.</summary>
    private SessionTrace? _trace;

    private string? _traceParent;

    /// <summary>
    /// The span of what it has its server do, or waited for, as a W3C traceparent: the client's, or one made for it. Null
    /// when there is none. Any thread, for display.
    /// </summary>
    public string? TraceParent => _traceParent;

    /// <summary>Whether what the server answers is worth a note.</summary>
    public bool IsTraced => _trace is not null;

    /// <summary>The extended batch that has begun and has no Sync yet, when it has something to do with tracing.</summary>
    public TracedRequest? OpenBatch => _trace?.Batch;

    internal override ActivityContext TraceContext => _trace?.Waiting ?? default;

    private Tracing Tracing => _context.Engine.Tracing;

    /// <summary>What tracing wants to know of a simple query.</summary>
    /// <param name="message">The query.</param>
    /// <param name="total">Its whole length.</param>
    /// <param name="command">What it says about pooler.traceparent, before anything else.</param>
    private TracedRequest? TraceQuery(ReadOnlySpan<byte> message, long total, TraceCommand? command)
    {
        // One in the middle of a batch ends it.
        var traced = _trace?.Batch;
        if (_trace is not null) _trace.Batch = null;
        if (Tracing.IsListening && TryReadMark(message, total, out var context) && IsNoted(context))
            (traced ??= NewRequest()).MarkByComment(context);
        if (command is not null)
        {
            (traced ??= NewRequest()).Add(command);
            NeedTrace().OnSent(command);
        }
        return MarkBySession(traced);
    }

    /// <summary>One of the texts of a batch may say what the batch is part of.</summary>
    private void TraceParse(ReadOnlySpan<byte> message, long total)
    {
        if (!Tracing.IsListening || !TryReadMark(message, total, out var context) || !IsNoted(context)) return;
        (NeedTrace().Batch ??= NewRequest()).MarkByComment(context);
    }

    /// <summary>The batch ends with a Sync.</summary>
    private TracedRequest? TakeBatch()
    {
        if (_trace is not { } trace) return null;
        var batch = trace.Batch;
        trace.Batch = null;
        return MarkBySession(batch);
    }

    // One that is not sampled matters only where the session says otherwise.
    private bool IsNoted(in ActivityContext context) => context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded) || _trace is not null;

    private TracedRequest? MarkBySession(TracedRequest? traced)
    {
        if (_trace is { } trace && Tracing.IsListening && trace.Sent is { } value
            && (traced is not null || value.Context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded))) (traced ??= NewRequest()).MarkBySession(value);
        if (traced is not null) NeedTrace();
        if (traced is { Context: var context } && context != default) _traceParent = $"00-{context.TraceId}-{context.SpanId}-01";
        return traced;
    }

    private TracedRequest NewRequest() =>
        new(_server!.Outstanding.Count == 0 && _requestStart != 0 ? _requestStart : _context.Loop.Now);

    private static bool TryReadMark(ReadOnlySpan<byte> message, long total, out ActivityContext context)
    {
        context = default;
        if (message.Length < total || message.Length <= MessageHeader.Size) return false;
        var body = message[MessageHeader.Size..];
        return message[0] == Frontend.Query ? TraceComment.TryRead(body[..^1], out context) : TraceComment.TryReadParse(body, out context);
    }

    /// <summary>
    /// Before it waits: what for, as far as the messages tell that have arrived, so that the wait can be told as part of
    /// the same trace even if nothing comes of it.
    /// </summary>
    private void TraceBeforeWait(ReadOnlySpan<byte> data)
    {
        if (!Tracing.IsListening) return;
        var (context, isMarked) = (default(ActivityContext), false);
        for (var more = true; more && data.Length >= MessageHeader.Size;)
        {
            var total = MessageHeader.Length(data) + 1L;
            if (total < MessageHeader.Size || total > data.Length) break;
            var message = data[..(int)total];
            isMarked = message[0] is Frontend.Query or Frontend.Parse && (TryReadMark(message, total, out context) || TryReadSetting(message, out context));
            if (isMarked) break;
            // Not the end with a Query: Npgsql sends BEGIN as one ahead of a transaction's first statement, which has the mark.
            more = message[0] != Frontend.Sync;
            data = data[(int)total..];
        }
        if (!isMarked && _trace is not null) context = _trace.Sent.Context;
        if (!context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded)) context = default;
        if (context != default) NeedTrace();
        if (_trace is not null) _trace.Waiting = context;
    }

    private static bool TryReadSetting(ReadOnlySpan<byte> message, out ActivityContext context)
    {
        context = default;
        if (!TraceCommand.MayBeginMessage(message)) return false;
        var text = message[(message[0] == Frontend.Query ? MessageHeader.Size : MessageHeader.Size + 1)..];
        var end = text.IndexOf((byte)0);
        if (end < 0 || TraceCommand.TryRead(text[..end], isWhole: true, out var command, out _, out _) != TraceReading.Found) return false;
        context = command.Context;
        return context != default;
    }

    /// <summary>The wait is over, for good or bad.</summary>
    /// <param name="server">What it was given, if anything.</param>
    /// <param name="error">What it was told otherwise.</param>
    /// <param name="reason">Why it waits no more.</param>
    private void TraceWait(ServerSession? server, PgError? error, string? reason)
    {
        if (!Tracing.IsListening || IsReplication) return;
        var now = _context.Loop.Now;
        var parent = _trace?.Waiting ?? default;
        if (parent == default && (now - WaitingSince < _context.Engine.SlowRequests.SlowWait || !_context.RootSpans.TryTake(now))) return;
        // Which of the servers that were opened came first was chance: it may have been opened for somebody else.
        var connect = server?.TakeConnectSpan() ?? default;
        var span = Tracing.Begin("pool wait", ActivityKind.Internal, parent, WaitingSince, Pool, connect.TraceId == parent.TraceId ? default : connect);
        if (span is not null) _traceParent = span.Id;
        Tracing.NoteClient(span, Identity.Id);
        if (server is not null) Tracing.NoteServer(span, server.Id, server.Target, server.BackendPid);
        else Tracing.NoteError(span, error?.SqlState, reason);
        Tracing.End(span, now);
    }

    /// <summary>Whether a request that has been answered is to have spans, or is to be noted otherwise.</summary>
    private bool IsWorthTracing(long now) => _trace is not null
        || (Tracing.IsListening && _requestStart != 0 && !IsReplication && now - _requestStart >= _context.Engine.SlowRequests.SlowQuery);

    /// <summary>A request has been answered.</summary>
    private void TraceReady(TracedRequest? traced, byte transactionStatus, long now)
    {
        var server = _server!;
        if (Tracing.IsListening)
        {
            TraceRequest(
                traced, transactionStatus != TransactionStatus.Idle, isLast: server.Outstanding.Count == 0 && !_inBatch, now,
                server.AnsweredError, reason: null);
        }
        var isIdle = transactionStatus == TransactionStatus.Idle;
        _trace?.OnAnswered(
            traced, isIdle, hasFailed: server.AnsweredError is not null, server.IsRolledBack, isQuiet: server.Outstanding.Count == 0 && !_inBatch);
        if (isIdle) EndTransactionSpan(now);
    }

    /// <summary>What is under way will not be answered: the client, or the server, is lost.</summary>
    public void TraceEnd(PgError? error, string reason)
    {
        if (_server is not { } server || !Tracing.IsListening) return;
        var now = _context.Loop.Now;
        if (IsWorthTracing(now))
        {
            var traced = server.Outstanding.BeingAnswered(OpenBatch);
            TraceRequest(
                traced, server.TransactionStatus != TransactionStatus.Idle, isLast: !server.Outstanding.HasRequestsBehindTheFirst, now,
                error?.SqlState, reason);
        }
        if (_trace?.Transaction is { } transaction) Tracing.NoteError(transaction, error?.SqlState, reason);
        EndTransactionSpan(now);
    }

    /// <param name="traced">What the client has said of it; null when nothing.</param>
    /// <param name="isTransactionOpen">Its transaction goes on.</param>
    /// <param name="isLast">What the server was asked last is this request.</param>
    /// <param name="now">When it ended.</param>
    /// <param name="sqlState">The error, if any.</param>
    /// <param name="reason">Why it was not answered.</param>
    private void TraceRequest(
        TracedRequest? traced, bool isTransactionOpen, bool isLast, long now, string? sqlState, string? reason)
    {
        var context = traced?.Context ?? default;
        var isSlow = now - _requestStart >= _context.Engine.SlowRequests.SlowQuery;
        if (_requestStart == 0 || IsReplication || (context == default && _trace?.Transaction is null && !isSlow)) return;
        var server = _server!;
        if (server.HasDoneNothingElse && reason is null) return;
        // One that was begun by an earlier request, or goes on behind this one.
        if (context != default && (isTransactionOpen || _transactionStart < _requestStart)) BeginTransactionSpan(context, server);
        var (parent, link) = (context, default(ActivityContext));
        if (_trace?.Transaction is { } transaction)
        {
            if (context == default || context.TraceId == transaction.TraceId)
            {
                parent = transaction.Context;
                if (context != default && context.SpanId != _trace.TransactionParent.SpanId) link = context;
            }
            else
            {
                link = transaction.Context;
            }
            if (sqlState is not null) Tracing.NoteError(transaction, sqlState, reason);
        }
        if (parent == default && !_context.RootSpans.TryTake(now)) return;
        // In a pipeline it may have been sent before its transaction could begin.
        var startedAt = Math.Max(traced?.StartedAt ?? _requestStart, parent == context ? 0 : _transactionStart);
        var span = Tracing.Begin("query", ActivityKind.Client, parent, startedAt, Pool, link);
        if (span is not null) _traceParent = span.Id;
        Describe(span, server);
        server.NoteOperation(span);
        // Without values, whatever log_query_parameters says: spans leave the house.
        if (isLast && span is { IsAllDataRequested: true } && server.LastRequest is { IsName: false } request)
            span.SetTag("db.query.text", RequestDescription.Of(request, withValues: false));
        if (sqlState is not null || reason is not null) Tracing.NoteError(span, sqlState, reason);
        Tracing.End(span, now);
    }

    private void BeginTransactionSpan(in ActivityContext context, ServerSession server)
    {
        var trace = _trace!;
        if (trace.Transaction is not null) return;
        trace.Transaction = Tracing.Begin("transaction", ActivityKind.Internal, context, _transactionStart, Pool);
        trace.TransactionParent = context;
        Describe(trace.Transaction, server);
    }

    private void EndTransactionSpan(long now)
    {
        if (_trace?.Transaction is not { } transaction) return;
        _trace.Transaction = null;
        Tracing.End(transaction, now);
    }

    private void Describe(Activity? span, ServerSession server)
    {
        Tracing.NoteClient(span, Identity.Id);
        Tracing.NoteServer(span, server.Id, server.Target, server.BackendPid);
    }
}
