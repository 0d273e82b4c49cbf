using System.Net;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>Where the delivery of a cancel request stands.</summary>
internal enum DeliveryState : byte
{
    /// <summary>Waits for its turn: there are as many connections for cancel requests as may be.</summary>
    Waiting,

    /// <summary>Looks up the address or connects.</summary>
    Connecting,

    /// <summary>The request is sent; the other side closes the connection when it has dealt with it.</summary>
    Sent,

    /// <summary>Over, whether it got there or not.</summary>
    Ended,
}

/// <summary>
/// Carries a cancel request to where it belongs, over a connection of its own: to a backend's postmaster, or to a peer.
/// On one loop, that of the server whose query is to be cancelled.
/// </summary>
/// <remarks>
/// A server that its client has given back meets no other client while a request for it is sent and not answered by the
/// end of the connection; a request that is not sent yet by then is dropped.
/// </remarks>
internal sealed class CancelDelivery : IConnectionHandler
{
    private readonly LoopContext _context;
    private readonly CancelRequest? _request;
    private readonly CancelQueue? _queue;
    private readonly ServerSession? _server;
    private readonly Func<ValueTask<EndPoint>> _locate;
    private readonly byte[] _key;
    private readonly string? _host;
    private EncryptionRequest? _encryption;
    private LoopTimer? _waitTimer;
    private LoopTimer? _connectTimer;
    private volatile DeliveryState _state;

    private CancelDelivery(
        LoopContext context, CancelRequest? request, CancelQueue? queue, ServerSession? server, Func<ValueTask<EndPoint>> locate, byte[] key,
        string? host)
    {
        _context = context;
        _request = request;
        _queue = queue;
        _server = server;
        _locate = locate;
        _key = key;
        _host = host;
        Id = context.Engine.NextServerId();
        BeganAt = context.Loop.Now;
    }

    /// <summary>Any thread.</summary>
    public DeliveryState State => _state;

    /// <summary>Numbered together with the servers.</summary>
    public long Id { get; }

    /// <summary>In loop microseconds.</summary>
    public long BeganAt { get; }

    public EventLoop Loop => _context.Loop;

    /// <summary>Its connection, once it has one.</summary>
    public Connection? Connection { get; private set; }

    /// <summary>Where it goes, once that is known.</summary>
    public EndPoint? Target { get; private set; }

    /// <summary>The request that it carries; null when nobody asked for it.</summary>
    public CancelRequest? Request => _request;

    /// <summary>To the backend of a server whose client asks for it. On the server's loop.</summary>
    public static void ToServer(LoopContext context, CancelRequest request, CancelQueue queue, ServerSession server)
    {
        var delivery = new CancelDelivery(context, request, queue, server, Known(server.Target!), KeyOf(server), server.Address!.Host.Name);
        server.OnCancelBegun(delivery);
        delivery.Enter();
    }

    /// <summary>
    /// To the backend of a server that is being closed: nobody waits for its query any more. On the server's loop.
    /// </summary>
    public static void ToAbandoned(LoopContext context, ServerSession server) =>
        new CancelDelivery(context, null, null, null, Known(server.Target!), KeyOf(server), server.Address!.Host.Name).Enter();

    /// <summary>To another process. On the loop of the request.</summary>
    public static void ToPeer(LoopContext context, CancelRequest request, CancelQueue queue, Func<ValueTask<EndPoint>> locate, byte[] key) =>
        new CancelDelivery(context, request, queue, null, locate, key, null).Enter();

    /// <summary>It is its turn. On its loop.</summary>
    public void Begin()
    {
        if (_state == DeliveryState.Ended) return;
        _state = DeliveryState.Connecting;
        Limit(ref _connectTimer, _context.Engine.Settings.ServerConnectTimeout, "connect timeout");
        var located = _locate();
        if (located.IsCompletedSuccessfully)
        {
            Connect(located.Result);
            return;
        }
        located.AsTask().ContinueWith(static (task, state) =>
        {
            var delivery = (CancelDelivery)state!;
            delivery.Loop.Post(_ =>
            {
                if (delivery._state == DeliveryState.Ended) return;
                if (task.IsCompletedSuccessfully) delivery.Connect(task.Result);
                else delivery.End(task.Exception?.InnerException?.Message ?? "lookup failed");
            }, null);
        }, this, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>The server's client has gone on, or the peer is gone: what is not sent yet must not be. On its loop.</summary>
    /// <returns>Whether it could be called off.</returns>
    public bool Withdraw(string reason)
    {
        if (_state is not (DeliveryState.Waiting or DeliveryState.Connecting)) return false;
        End(reason);
        return true;
    }

    public void OnConnected(Connection connection)
    {
        // The key would let whoever reads it cancel what he likes. Peers take it in the clear, as PgBouncer sends it.
        _encryption = _host is null ? null : EncryptionRequest.Begin(_context.Engine.Tls.Servers, connection, Target!, _host);
        if (_encryption is null) Send(connection);
    }

    public void OnSecured(Connection connection) => Send(connection);

    private void Send(Connection connection)
    {
        _encryption = null;
        _connectTimer?.Cancel();
        _waitTimer?.Cancel();
        _state = DeliveryState.Sent;
        // The other side should close at once. If it never does, the server is not kept from its next client for ever.
        Limit(ref _waitTimer, _context.Engine.Settings.CancelWaitTimeout, "cancel_wait_timeout");
        var writer = _context.ToServer;
        writer.Clear();
        writer.BeginUntyped().Int32(ProtocolCode.CancelRequest).Bytes(_key).End();
        connection.Send(writer.Written);
        writer.Clear();
    }

    public ReadAnswer OnReadable(Connection connection, Readiness readiness) => ReadAnswer.Read;

    public int OnReceived(Connection connection, Span<byte> data)
    {
        switch (_encryption?.Receive(connection, data))
        {
            case EncryptionAnswer.Plain:
                Send(connection);
                break;
            case EncryptionAnswer.Failed:
                End(_encryption.Error!.Message);
                break;
        }
        return data.Length;
    }

    public void OnDrained(Connection connection)
    {
    }

    public void OnMoved(Connection connection)
    {
    }

    public void OnClosed(Connection connection, Exception? error) =>
        End(_state == DeliveryState.Sent ? "successfully sent cancel request" : error?.Message ?? "connection closed");

    private static Func<ValueTask<EndPoint>> Known(EndPoint target) => () => ValueTask.FromResult(target);

    private static byte[] KeyOf(ServerSession server) => CancelKey.Join(server.BackendPid, server.BackendKey);

    private void Enter()
    {
        _request?.OnDelivery(this);
        Limit(ref _waitTimer, _context.Engine.Settings.CancelWaitTimeout, "cancel_wait_timeout");
        if (_queue is null || _queue.Enter(this)) Begin();
    }

    private void Connect(EndPoint target)
    {
        Target = target;
        Connection = _context.Loop.Connect(target, _context.Engine.SocketOptions, this);
    }

    private void Limit(ref LoopTimer? timer, TimeSpan limit, string reason)
    {
        if (limit > TimeSpan.Zero)
        {
            timer = _context.Loop.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, static state =>
            {
                var (delivery, why) = ((CancelDelivery, string))state!;
                delivery.End(why);
            }, (this, reason));
        }
    }

    private void End(string reason)
    {
        if (_state == DeliveryState.Ended) return;
        _state = DeliveryState.Ended;
        _waitTimer?.Cancel();
        _connectTimer?.Cancel();
        Connection?.Close();
        _queue?.Leave(this);
        _server?.OnCancelEnded(this);
        _request?.Finish(reason);
    }
}
