using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>Queries that the pool runs on a server by itself, and what an unlinked server says unasked.</summary>
internal sealed partial class ServerSession
{
    private bool _resetFollows;
    private bool _ownQueryFailed;
    private LoopTimer? _ownQueryTimer;

    protected internal override void BeginCheck()
    {
        var query = _engine.Settings.ServerCheckQuery;
        RunOwnQuery(query == "<empty>" ? "" : query, thenReset: false);
    }

    /// <summary>The state is Testing until its answer has come; then the server goes back to the pool.</summary>
    private void RunOwnQuery(string sql, bool thenReset)
    {
        State = ServerState.Testing;
        _resetFollows = thenReset;
        _ownQueryFailed = false;
        var writer = Context.ToServer;
        writer.Clear();
        writer.Query(sql);
        Connection!.Send(writer.Written);
        writer.Clear();
        // A server whose network has gone silent would be "tested" for ever.
        var limit = _engine.Settings.ServerConnectTimeout;
        if (limit > TimeSpan.Zero)
        {
            _ownQueryTimer = Loop.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, static state =>
            {
                var server = (ServerSession)state!;
                if (!server._finished && server.State == ServerState.Testing) server.Close("server did not answer a check or reset query");
            }, this);
        }
    }

    /// <summary>
    /// Reads what comes while no client is linked: answers to our own queries, parameters, notices, a shutdown's last
    /// words.
    /// </summary>
    private int ReceiveUnlinked(ReadOnlySpan<byte> data)
    {
        var pos = 0;
        var ready = false;
        if (_passing > 0)
        {
            pos = (int)Math.Min(_passing, data.Length);
            _passing -= pos;
        }
        while (data.Length - pos >= MessageHeader.Size)
        {
            var length = MessageHeader.Length(data[pos..]);
            var type = data[pos];
            if (ObjectionTo(type, length) is not null)
            {
                Close("bad pkt header");
                return data.Length;
            }
            // An answer that nobody has asked for: the next would be taken for one to the next client's question.
            if (State == ServerState.Claimed && type is not (Backend.ParameterStatus or Backend.NoticeResponse or Backend.NotificationResponse or Backend.ErrorResponse))
            {
                _engine.Log.UnexpectedPacket(LogName, (char)type);
                Close("unexpected response");
                return data.Length;
            }
            var total = (long)length + 1;
            var available = (int)Math.Min(total, data.Length - pos);
            if (available < total && NeedsWhole(type, total)) break;
            var message = data.Slice(pos, available);
            switch (type)
            {
                case Backend.ReadyForQuery:
                    TransactionStatus = message[MessageHeader.Size];
                    ready = true;
                    break;
                case Backend.ParameterStatus:
                    var reader = new MessageReader(message[MessageHeader.Size..]);
                    if (reader.TryReadCString(out var name) && reader.TryReadCString(out var value))
                    {
                        var (text, setting) = (System.Text.Encoding.UTF8.GetString(name), System.Text.Encoding.UTF8.GetString(value));
                        NoteRole(text, setting);
                        if (_engine.IsTracked(text)) Parameters = Parameters.With(text, setting);
                    }
                    break;
                case Backend.CommandComplete:
                    if (TakesStatementsAway(message[MessageHeader.Size..])) Statements.Clear();
                    NoteReset(message[MessageHeader.Size..]);
                    break;
                case Backend.ErrorResponse:
                    _ownQueryFailed = true;
                    break;
            }
            pos += available;
            _passing = total - available;
        }
        if (pos < data.Length || _passing > 0) return pos;

        if (State == ServerState.Claimed)
        {
            // An idle server has nothing to say but parameters and notices: an error announces its end.
            if (_ownQueryFailed)
            {
                _engine.Log.UnexpectedPacket(LogName, (char)Backend.ErrorResponse);
                Close("server conn crashed?");
            }
            else GiveBack();
        }
        else if (State == ServerState.Testing && ready)
        {
            OnOwnQueryDone();
        }
        return data.Length;
    }

    private void OnOwnQueryDone()
    {
        _ownQueryTimer?.Cancel();
        if (_ownQueryFailed || TransactionStatus != Protocol.TransactionStatus.Idle) Close("test query failed");
        else if (_resetFollows) RunOwnQuery(_engine.Settings.ServerResetQuery, thenReset: false);
        else GiveBack();
    }
}
