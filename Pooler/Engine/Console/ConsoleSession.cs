using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;
using Pooler.Engine.Sessions.Cancelling;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Console;

/// <summary>
/// An administrator's connection: answers by itself instead of forwarding. Statements run off the loop where they take
/// time; meanwhile the connection is not read, so that answers keep the order of the requests.
/// </summary>
/// <remarks>
/// The file's parts: this one holds the life cycle and the simple protocol, ConsoleSession.Extended.cs the extended one.
/// </remarks>
internal sealed partial class ConsoleSession : IConnectionHandler, IListed
{
    /// <summary>No message is longer: a statement of the console is a line, and what is incomplete is kept in memory.</summary>
    private const int LongestMessage = 64 * 1024;

    private readonly LoopContext _context;
    private readonly MessageWriter _writer;
    private readonly PoolUser _account;
    private readonly Queue<ConsoleStatement> _queued = new();
    private bool _running;
    private int _runs;
    private Action<PgError>? _failed;
    private Action? _afterwards;
    private bool _ended;
    private long _requestStart;
    private CancellationTokenSource? _statementCancelled;

    public ConsoleSession(AdminConsole console, ConsoleRequest request)
    {
        Console = console;
        _context = request.Context;
        _writer = request.Context.ToClient;
        Connection = request.Connection;
        Id = request.Id;
        _account = request.User;
        IsAdmin = request.IsAdmin;
        Address = request.Address;
        Port = request.Port;
        ApplicationName = request.ApplicationName;
        CancelKey = CancelKey.Create(minor: 0, console.Core.Settings.PeerId);
        ConnectedAt = console.Core.TimeProvider.GetUtcNow();
        LastRequest = _context.Loop.Now;
        _context.Consoles.Add(this);
        _context.Engine.ConsoleStatistics[_context.Loop.Index].Logins++;
        Welcome();
    }

    public AdminConsole Console { get; }

    public Connection Connection { get; }

    /// <summary>Unique among clients, those of the pools included.</summary>
    public long Id { get; }

    public string User => _account.Name;

    /// <summary>Allowed everything; otherwise one of stats_users, who may look only.</summary>
    public bool IsAdmin { get; }

    public string Address { get; }

    public int Port { get; }

    /// <summary>What it has to show to give up waiting for a command.</summary>
    public CancelKey CancelKey { get; }

    public DateTimeOffset ConnectedAt { get; }

    public string ApplicationName { get; set; }

    /// <summary>When its last statement came, in loop microseconds.</summary>
    public long LastRequest { get; private set; }

    /// <summary>Between BEGIN and COMMIT: drivers check that they see the state they asked for. It has no other effect.</summary>
    public bool InTransaction { get; set; }

    /// <summary>Prepared statements with a name.</summary>
    public int PreparedStatementCount => _statements.Count;

    public int ListIndex { get; set; } = -1;

    /// <summary>Cancelled when nobody waits for the statement that is running any more. Any thread.</summary>
    public CancellationToken StatementCancelled => Volatile.Read(ref _ended)
        ? new CancellationToken(canceled: true)
        : (Volatile.Read(ref _statementCancelled) ?? Interlocked.CompareExchange(ref _statementCancelled, new(), null) ?? _statementCancelled!).Token;

    /// <summary>The types of the messages that a logged-in client may send.</summary>
    private static ReadOnlySpan<byte> Requests => "BCDEFHPQSXcdf"u8;

    private ConnectionName LogName => new(false, Id, EngineCore.ConsoleDatabase, User, Address, Port);

    public void OnConnected(Connection connection) => throw new InvalidOperationException("clients connect to us");

    public void OnMoved(Connection connection) => throw new InvalidOperationException("clients stay on their loop");

    public ReadAnswer OnReadable(Connection connection, Readiness readiness)
    {
        if (_ended) return ReadAnswer.Pause;
        // Nobody would read the answer to what is running; what it has set going is not undone.
        if (_running) return readiness == Readiness.Bytes ? ReadAnswer.Pause : ReadAnswer.Close;
        // A client that asks faster than it reads must not make us keep the answers.
        return connection.HasPendingOutput && readiness == Readiness.Bytes ? ReadAnswer.Pause : ReadAnswer.Read;
    }

    public int OnReceived(Connection connection, Span<byte> data)
    {
        var pos = 0;
        _writer.Clear();
        while (!_running && !_ended && data.Length - pos >= MessageHeader.Size)
        {
            // Before its length is believed: what is no message at all would be waited for in vain.
            if (!Requests.Contains(data[pos]))
            {
                Fail(PgError.Fatal(SqlState.ProtocolViolation, $"unsupported packet type for admin console: {data[pos]}"));
                return data.Length;
            }
            var length = MessageHeader.Length(data[pos..]);
            if (length is < 4 or > LongestMessage)
            {
                Fail(PgError.Fatal(SqlState.ProtocolViolation, $"invalid message length {length}",
                    hint: $"The admin console takes messages of up to {LongestMessage} bytes."));
                return data.Length;
            }
            if (data.Length - pos < length + 1) break;
            _context.Engine.ConsoleStatistics[_context.Loop.Index].BytesReceived += length + 1;
            Receive(data[pos], data.Slice(pos + MessageHeader.Size, length - 4));
            pos += length + 1;
        }
        if (_ended) return data.Length;
        Flush();
        return pos;
    }

    public void OnDrained(Connection connection)
    {
        if (!_running && !_ended) connection.ResumeReading();
    }

    public void OnClosed(Connection connection, Exception? error) => End("client unexpected eof");

    /// <summary>Tells the administrator why, then closes. On its loop's thread.</summary>
    public void Fail(PgError error)
    {
        if (_ended) return;
        error.WriteTo(_writer);
        Flush();
        Connection.CloseAfterSend();
        End(error.Message);
        if (_context.Engine.Settings.LogPoolerErrors) _context.Engine.Log.PoolerError(LogName, error.Message);
    }

    /// <summary>
    /// Gives up waiting for what is running. As in PgBouncer, that undoes a PAUSE or SUSPEND of everything; all else that has
    /// been ordered stays ordered. On its loop's thread.
    /// </summary>
    public void Cancel()
    {
        if (!_running || _ended) return;
        EndStatement();
        _ = Task.Run(Console.Core.Administration.ResumeAfterCancel);
        Resume(() => _failed!(PgError.Error("57014", "canceling statement due to user request")));
    }

    private void Welcome()
    {
        _writer.Clear();
        _writer.AuthenticationOk();
        foreach (var (name, value) in ConsoleParameters.Reported) _writer.ParameterStatus(name, value);
        CancelKey.WriteTo(_writer);
        if (_context.Engine.Settings.LoginNotifyMessage is { Length: > 0 } message) new PgError("NOTICE", "00000", message).WriteNoticeTo(_writer);
        Ready();
        Flush();
    }

    private void Receive(byte type, ReadOnlySpan<byte> body)
    {
        switch (type)
        {
            case Frontend.Terminate:
                Connection.CloseAfterSend();
                End("client close request");
                break;
            case Frontend.Query when !_skipsToSync:
                if (ReadText(body) is { } sql) BeginSimple(sql);
                break;
            case Frontend.Parse or Frontend.Bind or Frontend.Describe or Frontend.Execute or Frontend.Close
                or Frontend.Sync or Frontend.Flush:
                ReceiveExtended(type, body);
                break;
            case Frontend.FunctionCall when !_skipsToSync:
                PgError.Error(SqlState.FeatureNotSupported, "function calls are not supported by the admin console").WriteTo(_writer);
                Ready();
                break;
            case Frontend.CopyData or Frontend.CopyDone or Frontend.CopyFail:
                // Left over from a copy that did not happen: PostgreSQL ignores these, too.
                break;
            default:
                // A query or function call in a batch that has failed.
                break;
        }
    }

    private void BeginSimple(string sql)
    {
        Began();
        CountQuery();
        // Like a PostgreSQL server: the unnamed statement and portal do not outlive a simple query.
        _unnamed = null;
        _portals.Clear();
        try
        {
            foreach (var statement in Console.Parser.Parse(sql, []))
            {
                if (statement.ParameterTypes.Length > 0) throw ConsoleException.Syntax("there is no parameter $1");
                _queued.Enqueue(statement);
            }
        }
        catch (ConsoleException e)
        {
            _queued.Clear();
            Write(e.Error);
        }
        RunQueued();
    }

    private void RunQueued()
    {
        if (!_queued.TryDequeue(out var statement))
        {
            Ready();
            return;
        }
        Run(statement, [],
            answer =>
            {
                if (statement.IsEmpty)
                {
                    _writer.EmptyQueryResponse();
                }
                else
                {
                    if (statement.Columns is { } columns) WriteDescription(columns, []);
                    if (answer.Descriptors is { } descriptors) SendRows(answer.Rows, descriptors);
                    else foreach (var row in answer.Rows) WriteRow(row, []);
                    Complete(statement, answer, answer.Rows.Count);
                }
                RunQueued();
            },
            error =>
            {
                Write(error);
                _queued.Clear();
                Ready();
            });
    }

    /// <summary>Answers with an error; as PgBouncer's, it is in the log too, with a connection's name and without.</summary>
    private void Write(PgError error)
    {
        error.WriteTo(_writer);
        var engine = _context.Engine;
        engine.Log.CommandRefused(error.Message);
        if (engine.Settings.LogPoolerErrors) engine.Log.PoolerError(LogName, error.Message);
    }

    /// <summary>Runs a statement, now or over some time, and goes on on the loop with its answer.</summary>
    private void Run(ConsoleStatement statement, object?[] parameters, Action<ConsoleAnswer> answered, Action<PgError> failed)
    {
        Task<ConsoleAnswer> work;
        try
        {
            work = statement.Run(this, parameters);
        }
        catch (Exception e) when (e is ConsoleException or AdministrationException)
        {
            failed(AsError(e));
            return;
        }
        if (work.IsCompleted)
        {
            Deliver(work, answered, failed);
            return;
        }
        _running = true;
        _failed = failed;
        var run = ++_runs;
        Connection.PauseReading();
        work.ContinueWith(
            (done, _) => _context.Loop.Post(_ =>
            {
                // Ended or cancelled meanwhile: nobody waits for it any more.
                if (!_ended && _running && run == _runs) Resume(() => Deliver(done, answered, failed));
            }, null),
            null, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Goes on with the answer of what was running.</summary>
    private void Resume(Action answer)
    {
        _running = false;
        _writer.Clear();
        answer();
        if (_ended) return;
        Flush();
        if (!_running && !Connection.HasPendingOutput) Connection.ResumeReading();
    }

    private static void Deliver(Task<ConsoleAnswer> work, Action<ConsoleAnswer> answered, Action<PgError> failed)
    {
        if (work.IsCompletedSuccessfully) answered(work.Result);
        else failed(AsError(work.Exception?.InnerException));
    }

    private static PgError AsError(Exception? exception) => exception switch
    {
        ConsoleException e => e.Error,
        AdministrationException e => ConsoleException.Command(e.Message).Error,
        null => PgError.Error("57014", "canceled"),
        _ => PgError.Error("XX000", $"internal error: {exception.Message}"),
    };

    private void Complete(ConsoleStatement statement, ConsoleAnswer answer, int rows)
    {
        answer.Notice?.WriteNoticeTo(_writer);
        _afterwards = answer.Afterwards;
        _writer.CommandComplete(answer.Tag == "SELECT" ? $"SELECT {rows}" : answer.Tag);
        var statistics = _context.Engine.ConsoleStatistics[_context.Loop.Index];
        var time = _context.Loop.Now - _requestStart;
        statistics.QueryTimes.Record(time);
        statistics.TransactionTimes.Record(time);
    }

    private void WriteDescription(IReadOnlyList<ConsoleColumn> columns, short[] formats)
    {
        var descriptions = new ColumnDescription[columns.Count];
        for (var i = 0; i < descriptions.Length; i++) descriptions[i] = WireValue.Describe(columns[i], IsBinary(formats, i));
        _writer.RowDescription(descriptions);
    }

    private void WriteRow(object?[] row, short[] formats)
    {
        _writer.BeginDataRow(row.Length);
        for (var i = 0; i < row.Length; i++) WireValue.Write(_writer, row[i], IsBinary(formats, i));
        _writer.End();
    }

    // No format code: text; one: for all columns; else one per column.
    private static bool IsBinary(short[] formats, int column) =>
        formats.Length switch { 0 => false, 1 => formats[0] == 1, _ => column < formats.Length && formats[column] == 1 };

    private void Began()
    {
        _requestStart = _context.Loop.Now;
        LastRequest = _requestStart;
    }

    /// <summary>At its beginning, as PgBouncer does: a SHOW STATS finds itself among the figures.</summary>
    private void CountQuery()
    {
        var statistics = _context.Engine.ConsoleStatistics[_context.Loop.Index];
        statistics.Queries++;
        statistics.Transactions++;
    }

    private void Ready() => _writer.ReadyForQuery(InTransaction ? TransactionStatus.InTransaction : TransactionStatus.Idle);

    private void Flush()
    {
        if (_writer.Length == 0) return;
        _context.Engine.ConsoleStatistics[_context.Loop.Index].BytesSent += _writer.Length;
        if (!Connection.Send(_writer.Written)) Connection.PauseReading();
        _writer.Clear();
        Interlocked.Exchange(ref _afterwards, null)?.Invoke();
    }

    private string? ReadText(ReadOnlySpan<byte> body)
    {
        var reader = new MessageReader(body);
        if (reader.TryReadCString(out var text) && reader.AtEnd) return Encoding.UTF8.GetString(text);
        Fail(PgError.Fatal(SqlState.ProtocolViolation, "invalid message format"));
        return null;
    }

    /// <summary>One message, with its descriptor, at a time. Waits for the other side: the pooler stands still anyway.</summary>
    private void SendRows(IReadOnlyList<object?[]> rows, int[] descriptors)
    {
        const int Patience = 5000; // milliseconds
        Flush();
        for (var i = 0; i < descriptors.Length; i++)
        {
            if (Connection.HasPendingOutput || Libc.Poll(Connection.Descriptor, Libc.PollOut, Patience) <= 0) break;
            WriteRow(rows[i], []);
            var sent = Libc.SendWithDescriptors(Connection.Descriptor, _writer.Written, [descriptors[i]]);
            var all = sent == _writer.Length;
            _writer.Clear();
            if (!all) break;
        }
    }

    /// <summary>Whether at the other end is a process of the user that runs this one, over a Unix socket.</summary>
    public bool IsOwnProcess => Connection.Tls is null && Connection.CanBeHandedOver && Connection.Peer is { } peer && peer.UserId == SystemUsers.OwnId;

    /// <summary>The connection becomes the channel to a process that takes over. On its loop.</summary>
    public void LeaveForHandover()
    {
        var descriptor = Libc.Duplicate(Connection.Descriptor);
        End("taken over by another process");
        Connection.Abandon();
        if (descriptor >= 0) Console.Engine.BeginHandover(new HandoverChannel(descriptor));
    }

    // Whoever is woken by it must not run here.
    private void EndStatement() => _ = Interlocked.Exchange(ref _statementCancelled, null)?.CancelAsync();

    private void End(string reason)
    {
        if (_ended) return;
        _ended = true;
        EndStatement();
        _context.Consoles.Remove(this);
        _context.Engine.Budget.RemoveClient(_context.Engine.Directory.Console, _account, _context.Loop.Now);
        if (_context.Engine.Settings.LogDisconnections)
        {
            var age = Console.Core.TimeProvider.GetUtcNow() - ConnectedAt;
            _context.Engine.Log.ClientClosing(LogName, reason, (long)age.TotalSeconds);
        }
    }
}
