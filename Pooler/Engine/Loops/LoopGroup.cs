using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Loops;

/// <summary>Which system interface the loops use: the setting <c>io_backend</c>.</summary>
public enum LoopBackend
{
    /// <summary>Epoll on Linux, sockets elsewhere.</summary>
    Auto,

    /// <summary>Linux' epoll, called directly.</summary>
    Epoll,

    /// <summary><see cref="System.Net.Sockets.Socket"/>, on every platform.</summary>
    Sockets,
}

/// <summary>The event loops of the process, each with a thread of its own.</summary>
public sealed class LoopGroup : IDisposable
{
    private readonly LoopThread[] _loops;

    /// <summary>Makes the loops, without starting them: connections and work may be given to them before.</summary>
    /// <param name="backend">The system interface.</param>
    /// <param name="count">How many (<c>event_loops</c>); 0: one per core, and one on one or two cores, see remarks.</param>
    /// <param name="timeProvider">The clock of <see cref="EventLoop.Now"/> and of the timers.</param>
    /// <param name="logger">Hears of handlers that throw.</param>
    /// <remarks>
    /// On two cores a second loop would take the core that PostgreSQL and the clients need: measured, it gains nothing.
    /// </remarks>
    /// <exception cref="PlatformNotSupportedException">Epoll on anything but Linux.</exception>
    public LoopGroup(LoopBackend backend, int count, TimeProvider timeProvider, ILogger logger)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count == 0)
            count = Environment.ProcessorCount <= 2 ? 1 : Environment.ProcessorCount;
        if (backend == LoopBackend.Auto)
            backend = OperatingSystem.IsLinux() ? LoopBackend.Epoll : LoopBackend.Sockets;
        if (backend == LoopBackend.Epoll && !OperatingSystem.IsLinux())
            throw new PlatformNotSupportedException("The epoll backend needs Linux; use io_backend = sockets.");

        Backend = backend;
        var table = new ConnectionTable();
        _loops = new LoopThread[count];
        for (var i = 0; i < count; i++)
        {
            _loops[i] = backend == LoopBackend.Epoll
                ? new EpollLoop(i, timeProvider, table, logger)
                : new SocketLoop(i, timeProvider, table, logger);
        }
    }

    /// <summary>The interface in use, never <see cref="LoopBackend.Auto"/>.</summary>
    public LoopBackend Backend { get; }

    /// <summary>The loops; a loop's place is its <see cref="EventLoop.Index"/>.</summary>
    public IReadOnlyList<EventLoop> Loops => _loops;

    /// <summary>Starts the threads, named <c>pooler-loop-0</c> and so on.</summary>
    public void Start()
    {
        foreach (var loop in _loops)
            loop.Start($"pooler-loop-{loop.Index}");
    }

    /// <summary>
    /// Ends the threads and closes all connections; their handlers hear nothing. Not from a loop's thread. Idempotent.
    /// </summary>
    public void Stop()
    {
        foreach (var loop in _loops)
            loop.RequestStop();
        foreach (var loop in _loops)
            loop.Join();

        // Only now: until the last thread ended, one loop could still take connections from, or give them to, another.
        foreach (var loop in _loops)
            loop.CloseAll();
    }

    /// <inheritdoc cref="Stop"/>
    public void Dispose() => Stop();

    /// <summary>The loop with the fewest clients; counts one more for it.</summary>
    internal LoopThread ChooseForClient()
    {
        var chosen = _loops[0];
        foreach (var loop in _loops)
        {
            if (loop.AcceptedConnections < chosen.AcceptedConnections)
                chosen = loop;
        }

        chosen.CountAccepted(1);
        return chosen;
    }
}
