using System.Runtime.InteropServices;
using Pooler.Engine;

namespace Pooler.Server;

/// <summary>
/// Signals, with PgBouncer's meanings: HUP reloads, TERM waits for clients and INT for servers before it ends (a second
/// one ends at once), QUIT ends at once, USR1 pauses, USR2 resumes.
/// </summary>
internal sealed class Signals : IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly PoolerEngine _engine;
    private readonly ILogger _logger;
    private readonly Action<string> _onShutdown;
    private int _shutdowns;

    /// <summary>Starts listening.</summary>
    /// <param name="engine">What obeys.</param>
    /// <param name="logger">Where each signal is noted.</param>
    /// <param name="onShutdown">Called before a shutdown begins, with its description.</param>
    public Signals(PoolerEngine engine, ILogger logger, Action<string> onShutdown)
    {
        _engine = engine;
        _logger = logger;
        _onShutdown = onShutdown;
        Register(PosixSignal.SIGTERM, "SIGTERM", () => Shutdown(ShutdownMode.WaitForClients, "waiting for clients"));
        Register(PosixSignal.SIGINT, "SIGINT", () => Shutdown(ShutdownMode.WaitForServers, "waiting for servers"));
        Register(PosixSignal.SIGQUIT, "SIGQUIT", () => Shutdown(ShutdownMode.Immediate, "at once"));
        if (OperatingSystem.IsWindows()) return;

        Register(PosixSignal.SIGHUP, "SIGHUP", () => Task.Run(() => engine.Reload()));
        // .NET has no names for these two; other values are the platform's own numbers (signal(7)).
        var apple = OperatingSystem.IsMacOS();
        Register((PosixSignal)(apple ? 30 : 10), "SIGUSR1", () => engine.PauseAsync(null, CancellationToken.None));
        Register((PosixSignal)(apple ? 31 : 12), "SIGUSR2", () => Task.Run(() => engine.Resume(null)));
    }

    public void Dispose()
    {
        foreach (var registration in _registrations) registration.Dispose();
    }

    private void Register(PosixSignal signal, string name, Func<Task> handler) =>
        _registrations.Add(PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            _logger.LogInformation("got {Signal}", name);
            _ = ObserveAsync(name, handler);
        }));

    private async Task ObserveAsync(string name, Func<Task> handler)
    {
        try
        {
            await handler();
        }
        catch (AdministrationException e)
        {
            _logger.LogWarning("{Signal}: {Message}", name, e.Message);
        }
        catch (Exception e)
        {
            _logger.LogError(e, "{Signal} failed", name);
        }
    }

    private Task Shutdown(ShutdownMode mode, string how)
    {
        if (Interlocked.Increment(ref _shutdowns) > 1) (mode, how) = (ShutdownMode.Immediate, "at once");
        _logger.LogInformation("shutting down, {How}", how);
        _onShutdown($"Shutting down, {how}");
        return _engine.ShutdownAsync(mode);
    }
}
