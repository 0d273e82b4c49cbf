using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Testing;

namespace Pooler.IntegrationTests.Process;

/// <summary>The real program, started as a process of its own, in a directory of its own.</summary>
internal sealed partial class PoolerProgram : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // What the machine of the test has set must not configure the program.
    private static readonly string[] Inherited = ["PATH", "HOME", "TMPDIR", "DOTNET_ROOT", "LANG", "SystemRoot"];

    private readonly System.Diagnostics.Process _process;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly StringBuilder _output = new();
    private readonly Task _reading;

    private PoolerProgram(System.Diagnostics.Process process)
    {
        _process = process;
        _reading = Task.WhenAll(ReadAsync(process.StandardError), ReadAsync(process.StandardOutput, _output));
    }

    /// <summary>All lines of standard error and standard output so far.</summary>
    public string[] Lines => [.. _lines];

    public int Id => _process.Id;

    public static string Executable { get; } =
        Path.ChangeExtension(Repository.Program("Pooler/Server", "pooler"), OperatingSystem.IsWindows() ? "exe" : null);

    public static PoolerProgram Start(string directory, IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        return Start(directory, Executable, arguments, environment);
    }

    /// <summary>As a shell starts what it runs in the background of a script: with INT and QUIT ignored, and HUP as by nohup.</summary>
    public static PoolerProgram StartIgnoringSignals(string directory, params string[] arguments) =>
        Start(directory, "/bin/sh", ["-c", "trap '' INT QUIT HUP; exec \"$0\" \"$@\"", Executable, .. arguments], []);

    /// <summary>Another program, such as the one to compare with.</summary>
    public static PoolerProgram StartProgram(string directory, string program, IEnumerable<string> arguments, params (string Name, string Value)[] environment) =>
        Start(directory, program, arguments, environment);

    private static PoolerProgram Start(string directory, string program, IEnumerable<string> arguments, (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = directory, RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var name in start.Environment.Keys.Except(Inherited).ToArray()) start.Environment.Remove(name);
        foreach (var (name, value) in environment) start.Environment[name] = value;
        return new PoolerProgram(System.Diagnostics.Process.Start(start)!);
    }

    /// <summary>Runs the program to its end.</summary>
    public static async Task<(int ExitCode, string Output, string[] Lines)> RunAsync(string directory, IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        await using var program = Start(directory, arguments, environment);
        var exitCode = await program.ExitAsync();
        return (exitCode, program._output.ToString(), program.Lines);
    }

    /// <summary>A port that was free a moment ago.</summary>
    public static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    public Task UpAsync() => LineAsync("process up");

    /// <summary>Waits until a line holds the text.</summary>
    public async Task<string> LineAsync(string text, int times = 1)
    {
        var deadline = Stopwatch.StartNew();
        while (true)
        {
            var found = _lines.Where(l => l.Contains(text, StringComparison.Ordinal)).ToArray();
            if (found.Length >= times) return found[times - 1];
            if (_process.HasExited && _reading.IsCompleted)
                throw new InvalidOperationException($"the program ended with {_process.ExitCode} before \"{text}\":\n{string.Join('\n', _lines)}");
            if (deadline.Elapsed > Patience)
                throw new TimeoutException($"\"{text}\" did not come:\n{string.Join('\n', _lines)}");
            await Task.Delay(20);
        }
    }

    public void Signal(int number)
    {
        if (Kill(_process.Id, number) != 0) throw new InvalidOperationException($"kill failed: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    public async Task<int> ExitAsync()
    {
        using var limit = new CancellationTokenSource(Patience);
        await _process.WaitForExitAsync(limit.Token);
        await _reading.WaitAsync(limit.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private async Task ReadAsync(StreamReader reader, StringBuilder? copy = null)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            copy?.Append(line).Append('\n');
            _lines.Enqueue(line);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
