using System.Collections.Concurrent;
using System.Globalization;
using LocalRun.Processes;
using LocalRun.Provisioning;
using LocalRun.Stacks;
using Testing;

namespace LocalRun.Tests.Stacks;

/// <summary>The LocalRun program in a process of its own.</summary>
internal sealed class Runner : IAsyncDisposable
{
    private static readonly TimeSpan StartDeadline = TimeSpan.FromMinutes(4);

    private readonly ConcurrentQueue<string> _lines;
    private readonly ChildProcess _process;
    private readonly string _manifest;

    private Runner(ChildProcess process, ConcurrentQueue<string> lines, string manifest)
    {
        _process = process;
        _lines = lines;
        _manifest = manifest;
    }

    public int ProcessId => _process.Id;

    public Task<int> Exited => _process.Exited;

    public string Output => string.Join('\n', _lines);

    /// <summary>The stack as the state file tells.</summary>
    public StackState State => StackState.Running(_manifest).Single(state => state.ProcessId == ProcessId);

    public static Runner Start(string manifest, params string[] arguments) => Start(manifest, new Dictionary<string, string?>(), arguments);

    public static Runner Start(string manifest, IReadOnlyDictionary<string, string?> environment, params string[] arguments)
    {
        var lines = new ConcurrentQueue<string>();
        var process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = "LocalRun",
            Command = [DotNet.Program(), Repository.Program("LocalRun", "LocalRun"), "--manifest", manifest, "--no-build", .. arguments],
            Environment = environment,
            OnLine = lines.Enqueue,
        });
        return new Runner(process, lines, manifest);
    }

    public static Task<Runner> StartAndWaitAsync(string manifest, params string[] arguments) =>
        StartAndWaitAsync(manifest, new Dictionary<string, string?>(), arguments);

    public static async Task<Runner> StartAndWaitAsync(
        string manifest, IReadOnlyDictionary<string, string?> environment, params string[] arguments)
    {
        var runner = Start(manifest, environment, arguments);
        try
        {
            await runner.SaysAsync("Ctrl+C stops everything.");
            return runner;
        }
        catch
        {
            await runner.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs one of the commands that end by themselves.</summary>
    public static Task<CommandResult> RunAsync(string manifest, params string[] arguments) =>
        RunAsync(manifest, new Dictionary<string, string?>(), arguments);

    public static Task<CommandResult> RunAsync(string manifest, IReadOnlyDictionary<string, string?> environment, params string[] arguments)
    {
        var command = new Command(DotNet.Program(), [Repository.Program("LocalRun", "LocalRun"), "--manifest", manifest, "--no-build", .. arguments]);
        foreach (var (name, value) in environment)
            command.Environment[name] = value;
        return command.RunAsync();
    }

    /// <summary>Waits for a text in the output.</summary>
    public async Task SaysAsync(string text)
    {
        try
        {
            await Eventually.TrueAsync(
                () => Output.Contains(text, StringComparison.Ordinal) || !_process.IsRunning, StartDeadline, text: $"LocalRun says '{text}'");
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}\n{Output}", e);
        }

        if (!Output.Contains(text, StringComparison.Ordinal))
            throw new InvalidOperationException($"LocalRun ended with exit code {await Exited} before it said '{text}':\n{Output}");
    }

    public void Signal(int signal) => ProcessGroup.Signal(ProcessId, signal);

    /// <summary>
    /// Whether the signal means nothing to it: shells start the background jobs of a script with SIGINT ignored, and what
    /// these start inherits that.
    /// </summary>
    public bool Ignores(int signal)
    {
        var status = $"/proc/{ProcessId}/status";
        if (!File.Exists(status)) return false;
        var ignored = File.ReadLines(status).First(line => line.StartsWith("SigIgn:", StringComparison.Ordinal))["SigIgn:".Length..];
        return (ulong.Parse(ignored.Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) >> (signal - 1) & 1) != 0;
    }

    public async ValueTask DisposeAsync()
    {
        await _process.StopAsync(TimeSpan.FromSeconds(30));
        await _process.DisposeAsync();
    }
}
