using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pooler.Engine.Advice;
using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Pooler.Engine.Console;
using Pooler.Engine.Encryption;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;

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

    /// <summary>
    /// Sockets that listen already, passed by a service manager: they take the place of listen_addr and unix_socket_dir.
    /// The engine owns them from its start on.
    /// </summary>
    public IReadOnlyList<Socket> PassedSockets { get; init; } = [];

    /// <summary>
    /// Told that another process, of which the id is given, has taken over: this one goes on with those clients only that
    /// could not move. Must not throw nor wait.
    /// </summary>
    public Action<int>? HandedOver { get; init; }

    /// <summary>Told the figures of each stats_period as a line of text; must not throw nor wait.</summary>
    public Action<string>? PeriodEnded { get; init; }

    /// <summary>How long the intervals of <see cref="PoolerEngine.History"/> are; <see cref="PoolerEngine.Advice"/> is looked for as often.</summary>
    public TimeSpan HistoryPeriod { get; init; } = TimeSpan.FromSeconds(5);
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
    private readonly ListeningSockets _sockets;
    private readonly AdviceMonitor _advice;
    private readonly HistoryRecorder _history;
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private readonly SettingChangeLog _settingChanges;
    private PoolerConfiguration _configuration;
    private int _stopping;

    /// <summary>Makes an engine; nothing runs before <see cref="Start()"/>.</summary>
    /// <exception cref="PoolerStartException">The I/O backend does not exist on this platform.</exception>
    public PoolerEngine(PoolerConfiguration configuration, EngineOptions options)
    {
        _configuration = configuration;
        _options = options;
        _settingChanges = new SettingChangeLog(options.TimeProvider);
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
        try
        {
            _core = new EngineCore(configuration, _loops.Loops, logger, options.TimeProvider) { PeriodEnded = options.PeriodEnded };
        }
        catch (TlsSetupException e)
        {
            throw new PoolerStartException($"TLS setup failed: {e.Setting}: {e.Message}", e);
        }
        _core.ConsoleFactory = new AdminConsole(this, _core).Open;
        _core.HoldAccepting = hold => _listener!.Suspend(hold);
        _listener = new Listener(_loops, _core.Accept, options.LoggerFactory.CreateLogger<Listener>());
        _sockets = new ListeningSockets(_listener, _core.Log);
        _advice = new AdviceMonitor(new AdviceSurvey(this, options.HistoryPeriod).Take, _core.Log);
        _core.Advice = () => _advice.Items;
        _history = new HistoryRecorder(() => EngineSnapshot.TakePools(_core), options.TimeProvider, options.HistoryPeriod, _core.Log) { Recorded = _advice.Look };
    }

    /// <summary>
    /// What this program calls itself, on the console and elsewhere: whoever replaces PgBouncer is asked for its version.
    /// </summary>
    public static string Version => ConsoleParameters.Version;

    /// <summary>The configuration of the moment, with what SET has changed.</summary>
    public PoolerConfiguration Configuration
    {
        get
        {
            lock (_lock) return _configuration;
        }
    }

    /// <summary>Where it listens, with the ports in use.</summary>
    public IReadOnlyList<EndPoint> ListenEndPoints => _sockets.EndPoints;

    /// <summary>Ends when the engine has shut down.</summary>
    public Task Completion => _completion.Task;

    internal EngineCore Core => _core;

    internal LoopGroup Group => _loops;

    /// <summary>Binds the listening sockets and begins to serve.</summary>
    /// <exception cref="PoolerStartException">An address cannot be bound, or none is given.</exception>
    public void Start() => Start(null);

    /// <summary>Binds the listening sockets and begins to serve.</summary>
    /// <param name="predecessor">A running process to take over from, with its sockets and clients.</param>
    /// <exception cref="PoolerStartException">
    /// An address cannot be bound, or none is given, or the running process does not hand over; it goes on then.
    /// </exception>
    public void Start(Predecessor? predecessor)
    {
        try
        {
            if (predecessor is not null && _options.PassedSockets.Count > 0) throw new PoolerStartException("cannot reboot under service manager");
            _sockets.Open(_configuration.Settings, _options.PassedSockets, predecessor);
            predecessor?.TakeOver(_core, _loops);
        }
        catch (Exception e)
        {
            // The files of the sockets are not ours, unless there was no process before.
            if (predecessor is null) _listener.Dispose();
            else _listener.Relinquish();
            if (e is HandoverException) throw new PoolerStartException($"the running process does not hand over, and goes on: {e.Message}", e);
            throw;
        }
        _loops.Start();
        _core.Start();
        _listener.Start();
        _history.Start();
        _core.Metrics.Start();
    }

    /// <summary>Why nothing can be handed over now; null when it can. The pooler's state would be lost by it.</summary>
    internal string? ObjectionToHandover() =>
        IsShuttingDown ? "pooler is shutting down"
        : StandsStill ? "already suspended/paused"
        : _core.Directory.Databases.Any(d => d.Paused) ? "cannot suspend with paused databases"
        : null;

    /// <summary>Tells whoever asks for a handover at once why there can be none now.</summary>
    /// <exception cref="AdministrationException">It cannot be done now.</exception>
    internal void CheckHandover()
    {
        if (ObjectionToHandover() is { } objection) throw new AdministrationException(objection);
        if (_core.IsHandingOver) throw new AdministrationException("another process is taking over already");
    }

    /// <summary>Begins to hand over to another process, on the connection of a console that has been freed for it.</summary>
    internal void BeginHandover(HandoverChannel channel)
    {
        // Both of two that have asked on different loops may have been told that there is no other.
        if (!_core.TryBeginHandover())
        {
            channel.Dispose();
            return;
        }
        new Thread(new Departure(this, channel).Run) { Name = "pooler-handover", IsBackground = true }.Start();
    }

    internal (EndPoint[] EndPoints, int[] Descriptors) ListeningDescriptors()
    {
        var sockets = _listener.Sockets;
        return ([.. sockets.Select(s => s.LocalEndPoint!)], [.. sockets.Select(s => (int)s.SafeHandle.DangerousGetHandle())]);
    }

    internal void OnHandedOver(int process)
    {
        _listener.Relinquish();
        _options.HandedOver?.Invoke(process);
    }

    internal Task EndAfterHandoverAsync() => EndAsync();

    /// <summary>Reads the configuration again. When it has errors, the old one stays.</summary>
    /// <param name="isCommand">Whether to log it as a command; a signal has a line of its own.</param>
    public ConfigurationResult Reload(bool isCommand = true)
    {
        if (_options.Reload is null) throw new AdministrationException("there is no configuration file to read again");
        if (isCommand) _core.Log.Command("RELOAD");
        lock (_lock)
        {
            var result = _options.Reload(_configuration);
            if (result.Configuration is not { } configuration) return result;
            try
            {
                Use(configuration);
                return result;
            }
            catch (TlsSetupException e)
            {
                return new ConfigurationResult
                {
                    Configuration = null,
                    Errors = [new ConfigurationIssue(null, $"TLS setup failed: {e.Setting}: {e.Message}")],
                    Warnings = result.Warnings,
                };
            }
        }
    }

    /// <summary>Changes settings in memory (SET).</summary>
    /// <returns>
    /// False when TLS cannot be made of the settings as they are now, as between a new certificate and its new key: then
    /// connections use what they used before, until another change or reload succeeds.
    /// </returns>
    internal bool ChangeSettings(Func<PoolerSettings, PoolerSettings> change)
    {
        lock (_lock)
        {
            var configuration = _configuration;
            var before = configuration.Settings;
            var settings = change(before);
            _configuration = configuration with { Settings = settings, Tls = null };
            if ((before.AuthType, before.AuthHbaFile, before.AuthIdentFile) != (settings.AuthType, settings.AuthHbaFile, settings.AuthIdentFile))
            {
                _core.Access = AccessRules.Load(settings);
                foreach (var issue in _core.Access.Issues) _core.Log.ConfigurationIssue(issue.ToString());
                _configuration = _configuration with { Access = _core.Access };
            }
            _settingChanges.Note("SET", configuration, _configuration);
            _core.UseSettings(settings);
            _sockets.Use(settings);
            _options.SettingsChanged?.Invoke(settings);
            if (before.HasSameTls(settings)) return true;
            try
            {
                _core.UseTls(TlsContexts.Load(settings));
                return true;
            }
            catch (TlsSetupException e)
            {
                _core.Log.TlsSetupFailed(e.Setting, e.Message);
                return false;
            }
        }
    }

    /// <summary>Stops giving out servers, of one database or all; ends when they are closed.</summary>
    /// <exception cref="AdministrationException">Unknown database, or paused already.</exception>
    /// <inheritdoc cref="Reload" path="/param"/>
    public Task PauseAsync(string? database, CancellationToken cancellationToken, bool isCommand = true)
    {
        if (isCommand) _core.Log.Command(OnDatabase("PAUSE", database));
        return _core.Administration.PauseAsync(database, cancellationToken);
    }

    /// <summary>Whether a shutdown is under way.</summary>
    public bool IsShuttingDown => _core.RefusesLogins is not null;

    /// <summary>Whether PAUSE without a database, or SUSPEND, is in force.</summary>
    public bool StandsStill => _core.Administration.StandStill != StandStill.None;

    /// <summary>Whether SUSPEND is in force.</summary>
    public bool IsSuspended => _core.IsSuspended;

    /// <summary>Stops reading from everybody; ends when all that was to be sent is sent.</summary>
    /// <exception cref="AdministrationException">Paused or suspended already.</exception>
    public Task SuspendAsync(CancellationToken cancellationToken)
    {
        _core.Log.Command("SUSPEND");
        return _core.Administration.SuspendAsync(cancellationToken);
    }

    /// <summary>Undoes a pause.</summary>
    /// <exception cref="AdministrationException">Unknown database, or not paused.</exception>
    /// <inheritdoc cref="Reload" path="/param"/>
    public void Resume(string? database, bool isCommand = true)
    {
        if (isCommand) _core.Log.Command(OnDatabase("RESUME", database));
        _core.Administration.Resume(database);
    }

    /// <summary>Replaces every server as it comes free.</summary>
    /// <exception cref="AdministrationException">Unknown database.</exception>
    public void Reconnect(string? database)
    {
        _core.Log.Command(OnDatabase("RECONNECT", database));
        _core.Administration.Reconnect(database);
    }

    /// <summary>Turns new clients away from now on; the first step of a shutdown.</summary>
    internal void RefuseLogins() =>
        _core.RefusesLogins = PgError.Fatal(SqlState.CannotConnectNow, "pooler is shutting down");

    /// <summary>What a shutdown that waits changes at once: its answer may only go when it holds.</summary>
    internal void BeginShutdown(ShutdownMode mode)
    {
        RefuseLogins();
        _core.Administration.BeginDrain(mode);
    }

    /// <summary>Ends the engine. A second call with <see cref="ShutdownMode.Immediate"/> overtakes a waiting one.</summary>
    /// <inheritdoc cref="Reload" path="/param"/>
    public async Task ShutdownAsync(ShutdownMode mode, bool isCommand = true)
    {
        if (isCommand)
        {
            _core.Log.Command(mode switch
            {
                ShutdownMode.WaitForServers => "SHUTDOWN WAIT_FOR_SERVERS",
                ShutdownMode.WaitForClients => "SHUTDOWN WAIT_FOR_CLIENTS",
                _ => "SHUTDOWN",
            });
        }
        RefuseLogins();
        if (mode != ShutdownMode.Immediate)
        {
            // The Unix sockets stay, for the console only: an administrator may want to see what it waits for.
            _listener.CloseTcp();
            await Task.WhenAny(_core.Administration.DrainAsync(mode), _completion.Task).ConfigureAwait(false);
            if (Volatile.Read(ref _stopping) == 0) _core.Log.Drained(mode == ShutdownMode.WaitForClients ? "client" : "server");
        }
        await EndAsync().ConfigureAwait(false);
    }

    private async Task EndAsync()
    {
        RefuseLogins();
        _core.RefusesConsoles = true;
        var silently = _core is { HasShownDescriptors: true, IsSuspended: true };
        if (silently) _listener.Relinquish();
        else _listener.Close();
        if (Interlocked.Exchange(ref _stopping, 1) == 0)
        {
            if (silently) AbandonAll();
            else await SayGoodbyeAsync().ConfigureAwait(false);
            // Joins the loops' threads: must not run on one of them.
            await Task.Run(_loops.Stop).ConfigureAwait(false);
            _history.Dispose();
            _core.Metrics.Stop();
            _completion.TrySetResult();
        }
        await _completion.Task.ConfigureAwait(false);
    }

    /// <summary>Finds out whether a server connection can be had, opening one if there is none.</summary>
    public Task<HealthReport> CheckHealthAsync(CancellationToken cancellationToken) =>
        new HealthProbe(_core).RunAsync(cancellationToken);

    /// <summary>Ends when every event loop has taken a turn: none of them hangs.</summary>
    public Task PulseAsync() => Task.WhenAll(_core.Loops.Select(loop =>
    {
        var turned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(static state => ((TaskCompletionSource)state!).SetResult(), turned);
        return turned.Task;
    }));

    /// <summary>Disconnects a client, as the console's KILL_CLIENT does.</summary>
    /// <param name="id">Column id of SHOW CLIENTS.</param>
    /// <exception cref="AdministrationException">There is no such client.</exception>
    public Task KillClientAsync(long id)
    {
        _core.Log.Command($"KILL_CLIENT {id}");
        return _core.Administration.KillClientAsync(id);
    }

    /// <summary>When it began to serve.</summary>
    public DateTimeOffset StartedAt => _core.StartedAt;

    /// <summary>How many event loops it has.</summary>
    public int LoopCount => _loops.Loops.Count;

    /// <summary>What drives them.</summary>
    public LoopBackend LoopBackend => _loops.Backend;

    /// <summary>What SET and RELOAD have changed since the start, newest first; the last hundred changes.</summary>
    public IReadOnlyList<SettingChange> SettingChanges => _settingChanges.Changes;

    /// <summary>The figures of the moment, for metrics.</summary>
    public EngineSnapshot Snapshot() => EngineSnapshot.Take(_core);

    /// <summary>All metrics, as the meter and /metrics tell them.</summary>
    public PoolerMetrics Metrics => _core.Metrics;

    /// <summary>The hosts of all databases, as in SHOW HOSTS.</summary>
    public IReadOnlyList<HostSnapshot> Hosts() => EngineSnapshot.TakeHosts(_core);

    /// <summary>What each pool did in the last minutes, sorted by database and user.</summary>
    public IReadOnlyList<PoolHistory> History() => _history.Read();

    /// <summary>The clients that hold servers now, those that have held theirs longest first.</summary>
    /// <param name="mayShowValues">False for readers who are not to see values even with log_query_parameters.</param>
    public IReadOnlyList<HeldServer> HeldServers(bool mayShowValues = true) => Pooler.Engine.Telemetry.HeldServers.Read(_core, mayShowValues);

    /// <summary>The slowest waits and queries of the last minutes, slowest first.</summary>
    /// <param name="mayShowValues">As for <see cref="HeldServers"/>.</param>
    public IReadOnlyList<SlowRequest> SlowRequests(bool mayShowValues = true) => _core.SlowRequests.Read(mayShowValues);

    /// <summary>What could be better, from the live figures; warnings first.</summary>
    public IReadOnlyList<AdviceItem> Advice() => _advice.Items;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await ShutdownAsync(ShutdownMode.Immediate, isCommand: false).ConfigureAwait(false);
        _listener.Dispose();
        _core.Metrics.Dispose();
    }

    private void Use(PoolerConfiguration configuration)
    {
        // First, as it may fail: then nothing has changed.
        var tls = configuration.Tls ?? TlsContexts.Load(configuration.Settings);
        _settingChanges.Note("RELOAD", _configuration, configuration);
        _configuration = configuration;
        _core.Access = configuration.Access;
        _core.Apply(configuration);
        _sockets.Use(configuration.Settings);
        _core.Cancels.Peers.Apply(configuration.Peers);
        _core.UseTls(tls);
        _options.SettingsChanged?.Invoke(configuration.Settings);
    }

    private static string OnDatabase(string command, string? database) => database is null ? command : $"{command} '{database}'";

    /// <summary>Another process has the sockets: no word to anybody.</summary>
    private void AbandonAll()
    {
        using var freeze = new LoopFreeze(_core.Loops, TimeSpan.FromSeconds(5));
        foreach (var client in _core.Clients.Where(c => c.CanBeHandedOver)) client.Connection.Abandon();
        foreach (var server in _core.Servers.Where(s => s.CanBeHandedOver)) server.Connection!.Abandon();
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
}
