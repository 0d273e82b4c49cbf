using System.Buffers.Binary;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>
/// Named prepared statements of a client that meets many servers. The client's names are replaced by names per distinct
/// statement, which any server may or may not have prepared already; what it lacks is prepared just before it is used.
/// </summary>
/// <remarks>
/// Every answer a client gets comes from the server, in its order: messages are added, renamed or dropped, never made
/// up, so that pipelines and their errors keep their exact meaning. What a server has is assumed when the message
/// leaves and corrected when it turns out not to have been executed (<see cref="OnRequestSkipped"/>).
/// </remarks>
internal sealed partial class ClientSession
{
    /// <summary>The names in front of a Bind, portal and statement; longer ones no other message could mention.</summary>
    private const int LongestNames = 2 * LongestShortMessage;

    /// <summary>What a statement takes besides its text and name, in bytes, roughly.</summary>
    private const int StatementOverhead = 100;

    /// <summary>A name that no server has: closing it always succeeds and changes nothing.</summary>
    private static ReadOnlySpan<byte> NobodysStatement => "pooler_none"u8;

    /// <summary>Pool modes in which a client's statements outlive its link to a server, and are therefore renamed.</summary>
    private readonly bool _tracksStatements;

    private Dictionary<byte[], PreparedStatement>? _statements;

    /// <summary>What <see cref="_statements"/> counts for max_client_prepared_bytes.</summary>
    private long _preparedBytes;

    /// <summary>
    /// The server did not execute a request, because of an error before or in it: takes back what was assumed.
    /// </summary>
    public void OnRequestSkipped(in Request request)
    {
        if (request.ClientName is not { } name) return;
        switch (request.Kind)
        {
            case RequestKind.Parse or RequestKind.ParseAlreadyDone:
                if (_statements is not null && _statements.TryGetValue(name, out var statement) && statement == request.Statement)
                {
                    _statements.Remove(name);
                    _preparedBytes -= CostOf(name, statement);
                    Registry.Release(statement);
                }
                break;
            case RequestKind.Close:
                _statements ??= new(BytesComparer.Instance);
                if (_statements.TryAdd(name, request.Statement!)) _preparedBytes += CostOf(name, request.Statement!);
                else Registry.Release(request.Statement!);
                break;
        }
    }

    /// <summary>A Close of this client was executed.</summary>
    public void OnStatementClosed(in Request request)
    {
        if (request.Statement is { } statement) Registry.Release(statement);
    }

    /// <summary>DISCARD ALL or DEALLOCATE ALL was executed.</summary>
    public void ForgetAllStatements()
    {
        _trace?.ForgetStatements();
        if (_statements is null) return;
        foreach (var statement in _statements.Values) Registry.Release(statement);
        _statements = null;
        _preparedBytes = 0;
    }

    private StatementRegistry Registry => _context.Engine.Statements;

    private Verdict JudgeStatementMessage(
        ServerSession server, Span<byte> message, long total, MessageWriter writer, ReadOnlySpan<byte> before, out int used)
    {
        used = 0;
        if (!_tracksStatements)
        {
            Begin(server, writer);
            server.NoteUntracked(message);
            return Verdict.Forward;
        }
        return message[0] switch
        {
            Frontend.Parse => JudgeParse(server, message, total, writer, before, out used),
            Frontend.Bind => JudgeBind(server, message, total, writer, before, out used),
            _ => JudgeDescribeOrClose(server, message, total, writer, before, out used),
        };
    }

    private Verdict JudgeParse(
        ServerSession server, Span<byte> message, long total, MessageWriter writer, ReadOnlySpan<byte> before, out int used)
    {
        used = 0;
        if (message.Length == MessageHeader.Size && total > message.Length) return Verdict.NeedMore;
        if (message.Length > MessageHeader.Size && message[MessageHeader.Size] == 0)
        {
            Begin(server, writer);
            server.NoteUnnamedParse(message);
            server.Outstanding.Enqueue(new Request(RequestKind.Parse));
            return Verdict.Forward;
        }
        if (_context.Engine.Settings.MaxClientPreparedBytes is > 0 and var most && _preparedBytes + total + StatementOverhead > most)
        {
            Fail(PgError.Fatal(SqlState.LimitExceeded, "too many prepared statements, or too long ones",
                hint: $"max_client_prepared_bytes is {most}: close statements that are not needed any more, or use unnamed ones."));
            return Verdict.Stop;
        }
        // The text is the statement's identity and is sent again to other servers, so it is needed whole.
        if (message.Length < total) return Verdict.NeedMore;
        var reader = new MessageReader(message[MessageHeader.Size..]);
        if (!reader.TryReadCString(out var name))
        {
            Fail(PgError.Fatal(SqlState.ProtocolViolation, "invalid string in message"));
            return Verdict.Stop;
        }
        if (IsUndecided(server, null, name)) return Verdict.AwaitAnswers;
        used = message.Length;
        _statements ??= new(BytesComparer.Instance);
        if (_statements.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out var taken))
        {
            if (IsUndecided(server, taken, default)) return Verdict.AwaitAnswers;
            StartReplacing(server, writer, before);
            // The server is to say that the name is in use, unless the text is wrong as well: for that it must have it.
            EnsurePrepared(server, taken, writer);
            writer.Begin(Frontend.Parse).CString(taken.ServerName).Bytes(reader.Rest).End();
            server.Outstanding.Enqueue(new Request(RequestKind.Parse));
            return Verdict.Replaced;
        }

        var statement = Registry.Acquire(reader.Rest);
        if (IsUndecided(server, statement, default))
        {
            Registry.Release(statement);
            return Verdict.AwaitAnswers;
        }
        StartReplacing(server, writer, before);
        server.NoteStatement(statement);
        Statistics.ClientParses++;
        var clientName = name.ToArray();
        _statements.Add(clientName, statement);
        _preparedBytes += CostOf(clientName, statement);
        if (server.Statements.Use(statement))
        {
            Statistics.StatementHits++;
            writer.CloseStatement(NobodysStatement);
            server.Outstanding.Enqueue(new Request(RequestKind.ParseAlreadyDone, statement, clientName));
        }
        else
        {
            MakeRoom(server, writer);
            WriteParse(writer, statement);
            server.Statements.Add(statement);
            server.Outstanding.Enqueue(new Request(RequestKind.Parse, statement, clientName));
        }
        return Verdict.Replaced;
    }

    private Verdict JudgeBind(
        ServerSession server, Span<byte> message, long total, MessageWriter writer, ReadOnlySpan<byte> before, out int used)
    {
        used = 0;
        var reader = new MessageReader(message[MessageHeader.Size..]);
        if (!reader.TryReadCString(out var portal) || !reader.TryReadCString(out var name))
        {
            if (message.Length > LongestNames)
            {
                Fail(PgError.Fatal(SqlState.ProtocolViolation, "invalid string in message"));
                return Verdict.Stop;
            }
            if (message.Length < total) return Verdict.NeedMore;
            Begin(server, writer);
            return Verdict.Forward;
        }
        if (name.IsEmpty)
        {
            Begin(server, writer);
            server.NoteBind(name, reader.Rest);
            return Verdict.Forward;
        }
        var statement = FindStatement(name, out _);
        if (IsUndecided(server, statement, name)) return Verdict.AwaitAnswers;
        if (statement is null && !IsReserved(name))
        {
            // Unknown: the server knows what to say.
            Begin(server, writer);
            return Verdict.Forward;
        }
        StartReplacing(server, writer, before);
        var serverName = NobodysStatement;
        if (statement is not null)
        {
            Statistics.Binds++;
            server.NoteBind(statement, reader.Rest);
            EnsurePrepared(server, statement, writer);
            serverName = statement.ServerName;
        }
        // Only the names in front change; parameters follow as they are, however long.
        Span<byte> header = stackalloc byte[MessageHeader.Size];
        header[0] = Frontend.Bind;
        var length = total - 1 + serverName.Length - name.Length;
        BinaryPrimitives.WriteInt32BigEndian(header[1..], checked((int)length));
        writer.Bytes(header).CString(portal).CString(serverName);
        used = MessageHeader.Size + portal.Length + 1 + name.Length + 1;
        return Verdict.Replaced;
    }

    private Verdict JudgeDescribeOrClose(
        ServerSession server, Span<byte> message, long total, MessageWriter writer, ReadOnlySpan<byte> before, out int used)
    {
        used = 0;
        // However long the name, it is the client's own name for a statement and must not reach the server.
        if (message.Length < total) return Verdict.NeedMore;
        var isClose = message[0] == Frontend.Close;
        var reader = new MessageReader(message[MessageHeader.Size..]);
        PreparedStatement? statement = null;
        byte[]? clientName = null;
        var reserved = false;
        if (reader.TryReadByte(out var kind) && kind == (byte)'S' && reader.TryReadCString(out var name) && !name.IsEmpty)
        {
            statement = FindStatement(name, out clientName);
            if (IsUndecided(server, isClose ? null : statement, name)) return Verdict.AwaitAnswers;
            reserved = statement is null && IsReserved(name);
        }
        if (statement is null && !reserved)
        {
            Begin(server, writer);
            if (isClose) server.Outstanding.Enqueue(new Request(RequestKind.Close));
            return Verdict.Forward;
        }
        StartReplacing(server, writer, before);
        used = message.Length;
        if (isClose)
        {
            // Other clients may use the statement: only this client's name for it goes.
            if (clientName is not null && _statements!.Remove(clientName)) _preparedBytes -= CostOf(clientName, statement!);
            writer.CloseStatement(NobodysStatement);
            server.Outstanding.Enqueue(new Request(RequestKind.Close, statement, clientName));
        }
        else
        {
            if (statement is not null) EnsurePrepared(server, statement, writer);
            writer.Begin(Frontend.Describe).Byte((byte)'S').CString(statement is null ? NobodysStatement : statement.ServerName).End();
        }
        return Verdict.Replaced;
    }

    private static long CostOf(byte[] name, PreparedStatement statement) => name.Length + statement.Definition.Length + StatementOverhead;

    /// <summary>Names that only the pool gives: a client must not get at other clients' statements by guessing them.</summary>
    private static bool IsReserved(ReadOnlySpan<byte> name) => name.StartsWith("pooler_"u8);

    private PreparedStatement? FindStatement(ReadOnlySpan<byte> name, out byte[]? clientName)
    {
        clientName = null;
        return _statements is not null
            && _statements.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out clientName, out var statement)
            ? statement
            : null;
    }

    /// <summary>
    /// Whether something sent in an earlier batch may still turn out not to have been executed, on which it depends what
    /// a message with this statement or name must become.
    /// </summary>
    private bool IsUndecided(ServerSession server, PreparedStatement? statement, ReadOnlySpan<byte> name)
    {
        if (server.Outstanding.IsUndecided(statement, name)) return true;
        // To make room for it, another one would have to go.
        return statement is not null && server.Statements.Count >= _context.Engine.Settings.MaxPreparedStatements
            && server.Statements.Oldest is { } oldest && !server.Statements.Contains(statement)
            && server.Outstanding.IsUndecided(oldest, default);
    }

    private void StartReplacing(ServerSession server, MessageWriter writer, ReadOnlySpan<byte> before)
    {
        Begin(server, writer);
        if (before.Length > 0) writer.Bytes(before);
    }

    private void EnsurePrepared(ServerSession server, PreparedStatement statement, MessageWriter writer)
    {
        if (server.Statements.Use(statement))
        {
            Statistics.StatementHits++;
            return;
        }
        MakeRoom(server, writer);
        WriteParse(writer, statement);
        server.Statements.Add(statement);
        server.Outstanding.Enqueue(new Request(RequestKind.OwnParse, statement));
    }

    private void MakeRoom(ServerSession server, MessageWriter writer)
    {
        while (server.Statements.TryEvict(_context.Engine.Settings.MaxPreparedStatements, out var evicted))
        {
            writer.CloseStatement(evicted.ServerName);
            server.Outstanding.Enqueue(new Request(RequestKind.OwnClose, evicted));
        }
    }

    private void WriteParse(MessageWriter writer, PreparedStatement statement)
    {
        Statistics.ServerParses++;
        writer.Begin(Frontend.Parse).CString(statement.ServerName).Bytes(statement.Definition).End();
    }
}
