using System.Runtime.InteropServices;
using Pooler.Engine;
using Pooler.Server.Logging;

namespace Pooler.Server;

/// <summary>
/// Signals, with PgBouncer's meanings: HUP reloads, TERM waits for clients and INT for servers before it ends (a second
/// one ends at once), QUIT ends at once, USR1 pauses, USR2 resumes.
/// </summary>
internal sealed class Signals : IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly PoolerEngine _engine;
    private readonly ProcessLog _log;
    private readonly Action<string> _onShutdown;
    private int _shutdowns;

    /// <summary>Starts listening.</summary>
    /// <param name="engine">What obeys.</param>
    /// <param name="log">Where each signal is noted.</param>
    /// <param name="onShutdown">Called before a shutdown begins, with its description.</param>
    public Signals(PoolerEngine engine, ProcessLog log, Action<string> onShutdown)
    {
        _engine = engine;
        _log = log;
        _onShutdown = onShutdown;
        Register(PosixSignal.SIGTERM, "SIGTERM", () => Shutdown("SIGTERM", ShutdownMode.WaitForClients, "shutting down, waiting for all clients disconnect"));
        Register(PosixSignal.SIGINT, "SIGINT", () => Shutdown("SIGINT", ShutdownMode.WaitForServers, "shutting down, waiting for all servers connections to be released"));
        Register(PosixSignal.SIGQUIT, "SIGQUIT", () => Shutdown("SIGQUIT", ShutdownMode.Immediate, "fast exit"));
        if (OperatingSystem.IsWindows()) return;

        Register(PosixSignal.SIGHUP, "SIGHUP", Reload);
        // .NET has no names for these two; other values are the platform's own numbers (signal(7)).
        var apple = OperatingSystem.IsMacOS();
        Register((PosixSignal)(apple ? 30 : 10), "SIGUSR1", Pause);
        Register((PosixSignal)(apple ? 31 : 12), "SIGUSR2", Resume);
    }

    public void Dispose()
    {
        foreach (var registration in _registrations) registration.Dispose();
    }

    private void Register(PosixSignal signal, string name, Func<Task> handler) =>
        _registrations.Add(PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            _ = ObserveAsync(name, handler);
        }));

    private async Task ObserveAsync(string name, Func<Task> handler)
    {
        try
        {
            await handler();
        }
        catch (Exception e)
        {
            _log.SignalFailed(e, name);
        }
    }

    private Task Reload()
    {
        Got("SIGHUP", "re-reading config");
        return Task.Run(() =>
        {
            try
            {
                _engine.Reload(isCommand: false);
            }
            catch (AdministrationException e)
            {
                _log.ReloadRefused(e.Message);
            }
        });
    }

    private Task Pause()
    {
        try
        {
            var paused = _engine.PauseAsync(null, CancellationToken.None, isCommand: false);
            Got("SIGUSR1", "pausing all activity");
            return paused;
        }
        catch (AdministrationException)
        {
            Got("SIGUSR1", "but already paused/suspended");
            return Task.CompletedTask;
        }
    }

    private Task Resume() => Task.Run(() =>
    {
        if (_engine.IsShuttingDown)
        {
            _log.ResumeIgnored();
            return;
        }

        try
        {
            var from = _engine.IsSuspended ? "SUSPEND" : "PAUSE";
            _engine.Resume(null, isCommand: false);
            Got("SIGUSR2", $"continuing from {from}");
        }
        catch (AdministrationException)
        {
            Got("SIGUSR2", "but not paused/suspended");
        }
    });

    private Task Shutdown(string signal, ShutdownMode mode, string how)
    {
        if (Interlocked.Increment(ref _shutdowns) > 1 || _engine.IsShuttingDown)
        {
            _log.FastExit(signal);
            return _engine.ShutdownAsync(ShutdownMode.Immediate, isCommand: false);
        }

        // Nobody would read what clients send to be waited for.
        if (_engine.IsSuspended) (mode, how) = (ShutdownMode.Immediate, "suspend was in progress, going down immediately");
        Got(signal, how);
        _onShutdown(how);
        return _engine.ShutdownAsync(mode, isCommand: false);
    }

    private void Got(string signal, string consequence) => _log.Signal(signal, consequence);
}
