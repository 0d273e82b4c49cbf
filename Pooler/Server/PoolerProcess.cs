using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Server.Checks;
using Pooler.Server.Http;
using Pooler.Server.Logging;
using Pooler.Server.Unix;

namespace Pooler.Server;

/// <summary>The life of the process: from its configuration to its exit code.</summary>
internal sealed class PoolerProcess(CommandLine commandLine)
{
    private readonly ProcessConfiguration _sources = new(commandLine);
    private readonly SystemdNotifier _systemd = SystemdNotifier.FromEnvironment();
    private readonly CancellationTokenSource _ended = new();
    private LogWriter? _log;
    private PoolerEngine? _engine;
    private IHost? _host;
    private ProcessLog? _messages;
    private IReadOnlyList<Socket> _passedSockets = [];
    private IReadOnlyList<string> _urls = [];
    private ServerReview? _review;
    private Predecessor? _predecessor;
    private bool _hasHandedOver;
    private string _status = "";

    /// <summary>Runs until the engine has shut down. Returns the exit code: 1 when it could not start.</summary>
    public async Task<int> RunAsync()
    {
        var read = _sources.Read();
        if (read.Configuration is not { } configuration)
        {
            foreach (var error in read.Errors) Complain(LogLevel.Error, error.ToString());
            return Fail("the configuration has mistakes");
        }

        var settings = configuration.Settings;
        if (commandLine.DaemonChild && settings.PidFile.Length == 0) return Fail("daemon needs pidfile configured (-d)");

        UnixUser? user = null;
        if (settings.User is { } name && UnixUser.IsRoot && (user = UnixUser.Find(name)) is null)
            return Fail($"could not find user '{name}' to switch to (user, -u)");

        PidFile? pidFile = null;
        try
        {
            // Before anything is opened, made or removed by a name that others may have put a link behind. It also has to
            // be before the search for a running process, which lets in its own user only.
            user?.Become();
            _passedSockets = PassedSockets.Take();
            if (commandLine.Reboot) _predecessor = Predecessor.Find(settings);
            if (settings.PidFile.Length > 0 && _predecessor is null) pidFile = PidFile.Create(settings.PidFile);
            _log = new LogWriter(settings, Console(), TimeProvider.System);
        }
        catch (Win32Exception e)
        {
            return Fail($"cannot become user {user!.Name}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or PoolerStartException)
        {
            _predecessor?.Dispose();
            pidFile?.Dispose();
            return Fail(e.Message);
        }

        using (_log)
        using (pidFile)
        {
            return await RunAsync(configuration, read, user, pidFile);
        }
    }

    /// <summary>Reads the configuration, prints what is wrong with it, and returns the exit code.</summary>
    public async Task<int> CheckAsync()
    {
        var read = _sources.Read();
        foreach (var error in read.Errors) Print("error", error);
        if (read.Configuration is { } configuration)
        {
            foreach (var warning in ConfigurationReview.OfSettings(read)) Print("warning", warning);
            foreach (var warning in await ConfigurationReview.OfServersAsync(configuration, tellsUnasked: true, CancellationToken.None)) Print("warning", warning);
        }

        System.Console.WriteLine(read.Configuration is null ? "The configuration has mistakes." : "The configuration is good.");
        return read.Configuration is null ? 1 : 0;

        // As compilers do it, so that editors find the place.
        void Print(string severity, ConfigurationIssue issue) =>
            System.Console.Error.WriteLine($"{issue.Where ?? _sources.ConfigurationFile ?? "configuration"}: {severity}: {issue.Message}");
    }

    private async Task<int> RunAsync(PoolerConfiguration configuration, ConfigurationResult read, UnixUser? user, PidFile? pidFile)
    {
        _urls = HttpUrls.Find(configuration.Settings, Environment.GetEnvironmentVariable);
        using var host = PoolerHost.Build(
            _urls,
            _log!,
            services => new PoolerEngine(configuration, new EngineOptions
            {
                LoggerFactory = services.GetRequiredService<ILoggerFactory>(),
                TimeProvider = TimeProvider.System,
                Reload = Reload,
                SettingsChanged = UseSettings,
                PassedSockets = _passedSockets,
                HandedOver = OnHandedOver,
                // Not on the loop's thread: a service manager that is busy must not stop it.
                PeriodEnded = figures => ThreadPool.QueueUserWorkItem(_ => _systemd.Status(figures)),
            }));
        _messages = new ProcessLog(host.Services.GetRequiredService<ILoggerFactory>().CreateLogger("Pooler.Process"));
        foreach (var warning in ConfigurationReview.OfSettings(read)) _messages.Warning(warning.ToString());
        if (user is not null) _messages.RunningAs(user.Name);
        // PgBouncer refuses; containers and their one-user images are why this does not.
        else if (UnixUser.IsRoot) _messages.RunningAsRoot();
        if (pidFile is { ReplacedStale: true }) _messages.StalePidFile();
        if (DescriptorLimit.Describe(configuration) is { } limit) _messages.DescriptorLimit(limit);
        if (commandLine.DaemonChild && configuration.Settings is { LogFile: "", Syslog: false })
            _messages.NothingLogged();

        try
        {
            _engine = host.Services.GetRequiredService<PoolerEngine>();
            _host = host;
            if (commandLine.Reboot && _predecessor is null) _messages.NoOldProcess();
            var group = FindSocketGroup(configuration.Settings.UnixSocketGroup);
            _engine.Start(_predecessor);
            // From here on there is no way back for the process before: what fails now is reported, and is no reason to end.
            if (_predecessor is not null) pidFile = TakeOverPidFile(configuration.Settings.PidFile);
            if (group is not null) GiveSocketsTo(group, configuration.Settings.UnixSocketGroup);
            using var signals = new Signals(_engine, _messages, Stopping);
            if (!await TryStartAsync(host) && _predecessor is null)
            {
                await _engine.ShutdownAsync(ShutdownMode.Immediate);
                return 1;
            }

            _status = $"Listening on {string.Join(", ", _engine.ListenEndPoints.Select(Text).Concat(PoolerHost.Addresses(host)))}";
            _messages.Up(ProgramVersion.Text, RuntimeInformation.FrameworkDescription, _status);
            _systemd.Ready(_status);
            using var watchdog = _systemd.StartWatchdog(_engine.PulseAsync);
            if (commandLine.DaemonChild) Daemon.Release();
            _ = ReviewServersAsync(configuration);

            await _engine.Completion;
            await _ended.CancelAsync();
            if (_predecessor is not null) pidFile?.Dispose();
            Stopping("Stopped");
            await host.StopAsync();
            _messages.Ended();
            return 0;
        }
        catch (PoolerStartException e)
        {
            _messages.StartFailed(e.Message);
            return 1;
        }
        catch (Exception e)
        {
            _messages.Failed(e);
            return 1;
        }
    }

    /// <summary>The service goes on in another process: the manager must not think that it stops.</summary>
    private void Stopping(string status)
    {
        if (!_hasHandedOver) _systemd.Stopping(status);
    }

    private void OnHandedOver(int process)
    {
        _hasHandedOver = true;
        _systemd.MainProcess(process);
        // The other process listens on the same ports.
        _ = _host!.StopAsync();
    }

    private PidFile? TakeOverPidFile(string path)
    {
        try
        {
            return path.Length > 0 ? PidFile.TakeOver(path) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _messages!.PidFileFailed(e.Message);
            return null;
        }
    }

    private UnixGroup? FindSocketGroup(string name)
    {
        if (name.Length == 0 || _passedSockets.Count > 0) return null;
        return UnixGroup.Find(name) ?? throw new PoolerStartException($"could not find group '{name}' (unix_socket_group)");
    }

    private void GiveSocketsTo(UnixGroup group, string name)
    {
        foreach (var socket in SocketFiles())
        {
            if (group.Own(socket)) continue;
            var complaint = $"cannot give {socket} to group {name}: {Marshal.GetLastPInvokeErrorMessage()} (unix_socket_group)";
            if (_predecessor is null) throw new PoolerStartException(complaint);
            _messages!.SocketGroupFailed(complaint);
        }
    }

    private async Task<bool> TryStartAsync(IHost host)
    {
        try
        {
            // The process before is about to let go of the ports.
            for (var deadline = Environment.TickCount64 + 5000; _predecessor is not null && Environment.TickCount64 < deadline;)
            {
                if (HttpUrls.AreFree(_urls)) break;
                await Task.Delay(20);
            }
            await host.StartAsync();
            return true;
        }
        catch (Exception e) when (e is IOException or AddressInUseException or SocketException or FormatException or InvalidOperationException)
        {
            // Kestrel says which address it was; the cause behind it says nothing more.
            _messages!.HttpCannotListen(e.Message);
            return false;
        }
        catch (Exception e) when (_predecessor is not null)
        {
            // The clients of both processes are here now.
            _messages!.HttpFailed(e);
            return false;
        }
    }

    /// <summary>The files of our Unix sockets: neither abstract ones, which are no files, nor those of the service manager.</summary>
    private IEnumerable<string> SocketFiles() =>
        _passedSockets.Count > 0 ? [] : _engine!.ListenEndPoints.OfType<UnixDomainSocketEndPoint>().Select(e => e.ToString()).Where(name => name[0] != '@');

    /// <summary>Reads the configuration anew, whoever asked for it: a signal, the console or HTTP.</summary>
    private ConfigurationResult Reload(PoolerConfiguration running)
    {
        _systemd.Reloading();
        try
        {
            var result = _sources.Read(running);
            foreach (var error in result.Errors) _messages!.Error(error.ToString());
            if (result.Configuration is not { } configuration)
            {
                _messages!.ReloadFailed();
                return result;
            }

            foreach (var warning in ConfigurationReview.OfSettings(result)) _messages!.Warning(warning.ToString());
            _messages!.Reloaded();
            _ = ReviewServersAsync(configuration);
            return result;
        }
        finally
        {
            _systemd.Ready(_status);
        }
    }

    /// <summary>What the servers were last asked about, and what was to be said about it.</summary>
    private sealed record ServerReview((string Server, int? Connections)[] Demand, IReadOnlyList<ConfigurationIssue> Warnings);

    /// <summary>Beside the work: a server that is slow to answer must not keep anybody waiting.</summary>
    private async Task ReviewServersAsync(PoolerConfiguration configuration)
    {
        try
        {
            // Asking costs the servers a login each: once, unless a reload has changed what the pools may come to.
            var demand = ConnectionDemand.Of(configuration).Select(d => (d.Server, d.Connections)).ToArray();
            var review = _review;
            if (review is null || !review.Demand.SequenceEqual(demand))
                _review = review = new ServerReview(demand, await ConfigurationReview.OfServersAsync(configuration, tellsUnasked: false, _ended.Token));
            foreach (var warning in review.Warnings) _messages!.Warning(warning.ToString());
        }
        catch (OperationCanceledException)
        {
            // The process ends.
        }
        catch (Exception e)
        {
            _messages!.ServersNotReviewed(e);
        }
    }

    /// <summary>After a reload or the console's SET: the log is the part of the settings that is ours.</summary>
    private void UseSettings(PoolerSettings settings)
    {
        try
        {
            _log!.Apply(settings);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            _messages!.LogFileFailed(e.Message);
        }
    }

    /// <summary>
    /// With a file we stand in for PgBouncer, which logs to standard error. Without one we are a service among .NET
    /// services, whose hosts show standard output as the log and standard error as trouble.
    /// </summary>
    private LogConsole? Console() =>
        commandLine.Quiet || commandLine.DaemonChild ? null
        : _sources.ConfigurationFile is null ? LogConsole.Output
        : LogConsole.Error;

    private static string Text(System.Net.EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint ? $"unix:{endPoint}" : endPoint.ToString()!;

    private static int Fail(string message)
    {
        Complain(LogLevel.Critical, message);
        return 1;
    }

    private static void Complain(LogLevel level, string message) =>
        System.Console.Error.Write(LogLine.Format(new LogEntry(TimeProvider.System.GetUtcNow(), level, message, null, null, []), withTrace: false));
}
