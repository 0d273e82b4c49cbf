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
