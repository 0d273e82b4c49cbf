using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>
/// Carries a client's cancel request to the backend that works for it. The server is kept from other clients until the
/// backend's postmaster has taken the request (it closes the connection then), or cancel_wait_timeout has passed.
/// </summary>
internal sealed class CancelSession : IConnectionHandler
{
    private readonly LoopContext _context;
    private readonly ServerSession _server;
    private readonly Action _onEnded;
    private LoopTimer? _timer;
    private Connection? _connection;
    private bool _ended;

    private CancelSession(LoopContext context, ServerSession server, Action onEnded)
    {
        _context = context;
        _server = server;
        _onEnded = onEnded;
    }

    /// <summary>Begins, on the loop of the server.</summary>
    public static void Start(LoopContext context, ServerSession server, Action onEnded)
    {
        var cancel = new CancelSession(context, server, onEnded);
        server.OnCancelBegun();
        cancel._connection = context.Loop.Connect(server.Target!, context.Engine.SocketOptions, cancel);
        var limit = context.Engine.Settings.CancelWaitTimeout;
        if (limit > TimeSpan.Zero)
            cancel._timer = context.Loop.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, static state => ((CancelSession)state!).End(), cancel);
    }

    public void OnConnected(Connection connection)
    {
        var writer = _context.ToServer;
        writer.Clear();
        writer.CancelRequest(_server.BackendPid, _server.BackendKey);
        connection.Send(writer.Written);
        writer.Clear();
    }

    public ReadAnswer OnReadable(Connection connection, Readiness readiness) => ReadAnswer.Read;

    public int OnReceived(Connection connection, Span<byte> data) => data.Length;

    public void OnDrained(Connection connection)
    {
    }

    public void OnMoved(Connection connection)
    {
    }

    public void OnClosed(Connection connection, Exception? error) => End();

    private void End()
    {
        if (_ended) return;
        _ended = true;
        _timer?.Cancel();
        _connection!.Close();
        _server.OnCancelEnded();
        _onEnded();
    }
}
