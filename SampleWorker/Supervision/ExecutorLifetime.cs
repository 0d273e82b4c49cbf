using System.Runtime.InteropServices;

namespace SampleWorker.Supervision;

/// <summary>
/// Ends the executor, in order, when its supervisor says so by closing its standard input, when that ends because the
/// supervisor is no more, or on SIGTERM. Ctrl+C at the terminal reaches the whole process group; what follows from it
/// is the supervisor's to say, so it is ignored here.
/// </summary>
internal sealed class ExecutorLifetime(IHostApplicationLifetime lifetime) : IHostLifetime, IDisposable
{
    private readonly List<PosixSignalRegistration> _signals = [];

    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        _signals.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => signal.Cancel = true));
        _signals.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            lifetime.StopApplication();
        }));
        _ = WatchInputAsync();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        foreach (var signal in _signals)
            signal.Dispose();
    }

    // Never awaited and never cancelled: a read of standard input can't be, and ends with the process.
    private async Task WatchInputAsync()
    {
        var input = Console.OpenStandardInput();
        var buffer = new byte[64];
        try
        {
            while (await input.ReadAsync(buffer) > 0)
            {
            }
        }
        catch (IOException)
        {
            // As good as its end.
        }

        lifetime.StopApplication();
    }
}
