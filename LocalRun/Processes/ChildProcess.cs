using System.Diagnostics;

namespace LocalRun.Processes;

/// <summary>How to start a <see cref="ChildProcess"/>.</summary>
public sealed class ChildProcessOptions
{
    /// <summary>Name in messages.</summary>
    public required string Name { get; init; }

    /// <summary>Program and arguments. Never put a secret here: other users can read command lines.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>Extra environment variables; a null value removes one.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();

    /// <summary>Working directory; the caller's own when null.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Called for each line of output, from either stream.</summary>
    public Action<string>? OnLine { get; init; }
}

/// <summary>A program that runs until it is stopped: leads its own process group, dies with us, keeps its last output.</summary>
public sealed class ChildProcess : IAsyncDisposable
{
    private const int LinesKept = 200;

    private readonly Process _process;
    private readonly ChildProcessOptions _options;
    private readonly Queue<string> _lastLines = new();
    private bool _groupEnded;

    private ChildProcess(Process process, ChildProcessOptions options)
    {
        _process = process;
        _options = options;
        Id = process.Id;
        OrphanGuard.Watch(Id);
        var output = PumpAsync(process.StandardOutput);
        var error = PumpAsync(process.StandardError);
        Exited = WaitAsync(output, error);
    }

    /// <summary>Name in messages.</summary>
    public string Name => _options.Name;

    /// <summary>Process id.</summary>
    public int Id { get; }

    /// <summary>Completes with the exit code when the process has ended.</summary>
    public Task<int> Exited { get; }

    /// <summary>True while the process runs.</summary>
    public bool IsRunning => !Exited.IsCompleted;

    /// <summary>The last lines of output, oldest first.</summary>
    public IReadOnlyList<string> LastLines
    {
        get
        {
            lock (_lastLines)
                return [.. _lastLines];
        }
    }

    /// <summary>Starts the program.</summary>
    /// <exception cref="ProvisioningException">It could not be started.</exception>
    public static ChildProcess Start(ChildProcessOptions options)
    {
        var command = ProcessGroup.Leader(options.Command);
        var info = new ProcessStartInfo(command[0], command.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = options.WorkingDirectory ?? "",
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        foreach (var (name, value) in options.Environment)
        {
            if (value is null)
                info.Environment.Remove(name);
            else
                info.Environment[name] = value;
        }

        var process = new Process { StartInfo = info };
        try
        {
            process.Start();
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            process.Dispose();
            throw new ProvisioningException($"Cannot start {options.Name} ('{options.Command[0]}'): {e.Message}", e);
        }

        process.StandardInput.Close();
        return new ChildProcess(process, options);
    }

    /// <summary>
    /// Asks the process to end, waits, and kills the whole group when it has not ended in time.
    /// </summary>
    /// <param name="grace">How long to wait after each signal. 10 seconds when null.</param>
    /// <param name="signals">Signals to send in turn before the kill; SIGTERM alone when empty.</param>
    public async Task StopAsync(TimeSpan? grace = null, params IReadOnlyList<int> signals)
    {
        foreach (var signal in signals.Count > 0 ? signals : [ProcessGroup.SignalTerminate])
        {
            if (!IsRunning)
                break;
            ProcessGroup.Signal(Id, signal);
            await Task.WhenAny(Exited, Task.Delay(grace ?? TimeSpan.FromSeconds(10))).ConfigureAwait(false);
        }

        // Also when the leader ended by itself: what it started may still run. Only once: later the id may be another's.
        if (!Interlocked.Exchange(ref _groupEnded, true) && (IsRunning || !OperatingSystem.IsWindows()))
            ProcessGroup.KillAll(Id);
        await Exited.ConfigureAwait(false);
    }

    /// <summary>Kills the process and its group at once (SIGKILL) and waits for its end.</summary>
    public async Task KillAsync()
    {
        if (!Interlocked.Exchange(ref _groupEnded, true))
            ProcessGroup.KillAll(Id);
        await Exited.ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _process.Dispose();
    }

    private async Task<int> WaitAsync(Task output, Task error)
    {
        await _process.WaitForExitAsync().ConfigureAwait(false);
        var exitCode = _process.ExitCode;

        // A grandchild that lives on holds the pipes open; its lines are not worth waiting for.
        await Task.WhenAny(Task.WhenAll(output, error), Task.Delay(TimeSpan.FromSeconds(1))).ConfigureAwait(false);
        OrphanGuard.Forget(Id);
        return exitCode;
    }

    private async Task PumpAsync(StreamReader reader)
    {
        try
        {
            while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line)
            {
                lock (_lastLines)
                {
                    _lastLines.Enqueue(line);
                    if (_lastLines.Count > LinesKept)
                        _lastLines.Dequeue();
                }

                _options.OnLine?.Invoke(line);
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The stream went with the process.
        }
    }
}
