using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>Parse, Bind, Describe, Execute, Close, Sync: what drivers use instead of simple queries.</summary>
internal sealed partial class ConsoleSession
{
    /// <summary>More of them nobody needs, and each costs memory.</summary>
    private const int MostNames = 1000;

    private readonly Dictionary<string, ConsoleStatement> _statements = [];
    private readonly Dictionary<string, Portal> _portals = [];
    private ConsoleStatement? _unnamed;
    private bool _skipsToSync;

    /// <summary>Forgets all prepared statements (DISCARD ALL, DEALLOCATE ALL).</summary>
    public void ForgetStatements() => _statements.Clear();

    /// <summary>Forgets one prepared statement; false when there is none.</summary>
    public bool ForgetStatement(string name) => _statements.Remove(name);

    private void ReceiveExtended(byte type, ReadOnlySpan<byte> body)
    {
        if (type == Frontend.Sync)
        {
            _skipsToSync = false;
            // The end of the implicit transaction ends its portals.
            if (!InTransaction) _portals.Clear();
            Ready();
            return;
        }
        if (_skipsToSync || type == Frontend.Flush) return;
        try
        {
            var reader = new MessageReader(body);
            switch (type)
            {
                case Frontend.Parse:
                    ReceiveParse(reader);
                    break;
                case Frontend.Bind:
                    ReceiveBind(reader);
                    break;
                case Frontend.Describe:
                    ReceiveDescribe(reader);
                    break;
                case Frontend.Execute:
                    ReceiveExecute(reader);
                    break;
                case Frontend.Close:
                    ReceiveClose(reader);
                    break;
            }
        }
        catch (ConsoleException e)
        {
            Refuse(e.Error);
        }
    }

    private void Refuse(PgError error)
    {
        Write(error);
        _skipsToSync = true;
    }

    private void ReceiveParse(MessageReader reader)
    {
        Began();
        var name = ReadName(ref reader);
        var sql = ReadName(ref reader);
        var types = new int[ReadCount(ref reader)];
        for (var i = 0; i < types.Length; i++)
            if (!reader.TryReadInt32(out types[i])) throw BadMessage();
        if (name.Length > 0 && _statements.ContainsKey(name))
            throw new ConsoleException(PgError.Error("42P05", $"prepared statement \"{name}\" already exists"));
        if (name.Length > 0 && _statements.Count >= MostNames) throw TooMany("prepared statements");
        var statements = Console.Parser.Parse(sql, types);
        if (statements.Count > 1) throw ConsoleException.Syntax("cannot insert multiple commands into a prepared statement");
        if (name.Length == 0) _unnamed = statements[0];
        else _statements.Add(name, statements[0]);
        _writer.ParseComplete();
    }

    private void ReceiveBind(MessageReader reader)
    {
        var name = ReadName(ref reader);
        var statement = FindStatement(ReadName(ref reader));
        var parameterFormats = ReadFormats(ref reader);
        var count = ReadCount(ref reader);
        if (count != statement.ParameterTypes.Length)
        {
            throw new ConsoleException(PgError.Error(SqlState.ProtocolViolation,
                $"bind message supplies {count} parameters, but the statement requires {statement.ParameterTypes.Length}"));
        }
        var parameters = new object?[count];
        for (var i = 0; i < count; i++)
        {
            if (!reader.TryReadInt32(out var length)) throw BadMessage();
            if (length < 0) continue;
            if (!reader.TryReadBytes(length, out var value)) throw BadMessage();
            parameters[i] = WireValue.Read(value, statement.ParameterTypes[i], IsBinary(parameterFormats, i));
        }
        var formats = ReadFormats(ref reader);
        if (formats.Length > 1 && formats.Length != (statement.Columns?.Count ?? 0))
        {
            throw new ConsoleException(PgError.Error(SqlState.ProtocolViolation,
                $"bind message has {formats.Length} result formats but query has {statement.Columns?.Count ?? 0} columns"));
        }
        if (name.Length > 0 && _portals.ContainsKey(name))
            throw new ConsoleException(PgError.Error("42P03", $"cursor \"{name}\" already exists"));
        if (_portals.Count >= MostNames) throw TooMany("portals");
        _portals[name] = new Portal(statement, parameters, formats);
        _writer.BindComplete();
    }

    private void ReceiveDescribe(MessageReader reader)
    {
        if (!reader.TryReadByte(out var what)) throw BadMessage();
        var name = ReadName(ref reader);
        IReadOnlyList<ConsoleColumn>? columns;
        short[] formats = [];
        if (what == (byte)'S')
        {
            var statement = FindStatement(name);
            _writer.ParameterDescription(statement.ParameterTypes);
            columns = statement.Columns;
        }
        else
        {
            var portal = FindPortal(name);
            (columns, formats) = (portal.Statement.Columns, portal.Formats);
        }
        if (columns is null) _writer.NoData();
        else WriteDescription(columns, formats);
    }

    private void ReceiveExecute(MessageReader reader)
    {
        var portal = FindPortal(ReadName(ref reader));
        if (!reader.TryReadInt32(out var most)) throw BadMessage();
        Began();
        if (portal.Answer is not null)
        {
            Fetch(portal, most);
            return;
        }
        CountQuery();
        Run(portal.Statement, portal.Parameters,
            answer =>
            {
                portal.Answer = answer;
                Fetch(portal, most);
            },
            Refuse);
    }

    private void Fetch(Portal portal, int most)
    {
        if (portal.Statement.IsEmpty)
        {
            _writer.EmptyQueryResponse();
            return;
        }
        var rows = portal.Answer!.Rows;
        var sent = 0;
        while (portal.Next < rows.Count && (most <= 0 || sent < most))
        {
            WriteRow(rows[portal.Next++], portal.Formats);
            sent++;
        }
        // Like PostgreSQL: a limit that was just reached suspends, even when nothing is left.
        if (most > 0 && sent == most) _writer.PortalSuspended();
        else Complete(portal.Statement, portal.Answer, sent);
    }

    private void ReceiveClose(MessageReader reader)
    {
        if (!reader.TryReadByte(out var what)) throw BadMessage();
        var name = ReadName(ref reader);
        if (what == (byte)'P') _portals.Remove(name);
        else if (name.Length == 0) _unnamed = null;
        else _statements.Remove(name);
        _writer.CloseComplete();
    }

    private ConsoleStatement FindStatement(string name) =>
        (name.Length == 0 ? _unnamed : _statements.GetValueOrDefault(name))
        ?? throw new ConsoleException(PgError.Error("26000", $"prepared statement \"{name}\" does not exist"));

    private Portal FindPortal(string name) => _portals.GetValueOrDefault(name)
        ?? throw new ConsoleException(PgError.Error("34000", $"portal \"{name}\" does not exist"));

    private static string ReadName(ref MessageReader reader) =>
        reader.TryReadCString(out var text) ? Encoding.UTF8.GetString(text) : throw BadMessage();

    private static int ReadCount(ref MessageReader reader) =>
        reader.TryReadInt16(out var count) && count >= 0 ? count : throw BadMessage();

    private static short[] ReadFormats(ref MessageReader reader)
    {
        var formats = new short[ReadCount(ref reader)];
        for (var i = 0; i < formats.Length; i++)
            if (!reader.TryReadInt16(out formats[i]) || formats[i] is not (0 or 1)) throw BadMessage();
        return formats;
    }

    private static ConsoleException BadMessage() => new(PgError.Error(SqlState.ProtocolViolation, "invalid message format"));

    private static ConsoleException TooMany(string what) => new(PgError.Error("53000", $"too many {what}",
        hint: $"The admin console keeps up to {MostNames} of them per connection."));

    /// <summary>A bound statement, and how far its rows have been fetched.</summary>
    private sealed class Portal(ConsoleStatement statement, object?[] parameters, short[] formats)
    {
        public ConsoleStatement Statement { get; } = statement;

        public object?[] Parameters { get; } = parameters;

        public short[] Formats { get; } = formats;

        public ConsoleAnswer? Answer { get; set; }

        public int Next { get; set; }
    }
}
