using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Loops;

/// <summary>How a listening socket is set up. Units as in the ini settings.</summary>
public sealed record ListenOptions
{
    /// <summary><c>listen_backlog</c>, connections.</summary>
    public int Backlog { get; init; } = 128;

    /// <summary><c>tcp_defer_accept</c>, seconds (Linux): the client is announced only once it has sent something. 0: off.</summary>
    public int DeferAccept { get; init; }

    /// <summary><c>so_reuseport</c>: other sockets that ask for the same may listen on the same TCP port.</summary>
    public bool ReusePort { get; init; }

    /// <summary><c>unix_socket_mode</c>.</summary>
    public UnixFileMode UnixMode { get; init; } = (UnixFileMode)0b111_111_111;

    /// <summary>For the accepted connections.</summary>
    public SocketOptions Accepted { get; init; } = SocketOptions.Default;
}

/// <summary>
/// All listening sockets, and the one thread that accepts for them and gives each client to the loop with the fewest.
/// </summary>
/// <param name="group">The loops.</param>
/// <param name="accepted">
/// Called on the chosen loop's thread with each new connection; returns its handler, or null to close it. It may send,
/// and close after sending.
/// </param>
/// <param name="logger">Hears when accepting fails.</param>
public sealed partial class Listener(LoopGroup group, Func<Connection, IConnectionHandler?> accepted, ILogger<Listener> logger)
    : IDisposable
{
    /// <summary>How long to leave clients in the backlog when descriptors or memory have run out, microseconds.</summary>
    private const int BackOff = 100_000;

    private readonly Lock _closing = new();
    private readonly List<Socket> _sockets = [];
    private readonly List<string> _paths = [];
    private Socket? _wake;
    private Thread? _thread;
    private volatile bool _stopping;
    private bool _suspended;
    private bool _outOfResources;
    private bool _outOfResourcesLogged;

    /// <summary>Begins to listen on an IP address or a Unix socket. Before <see cref="Start"/>.</summary>
    /// <param name="endPoint">The address; port 0 lets the system choose. A stale Unix socket of the same path is replaced.</param>
    /// <param name="options">Its set-up.</param>
    /// <returns>The address with the port in use.</returns>
    /// <exception cref="SocketException">The address is in use, or not ours.</exception>
    /// <exception cref="SocketOptionException">The operating system refuses an option.</exception>
    public EndPoint Listen(EndPoint endPoint, ListenOptions options)
    {
        if (_thread is not null)
            throw new InvalidOperationException("Listening sockets are added before the listener starts.");
        var path = UnixAddress.FileOf(endPoint);
        var isUnix = endPoint.AddressFamily == AddressFamily.Unix;
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, isUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (!isUnix)
                Prepare(socket, endPoint, options);
            else if (path is not null)
                RemoveStale(path);
            socket.Bind(endPoint);
            if (path is not null)
            {
                _paths.Add(path);
                if (!OperatingSystem.IsWindows())
                    File.SetUnixFileMode(path, options.UnixMode);
            }

            socket.Listen(options.Backlog);
            socket.Blocking = false;
        }
        catch (Exception)
        {
            socket.Dispose();
            throw;
        }

        _sockets.Add(socket);
        return socket.LocalEndPoint!;
    }

    /// <summary>
    /// Takes over a socket that listens already, whoever has made it. Its file, if it has one, stays when this closes.
    /// Before <see cref="Start"/>.
    /// </summary>
    /// <returns>Its address.</returns>
    /// <exception cref="SocketOptionException">The operating system refuses an option.</exception>
    public EndPoint Adopt(Socket listening, ListenOptions options)
    {
        if (_thread is not null)
            throw new InvalidOperationException("Listening sockets are added before the listener starts.");
        listening.Blocking = false;
        if (listening.AddressFamily != AddressFamily.Unix)
            Tune(listening, options);
        _sockets.Add(listening);
        return listening.LocalEndPoint!;
    }

    /// <summary>Changes what clients accepted from now on get. Any thread.</summary>
    /// <param name="before">The options so far.</param>
    /// <param name="after">The new ones; those that only binding heeds are left alone.</param>
    /// <exception cref="SocketOptionException">The operating system refuses an option; those behind it are as before.</exception>
    public void Change(ListenOptions before, ListenOptions after)
    {
        lock (_closing)
        {
            foreach (var socket in _sockets)
            {
                if (socket.AddressFamily == AddressFamily.Unix)
                    continue;
                after.Accepted.Replace(before.Accepted, socket);
                if (before.DeferAccept != after.DeferAccept)
                    SetDeferAccept(socket, after.DeferAccept);
            }
        }
    }

    /// <summary>Starts accepting.</summary>
    public void Start()
    {
        // A datagram to itself ends the wait: the one way that works with Socket.Select on every platform.
        _wake = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        _wake.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _wake.Connect(_wake.LocalEndPoint!);
        _thread = new Thread(Run) { Name = "pooler-accept", IsBackground = true };
        _thread.Start();
    }

    /// <summary>
    /// Stops listening and removes the Unix sockets' files. Accepted connections stay. Not from the accepting thread.
    /// Idempotent.
    /// </summary>
    public void Close()
    {
        // A second shutdown may overtake the first while that still waits for the thread.
        lock (_closing)
        {
            if (!_stopping && _wake is not null)
            {
                _stopping = true;
                _wake.Send([0]);
                _thread!.Join();
                _wake.Dispose();
            }

            _stopping = true;
            foreach (var socket in _sockets)
                socket.Dispose();
            _sockets.Clear();
            foreach (var path in _paths)
                File.Delete(path);
            _paths.Clear();
        }
    }

    /// <inheritdoc cref="Close"/>
    public void Dispose() => Close();

    private static void Prepare(Socket socket, EndPoint endPoint, ListenOptions options)
    {
        // Not by .NET's ReuseAddress, which also sets SO_REUSEPORT: two processes would share the port unasked. A port in
        // TIME_WAIT is no obstacle: .NET sets SO_REUSEADDR of TCP sockets when it binds them.
        if (options.ReusePort)
            SocketOptions.SetReusePort(socket);
        if (endPoint.AddressFamily == AddressFamily.InterNetworkV6)
            socket.DualMode = false; // listen_addr = * opens one socket per family
        Tune(socket, options);
    }

    private static void Tune(Socket socket, ListenOptions options)
    {
        // Accepted sockets inherit these on Linux (and most of them elsewhere), so that none of them costs a call per client.
        options.Accepted.ApplyTo(socket);
        if (options.DeferAccept > 0)
            SetDeferAccept(socket, options.DeferAccept);
    }

    private static void SetDeferAccept(Socket socket, int seconds)
    {
        if (OperatingSystem.IsLinux())
            SocketOptions.Set(socket, "tcp_defer_accept", Libc.IpProtoTcp, Libc.TcpDeferAccept, seconds);
    }

    /// <summary>Removes the socket file of a process that is gone: nobody answers on it.</summary>
    private static void RemoveStale(string path)
    {
        if (!File.Exists(path))
            return;

        // PostgreSQL's own, beside its socket.
        if (File.Exists(path + ".lock"))
            throw new SocketException((int)SocketError.AddressAlreadyInUse);
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException exception) when (exception.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
        }
        catch (SocketException)
        {
            // Not a socket, not permitted, or its backlog is full: binding fails and says so.
        }
    }

    private void Run()
    {
        var ready = new List<Socket>(_sockets.Count + 1);
        while (!_stopping)
        {
            ready.Clear();
            ready.Add(_wake!);
            if (!_outOfResources && !_suspended)
                ready.AddRange(_sockets);
            Socket.Select(ready, null, null, _outOfResources ? BackOff : -1);
            if (_stopping)
                return;
            if (_outOfResources && !_suspended)
                ready.AddRange(_sockets);
            _outOfResources = false;
            foreach (var socket in ready)
            {
                if (socket != _wake)
                    AcceptFrom(socket);
            }

            RunOrders();
        }
    }

    private void AcceptFrom(Socket listening)
    {
        try
        {
            while (TryAccept(listening, out var socket, out var error))
            {
                if (error == SocketError.Success)
                {
                    _outOfResourcesLogged = false;
                    var loop = group.ChooseForClient();
                    loop.Post(Adopt, new Handover(loop, socket, accepted));
                }
                else if (error is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
                {
                    _outOfResources = true;
                    if (!_outOfResourcesLogged)
                        LogOutOfResources(logger, error);
                    _outOfResourcesLogged = true;
                    return;
                }
                else
                {
                    // The client's own misfortune: reset before it was accepted, a network error (accept(2)), ...
                    LogAcceptFailed(logger, error);
                    return;
                }
            }
        }
        catch (Exception exception)
        {
            LogAcceptThrew(logger, exception);
            _outOfResources = true;
        }
    }

    /// <returns>False when nobody is waiting.</returns>
    private unsafe bool TryAccept(Socket listening, out AcceptedSocket socket, out SocketError error)
    {
        socket = default;
        error = SocketError.Success;
        if (group.Backend == LoopBackend.Epoll)
        {
            int descriptor;
            do
            {
                descriptor = Libc.accept4(
                    (int)listening.SafeHandle.DangerousGetHandle(), null, null, Libc.NonBlocking | Libc.CloseOnExec);
                error = descriptor < 0 ? Libc.ToSocketError(Marshal.GetLastPInvokeError()) : SocketError.Success;
            }
            while (error == SocketError.Interrupted);
            socket = new AcceptedSocket(descriptor, null);
        }
        else
        {
            // Asked first: the exception for "nobody there" is dear.
            if (!listening.Poll(0, SelectMode.SelectRead))
                return false;
            try
            {
                socket = new AcceptedSocket(-1, listening.Accept());
            }
            catch (SocketException exception)
            {
                error = exception.SocketErrorCode;
            }
        }

        return error != SocketError.WouldBlock;
    }

    private static void Adopt(object? state)
    {
        var (loop, socket, accepted) = (Handover)state!;
        loop.AdoptClient(socket, accepted);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "accept() failed: {Error}; raise the limit of open files (ulimit -n) or lower max_client_conn", EventName = "accept_out_of_files")]
    private static partial void LogOutOfResources(ILogger logger, SocketError error);

    [LoggerMessage(Level = LogLevel.Debug, Message = "accept() failed: {Error}", EventName = "accept_failed")]
    private static partial void LogAcceptFailed(ILogger logger, SocketError error);

    [LoggerMessage(Level = LogLevel.Error, Message = "accepting clients failed", EventName = "accepting_failed")]
    private static partial void LogAcceptThrew(ILogger logger, Exception exception);

    private sealed record Handover(LoopThread Loop, AcceptedSocket Socket, Func<Connection, IConnectionHandler?> Accepted);
}
