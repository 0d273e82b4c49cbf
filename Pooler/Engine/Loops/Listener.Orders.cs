using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Loops;

// What can be asked of a running listener. The accepting thread does it, between two accepts.
public sealed partial class Listener
{
    private readonly Queue<(Action Action, TaskCompletionSource Done)> _orders = new();

    /// <summary>
    /// Leaves clients in the backlog, or accepts them again. Connections accepted before the call are with their loops
    /// when it returns. Not from the accepting thread.
    /// </summary>
    public void Suspend(bool suspended) => Order(() => _suspended = suspended);

    /// <summary>Stops listening on IP addresses, and goes on with Unix sockets. Not from the accepting thread.</summary>
    public void CloseTcp() => Order(() =>
    {
        for (var i = _sockets.Count - 1; i >= 0; i--)
        {
            if (_sockets[i].AddressFamily == AddressFamily.Unix)
                continue;
            _sockets[i].Dispose();
            _sockets.RemoveAt(i);
        }
    });

    /// <summary>The sockets that it listens on, for another process to listen on them, too.</summary>
    internal IReadOnlyList<Socket> Sockets
    {
        get
        {
            lock (_closing) return [.. _sockets];
        }
    }

    /// <summary>
    /// Takes over a socket that another process has made, with the file of its Unix socket. Before <see cref="Start"/>.
    /// </summary>
    /// <exception cref="SocketException">The operating system refuses.</exception>
    /// <exception cref="SocketOptionException">The operating system refuses an option.</exception>
    internal EndPoint Inherit(Socket listening, ListenOptions options)
    {
        var endPoint = Adopt(listening, options);
        // Another backlog may be asked for by now.
        listening.Listen(options.Backlog);
        if (UnixAddress.FileOf(endPoint) is { } path)
        {
            _paths.Add(path);
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(path, options.UnixMode);
        }

        return endPoint;
    }

    /// <summary>
    /// Stops listening because another process listens on the sockets now: their files stay. Not from the accepting thread.
    /// </summary>
    internal void Relinquish()
    {
        lock (_closing)
        {
            _paths.Clear();
            foreach (var socket in _sockets)
            {
                // Disposing a Socket deletes the file that it was bound to.
                GC.SuppressFinalize(socket);
                _relinquished.Add(socket.SafeHandle);
            }

            _sockets.Clear();
        }

        Close();
        foreach (var handle in _relinquished)
            handle.Dispose();
        _relinquished.Clear();
    }

    private readonly List<SafeSocketHandle> _relinquished = [];

    private void Order(Action action)
    {
        TaskCompletionSource done;
        lock (_closing)
        {
            if (_stopping || _wake is null)
            {
                action();
                return;
            }

            done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (_orders)
                _orders.Enqueue((action, done));
            _wake.Send([0]);

            // Inside the lock, as is the wait in Close: the thread ends after it has done what it was asked to do.
            done.Task.GetAwaiter().GetResult();
        }
    }

    private void RunOrders()
    {
        Span<byte> datagram = stackalloc byte[1];
        while (true)
        {
            (Action Action, TaskCompletionSource Done) order;
            lock (_orders)
            {
                if (!_orders.TryDequeue(out order))
                    return;
            }

            // One datagram per order.
            _wake!.Receive(datagram);
            try
            {
                order.Action();
                order.Done.SetResult();
            }
            catch (Exception exception)
            {
                order.Done.SetException(exception);
            }
        }
    }
}
