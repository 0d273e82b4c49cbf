using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine;

/// <summary>
/// What is listened on: the addresses of <c>listen_addr</c> and the socket in <c>unix_socket_dir</c>, or in their place the
/// sockets that a service manager has passed.
/// </summary>
internal sealed class ListeningSockets(Listener listener, EngineLog log)
{
    private readonly List<EndPoint> _endPoints = [];
    private ListenOptions _options = new();
    private Predecessor? _predecessor;

    /// <summary>Where it listens, with the ports in use.</summary>
    public IReadOnlyList<EndPoint> EndPoints => _endPoints;

    /// <summary>Begins to listen. As with PgBouncer it is enough when one of the TCP addresses can be had.</summary>
    /// <exception cref="PoolerStartException">There is nothing to listen on.</exception>
    public void Open(PoolerSettings settings, IReadOnlyList<Socket> passed, Predecessor? predecessor)
    {
        _options = OptionsOf(settings);
        _predecessor = predecessor;
        if (passed.Count > 0)
        {
            Adopt(settings, passed);
            return;
        }
        ListenOnAddresses(settings);
        ListenOnUnixSocket(settings);
        if (_endPoints.Count == 0)
        {
            throw new PoolerStartException(
                "nowhere to listen on: listen_addr and unix_socket_dir are both empty. Set listen_addr, for example to 127.0.0.1 or *.");
        }
    }

    /// <summary>Changed settings, for the clients accepted from now on.</summary>
    public void Use(PoolerSettings settings)
    {
        var options = OptionsOf(settings);
        if (options == _options) return;
        try
        {
            listener.Change(_options, options);
        }
        catch (Exception e) when (e is SocketOptionException or ObjectDisposedException)
        {
            log.SocketOptionFailed(e.Message);
        }
        _options = options;
    }

    private static ListenOptions OptionsOf(PoolerSettings settings) => new()
    {
        Backlog = settings.ListenBacklog,
        // Seconds. Long enough for a slow handshake, short enough for a port scan.
        DeferAccept = settings.TcpDeferAccept ? 45 : 0,
        ReusePort = settings.SoReuseport,
        UnixMode = (UnixFileMode)settings.UnixSocketMode,
        Accepted = EngineCore.SocketOptionsOf(settings),
    };

    private void Adopt(PoolerSettings settings, IReadOnlyList<Socket> passed)
    {
        if (settings.ListenAddr.Length > 0) log.IgnoredForPassedSockets("listen_addr");
        if (settings.UnixSocketDir.Length > 0 && settings.UnixSocketDir != new PoolerSettings().UnixSocketDir) log.IgnoredForPassedSockets("unix_socket_dir");
        foreach (var socket in passed)
        {
            try
            {
                var endPoint = listener.Adopt(socket, _options);
                _endPoints.Add(endPoint);
                log.SocketPassed(socket.SafeHandle.DangerousGetHandle(), UnixAddress.Text(endPoint));
            }
            catch (Exception e) when (e is SocketException or SocketOptionException)
            {
                throw new PoolerStartException($"failed to set up a socket passed from the service manager: {e.Message}", e);
            }
        }
    }

    private void ListenOnAddresses(PoolerSettings settings)
    {
        List<string>? failures = null;
        foreach (var address in AddressesOf(settings.ListenAddr))
        {
            // With a free port of the system's choice all addresses share the first one's.
            var port = settings.ListenPort == 0 && _endPoints is [IPEndPoint first, ..] ? first.Port : settings.ListenPort;
            var endPoint = new IPEndPoint(address, port);
            try
            {
                Listen(endPoint);
            }
            catch (Exception e) when (e is SocketException or SocketOptionException)
            {
                log.CannotListen(UnixAddress.Text(endPoint), e.Message);
                (failures ??= []).Add($"{endPoint}: {e.Message}");
            }
        }
        if (failures is not null && _endPoints.Count == 0)
            throw new PoolerStartException($"failed to listen on any address in listen_addr list: {settings.ListenAddr} ({string.Join("; ", failures)}; listen_addr, listen_port)");
    }

    private void ListenOnUnixSocket(PoolerSettings settings)
    {
        if (settings.UnixSocketDir.Length == 0 || OperatingSystem.IsWindows()) return;
        var port = settings.ListenPort > 0 ? settings.ListenPort
            : _endPoints.OfType<IPEndPoint>().FirstOrDefault()?.Port
            ?? throw new PoolerStartException("listen_port = 0 needs a TCP address to take the number from");
        var what = $"{settings.UnixSocketDir}/.s.PGSQL.{port}";
        try
        {
            Listen(UnixAddress.Of(settings.UnixSocketDir, port));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new PoolerStartException($"unix socket is in use, cannot continue: another process has {what} (unix_socket_dir, listen_port)", e);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new PoolerStartException($"failed to create unix socket {what}: {e.Message} (unix_socket_dir)", e);
        }
    }

    private void Listen(EndPoint endPoint)
    {
        var inherited = _predecessor?.TakeListening(endPoint);
        var bound = inherited is not null
            ? listener.Inherit(inherited, _options)
            : listener.Listen(endPoint, _options);
        _endPoints.Add(bound);
        if (inherited is null) log.Listening(UnixAddress.Text(bound));
        else log.SocketInherited(UnixAddress.Text(bound));
    }

    private static IEnumerable<IPAddress> AddressesOf(string list)
    {
        var addresses = new List<IPAddress>();
        foreach (var name in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (name == "*")
            {
                addresses.Add(IPAddress.Any);
                if (Socket.OSSupportsIPv6) addresses.Add(IPAddress.IPv6Any);
                continue;
            }
            addresses.AddRange(Resolve(name));
        }
        // "localhost, 127.0.0.1" is no reason for a warning.
        return addresses.Distinct();
    }

    private static IPAddress[] Resolve(string name)
    {
        if (IPAddress.TryParse(name, out var address)) return [address];
        try
        {
            return Dns.GetHostAddresses(name);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            throw new PoolerStartException($"listen_addr: could not translate host name \"{name}\" to address: {e.Message}", e);
        }
    }
}
