using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>
/// A connection that asks for cancellation. Like PostgreSQL's it is answered by nothing but its end, which comes when the
/// request has been delivered: whether there was anything to cancel is not the requester's business. If it ends earlier
/// by itself, the request is delivered nevertheless.
/// </summary>
internal sealed class CancelRequest : IConnectionHandler, IListed
{
    private readonly LoopContext _context;
    private bool _finished;
    private volatile CancelDelivery? _delivery;

    /// <summary>Takes over the connection, on its loop.</summary>
    public CancelRequest(LoopContext context, Connection connection, long id)
    {
        _context = context;
        Connection = connection;
        Id = id;
        ArrivedAt = context.Loop.Now;
        (Address, Port) = LoginSession.Describe(connection.RemoteEndPoint, connection.LocalEndPoint);
        connection.Handler = this;
        context.Cancels.Add(this);
    }

    public int ListIndex { get; set; } = -1;

    public Connection Connection { get; }

    /// <summary>Numbered together with the clients.</summary>
    public long Id { get; }

    /// <summary>In loop microseconds.</summary>
    public long ArrivedAt { get; }

    public string Address { get; }

    public int Port { get; }

    /// <summary>The pool of the client whose query is to be cancelled; null for one that goes to a peer.</summary>
    public Pool? Pool { get; set; }

    /// <summary>Null until it is known where the request goes.</summary>
    public CancelDelivery? Delivery => _delivery;

    private ConnectionName LogName => new(false, Id, Pool?.Database.Name, null, Address, Port);

    public void OnDelivery(CancelDelivery delivery) => _delivery = delivery;

    /// <summary>
    /// Leaves it to the process before this one, which may have the client that it is for; false when there is none. On its
    /// loop.
    /// </summary>
    public bool PassOn(byte[] key)
    {
        if (_context.Engine.PassCancelOn is not { } pass) return false;
        if (!Connection.CanBeHandedOver || !pass(key, Connection.Descriptor))
        {
            if (Connection.CanBeHandedOver || !pass(key, -1)) return false;
            Finish("cancel request was passed on");
            return true;
        }
        _finished = true;
        _context.Cancels.Remove(this);
        Connection.Abandon();
        return true;
    }

    /// <summary>Delivered, or in vain: closes the connection. Any thread.</summary>
    public void Finish(string reason) => _context.Engine.RunOn(_context.Loop, static state =>
    {
        var (request, why) = ((CancelRequest, string))state!;
        if (request._finished) return;
        request._finished = true;
        request._context.Cancels.Remove(request);
        if (request._context.Engine.Settings.LogDisconnections)
            request._context.Engine.Log.ClientClosing(request.LogName, why, (request._context.Loop.Now - request.ArrivedAt) / 1_000_000);
        request.Connection.CloseAfterSend();
    }, (this, reason));

    public void OnConnected(Connection connection) => throw new InvalidOperationException("clients connect to us");

    public ReadAnswer OnReadable(Connection connection, Readiness readiness) => ReadAnswer.Read;

    public int OnReceived(Connection connection, Span<byte> data) => data.Length;

    public void OnDrained(Connection connection)
    {
    }

    public void OnMoved(Connection connection)
    {
    }

    public void OnClosed(Connection connection, Exception? error)
    {
    }
}
