using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pooler.Engine.Configuration;
using Pooler.Engine.Console;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine;

/// <summary>What the engine needs from the process around it.</summary>
public sealed record EngineOptions
{
    /// <summary>Where the engine logs to.</summary>
    public required ILoggerFactory LoggerFactory { get; init; }

    /// <summary>The clock of all timers and statistics.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Reads the configuration again, given the one that runs; null when there is nothing to read again.</summary>
    public Func<PoolerConfiguration, ConfigurationResult>? Reload { get; init; }

    /// <summary>Told the settings after a reload or SET; must not throw.</summary>
    public Action<PoolerSettings>? SettingsChanged { get; init; }

    /// <summary>Told the figures of each stats_period as a line of text; must not throw nor wait.</summary>
    public Action<string>? PeriodEnded { get; init; }
}

/// <summary>The engine cannot start: its message says why and what to change.</summary>
public sealed class PoolerStartException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Whether the pooler can do its work.</summary>
/// <param name="IsHealthy">A server connection can be had.</param>
/// <param name="Description">What was found, for people.</param>
public sealed record HealthReport(bool IsHealthy, string Description);

/// <summary>
/// The pool as a whole: listens, pools, answers administrators. One per process as a rule; several do not disturb each
/// other. All members may be called from any thread.
/// </summary>
public sealed class PoolerEngine : IAsyncDisposable
{
    private readonly EngineOptions _options;
    private readonly LoopGroup _loops;
    private readonly Listener _listener;
    private readonly EngineCore _core;
    private readonly List<EndPoint> _endPoints = [];
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private PoolerConfiguration _configuration;
    private int _stopping;

    /// <summary>Makes an engine; nothing runs before <see cref="Start"/>.</summary>
    /// <exception cref="PoolerStartException">The I/O backend does not exist on this platform.</exception>
    public PoolerEngine(PoolerConfiguration configuration, EngineOptions options)
    {
        _configuration = configuration;
        _options = options;
        var settings = configuration.Settings;
        var logger = options.LoggerFactory.CreateLogger("Pooler");
        var backend = settings.IoBackend switch
        {
            "epoll" => LoopBackend.Epoll,
            "sockets" => LoopBackend.Sockets,
            _ => LoopBackend.Auto,
        };
        try
        {
            _loops = new LoopGroup(backend, settings.EventLoops, options.TimeProvider, logger);
        }
        catch (PlatformNotSupportedException e)
        {
            throw new PoolerStartException(e.Message, e);
        }
        _core = new EngineCore(configuration, _loops.Loops, logger, options.TimeProvider) { PeriodEnded = options.PeriodEnded };
        _core.ConsoleFactory = new AdminConsole(this, _core).Open;
        _listener = new Listener(_loops, _core.Accept, options.LoggerFactory.CreateLogger<Listener>());
    }

    /// <summary>The configuration of the moment, with what SET has changed.</summary>
    public PoolerConfiguration Configuration
    {
        get
        {
            lock (_lock) return _configuration;
        }
    }

    /// <summary>Where it listens, with the ports in use.</summary>
    public IReadOnlyList<EndPoint> ListenEndPoints => _endPoints;

    /// <summary>Ends when the engine has shut down.</summary>
    public Task Completion => _completion.Task;

    internal EngineCore Core => _core;

    /// <summary>Binds the listening sockets and begins to serve.</summary>
    /// <exception cref="PoolerStartException">An address cannot be bound, or none is given.</exception>
    public void Start()
    {
        try
        {
            foreach (var endPoint in Addresses()) Listen(endPoint);
            ListenOnUnixSocket();
        }
        catch (Exception)
        {
            _listener.Dispose();
            throw;
        }
        if (_endPoints.Count == 0)
        {
            throw new PoolerStartException(
                "nowhere to listen: listen_addr and unix_socket_dir are both empty. Set listen_addr, for example to 127.0.0.1 or *.");
        }
        _loops.Start();
        _core.Start();
        _listener.Start();
        foreach (var endPoint in _endPoints) _core.Log.Listening(UnixAddress.Text(endPoint));
    }

    /// <summary>Reads the configuration again. When it has errors, the old one stays.</summary>
    public ConfigurationResult Reload()
    {
        if (_options.Reload is null) throw new AdministrationException("there is no configuration file to read again");
        _core.Log.Command("RELOAD");
        lock (_lock)
        {
            var result = _options.Reload(_configuration);
            if (result.Configuration is { } configuration) Use(configuration);
            return result;
        }
    }

    /// <summary>Changes settings in memory (SET).</summary>
    internal void ChangeSettings(Func<PoolerSettings, PoolerSettings> change)
    {
        lock (_lock)
        {
            _configuration = _configuration with { Settings = change(_configuration.Settings) };
            _core.UseSettings(_configuration.Settings);
            _options.SettingsChanged?.Invoke(_configuration.Settings);
        }
    }

    /// <summary>Stops giving out servers, of one database or all; ends when they are closed.</summary>
    /// <exception cref="AdministrationException">Unknown database, or paused already.</exception>
    public Task PauseAsync(string? database, CancellationToken cancellationToken)
    {
        _core.Log.Command("PAUSE");
        return _core.Administration.PauseAsync(database).WaitAsync(cancellationToken);
    }

    /// <summary>Undoes a pause.</summary>
    /// <exception cref="AdministrationException">Unknown database, or not paused.</exception>
    public void Resume(string? database)
    {
        _core.Log.Command("RESUME");
        _core.Administration.Resume(database);
    }

    /// <summary>Replaces every server as it comes free.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void Reconnect(string? database)
    {
        _core.Log.Command("RECONNECT");
        _core.Administration.Reconnect(database);
    }

    /// <summary>Turns new clients away from now on; the first step of a shutdown.</summary>
    internal void RefuseLogins() =>
        _core.RefusesLogins = PgError.Fatal(SqlState.CannotConnectNow, "the pooler is shutting down");

    /// <summary>Ends the engine. A second call with <see cref="ShutdownMode.Immediate"/> overtakes a waiting one.</summary>
    public async Task ShutdownAsync(ShutdownMode mode)
    {
        _core.Log.Command($"SHUTDOWN ({mode})");
        RefuseLogins();
        _listener.Close();
        if (mode != ShutdownMode.Immediate)
            await Task.WhenAny(_core.Administration.DrainAsync(mode), _completion.Task).ConfigureAwait(false);
        if (Interlocked.Exchange(ref _stopping, 1) == 0)
        {
            await SayGoodbyeAsync().ConfigureAwait(false);
            // Joins the loops' threads: must not run on one of them.
            await Task.Run(_loops.Stop).ConfigureAwait(false);
            _core.Telemetry.Dispose();
            _completion.TrySetResult();
        }
        await _completion.Task.ConfigureAwait(false);
    }

    /// <summary>Finds out whether a server connection can be had, opening one if there is none.</summary>
    public Task<HealthReport> CheckHealthAsync(CancellationToken cancellationToken) =>
        new HealthProbe(_core).RunAsync(cancellationToken);

    /// <summary>The figures of the moment, for metrics.</summary>
    public EngineSnapshot Snapshot() => EngineSnapshot.Take(_core);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await ShutdownAsync(ShutdownMode.Immediate).ConfigureAwait(false);
        _listener.Dispose();
    }

    private void Use(PoolerConfiguration configuration)
    {
        _configuration = configuration;
        _core.UseSettings(configuration.Settings);
        _core.Directory.Apply(configuration);
        _core.Cancels.Peers.Apply(configuration.Peers);
        _options.SettingsChanged?.Invoke(configuration.Settings);
    }

    private async Task SayGoodbyeAsync()
    {
        var error = PgError.Fatal(SqlState.AdminShutdown, "terminating connection because the pooler is shutting down");
        var goodbyes = _core.Loops.Select(loop =>
        {
            var said = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(_ =>
            {
                var context = _core.ContextOf(loop);
                foreach (var client in context.Clients.ToArray()) client.Kill(error);
                foreach (var login in context.Logins.ToArray()) login.Fail(error);
                foreach (var console in context.Consoles.ToArray()) console.Fail(error);
                said.SetResult();
            }, null);
            return said.Task;
        });
        // A loop that never started has nobody to say goodbye to.
        await Task.WhenAny(Task.WhenAll(goodbyes), Task.Delay(TimeSpan.FromSeconds(1), _options.TimeProvider)).ConfigureAwait(false);
        foreach (var pool in _core.Directory.Pools) pool.CloseServers("shutting down", markOthers: true);
    }

    private IEnumerable<EndPoint> Addresses()
    {
        var settings = _configuration.Settings;
        foreach (var name in settings.ListenAddr.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (name == "*")
            {
                yield return new IPEndPoint(IPAddress.Any, settings.ListenPort);
                if (Socket.OSSupportsIPv6) yield return new IPEndPoint(IPAddress.IPv6Any, settings.ListenPort);
                continue;
            }
            foreach (var address in Resolve(name)) yield return new IPEndPoint(address, settings.ListenPort);
        }
    }

    private static IPAddress[] Resolve(string name)
    {
        if (IPAddress.TryParse(name, out var address)) return [address];
        try
        {
            return Dns.GetHostAddresses(name);
        }
        catch (SocketException e)
        {
            throw new PoolerStartException($"listen_addr: could not translate host name \"{name}\" to address: {e.Message}", e);
        }
    }

    private void Listen(EndPoint endPoint)
    {
        var settings = _configuration.Settings;
        var port = ((IPEndPoint)endPoint).Port;
        // With a free port of the system's choice all addresses share the first one's.
        if (port == 0 && _endPoints.Count > 0) endPoint = new IPEndPoint(((IPEndPoint)endPoint).Address, ((IPEndPoint)_endPoints[0]).Port);
        Bind(endPoint, settings);
    }

    private void ListenOnUnixSocket()
    {
        var settings = _configuration.Settings;
        if (settings.UnixSocketDir.Length == 0 || OperatingSystem.IsWindows()) return;
        var port = settings.ListenPort > 0 ? settings.ListenPort
            : _endPoints.OfType<IPEndPoint>().FirstOrDefault()?.Port
            ?? throw new PoolerStartException("listen_port = 0 needs a TCP address to take the number from");
        Bind(new UnixDomainSocketEndPoint(Path.Combine(settings.UnixSocketDir, $".s.PGSQL.{port}")), settings);
    }

    private void Bind(EndPoint endPoint, PoolerSettings settings)
    {
        try
        {
            _endPoints.Add(_listener.Listen(endPoint, new ListenOptions
            {
                Backlog = settings.ListenBacklog,
                // PgBouncer's figure: long enough for a slow handshake, short enough for a port scan.
                DeferAccept = settings.TcpDeferAccept ? 45 : 0,
                UnixMode = (UnixFileMode)settings.UnixSocketMode,
                Accepted = EngineCore.SocketOptionsOf(settings),
            }));
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            var setting = endPoint is IPEndPoint ? "listen_addr, listen_port" : "unix_socket_dir";
            throw new PoolerStartException($"could not listen on {endPoint}: {e.Message} ({setting})", e);
        }
    }
}
