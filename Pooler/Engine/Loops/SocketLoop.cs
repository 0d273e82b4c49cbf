using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Loops;

/// <summary>
/// The portable loop: the same thread and the same contract, told by completions of <see cref="Socket"/> operations
/// instead of by the kernel.
/// </summary>
internal sealed class SocketLoop(int index, TimeProvider timeProvider, ConnectionTable table, ILogger logger)
    : LoopThread(index, timeProvider, table, logger)
{
    private readonly object _gate = new();
    private bool _awake;

    public override Connection Adopt(Socket socket, IConnectionHandler handler)
    {
        var connection = SocketConnection.Adopt(this, socket);
        connection.Handler = handler;
        return connection;
    }

    public override Connection Restore(int descriptor, IConnectionHandler? handler, ReadOnlySpan<byte> kept, ReadOnlySpan<byte> pending)
    {
        var connection = SocketConnection.Adopt(this, new Socket(new SafeSocketHandle(descriptor, ownsHandle: true)));
        if (handler is not null)
            connection.Handler = handler;
        connection.Preload(kept, pending);
        return connection;
    }

    public override Connection Connect(EndPoint endPoint, SocketOptions options, IConnectionHandler handler) =>
        SocketConnection.Connect(this, endPoint, options, handler);

    protected override LoopConnection Adopt(in AcceptedSocket socket) => SocketConnection.Adopt(this, socket.Socket!);

    protected override void Wake()
    {
        lock (_gate)
        {
            _awake = true;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>All events come as posted work, which the turn runs after this.</summary>
    protected override void WaitAndDispatch(long microseconds)
    {
        var timeout = microseconds < 0 ? -1 : (int)Math.Min(int.MaxValue, (microseconds + 999) / 1000);
        lock (_gate)
        {
            if (!_awake && timeout != 0)
                Monitor.Wait(_gate, timeout);
            _awake = false;
        }

        RefreshNow();
    }

    protected override void Release()
    {
    }
}
