using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>A query of the pooler's own whose answer matters; see <see cref="ServerQuery"/>.</summary>
internal sealed partial class ServerSession
{
    // What is asked are names and secrets: far more than a secret's greatest length, and an end to what a wrong query
    // can make us hold.
    private const int LongestQueryMessage = 256 * 1024;
    private const int MostQueryRows = 1000;

    private ServerQuery? _query;
    private readonly List<string?[]> _queryRows = [];
    private int _queryColumns;
    private int _readyToCome;
    private bool _servedClient;
    private bool _forgetsClients;

    // All that clients can leave in a session for a query to stumble over. Not DISCARD ALL: what is prepared there for
    // clients stays.
    private const string ForgetClients = "RESET ROLE; RESET SESSION AUTHORIZATION; RESET ALL; DISCARD TEMP";
    private PgError? _queryError;

    /// <summary>Runs it and goes back to the pool; the server is the query's alone until then.</summary>
    public void Run(ServerQuery query)
    {
        _query = query;
        _queryRows.Clear();
        _queryColumns = 0;
        _queryError = null;
        _readyToCome = 1;
        LinkedAt = Loop.Now;
        var writer = Context.ToServer;
        writer.Clear();
        // Whatever a client has done on this connection, a search_path (CVE-2025-12819) or a temporary table pg_authid above
        // all, must not reach a query that decides about logins. What connect_query has set goes with it, and is set again.
        _forgetsClients = _servedClient && query.ForgetsClients;
        if (_forgetsClients)
        {
            writer.Query(ForgetClients);
            _readyToCome++;
            if (Pool.Database.Settings.ConnectQuery is { Length: > 0 } connectQuery)
            {
                writer.Query(connectQuery);
                _readyToCome++;
            }
        }
        writer.Parse("", query.Sql);
        writer.Bind("", "", query.Parameters);
        writer.DescribePortal("");
        writer.Execute("");
        writer.Sync();
        Connection!.Send(writer.Written);
        writer.Clear();
    }

    private int ReceiveQuery(ReadOnlySpan<byte> data)
    {
        var pos = 0;
        while (data.Length - pos >= MessageHeader.Size)
        {
            var length = MessageHeader.Length(data[pos..]);
            if (length is < 4 or > LongestQueryMessage)
            {
                FailQuery("the answer has a message of an invalid length");
                return data.Length;
            }
            if (data.Length - pos < length + 1) break;
            OnQueryMessage(data[pos], data.Slice(pos + MessageHeader.Size, length - 4));
            if (_query is null) return data.Length;
            pos += length + 1;
        }
        // Only when all is consumed: after the release the connection may already belong to another loop.
        if (pos == data.Length && _readyToCome == 0) CompleteQuery();
        return pos;
    }

    private void OnQueryMessage(byte type, ReadOnlySpan<byte> body)
    {
        var reader = new MessageReader(body);
        switch (type)
        {
            case Backend.ReadyForQuery when body.Length == 1 && _readyToCome > 0:
                TransactionStatus = body[0];
                _readyToCome--;
                if (_forgetsClients && _queryError is null)
                {
                    // What the server does not report is now as it was at the login.
                    Parameters = _reported;
                    _servedClient = _forgetsClients = false;
                }
                break;
            case Backend.RowDescription when reader.TryReadInt16(out var count):
                if (_readyToCome == 1) _queryColumns = count;
                break;
            case Backend.DataRow:
                if (_readyToCome == 1) AddQueryRow(reader);
                break;
            case Backend.ErrorResponse:
                _queryError ??= ErrorFields.Read(body);
                break;
            case Backend.ParameterStatus:
                if (reader.TryReadCString(out var name) && reader.TryReadCString(out var value) && Encoding.UTF8.GetString(name) is var text && _engine.IsTracked(text))
                    Parameters = Parameters.With(text, Encoding.UTF8.GetString(value));
                break;
            case Backend.ParseComplete or Backend.BindComplete or Backend.NoData or Backend.CommandComplete
                or Backend.EmptyQueryResponse or Backend.NoticeResponse or Backend.NotificationResponse:
                break;
            default:
                FailQuery("unexpected response");
                break;
        }
    }

    private void AddQueryRow(MessageReader reader)
    {
        if (_queryRows.Count == MostQueryRows)
        {
            FailQuery($"the answer has more than {MostQueryRows} rows");
            return;
        }
        if (!reader.TryReadInt16(out var count) || count < 0)
        {
            FailQuery("bad packet");
            return;
        }
        var row = new string?[count];
        for (var i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> value = default;
            if (!reader.TryReadInt32(out var length) || (length != -1 && !reader.TryReadBytes(length, out value)))
            {
                FailQuery("bad packet");
                return;
            }
            row[i] = length == -1 ? null : Encoding.UTF8.GetString(value);
        }
        _queryRows.Add(row);
    }

    private void CompleteQuery()
    {
        var query = _query!;
        _query = null;
        var result = new ServerQueryResult(_queryError, _queryColumns, [.. _queryRows], IsServerError: _queryError is not null);
        if (_forgetsClients) Close("session could not be reset");
        else ReleaseToPool(endOfSession: false);
        query.Complete(result);
    }

    private void FailQuery(string reason)
    {
        _queryError = PgError.Error(SqlState.ProtocolViolation, reason);
        Close(reason);
    }

    /// <summary>The connection has ended: so has what ran on it.</summary>
    private void EndQuery(string reason)
    {
        if (_query is not { } query) return;
        _query = null;
        query.Complete(new ServerQueryResult(_queryError ?? PgError.Fatal(SqlState.ConnectionFailure, reason), 0, [], IsServerError: true));
    }
}
