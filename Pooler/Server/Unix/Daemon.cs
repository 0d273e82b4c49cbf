using System.Diagnostics;

namespace Pooler.Server.Unix;

/// <summary>
/// Running in the background. A runtime with threads cannot fork, so the program starts itself again, detached, and
/// waits until that process is ready or has failed: the exit code of <c>pooler -d</c> says whether it runs.
/// </summary>
internal static class Daemon
{
    private const string ReadyLine = "ready";
    private const int ReadWrite = 2; // O_RDWR

    /// <summary>Starts the background process and returns the exit code of this one.</summary>
    public static int Start(IEnumerable<string> arguments)
    {
        // All three: the runtime keeps copies of what it is started with, and whoever waits for the end of our output
        // must not wait for the background process.
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false,
        };

        // Started as "dotnet pooler.dll", the program is an argument.
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet") start.ArgumentList.Add(typeof(Daemon).Assembly.Location);
        start.ArgumentList.Add("--daemon-child");
        foreach (var argument in arguments) start.ArgumentList.Add(argument);

        using var process = Process.Start(start)!;
        process.ErrorDataReceived += static (_, received) =>
        {
            if (received.Data is { } complaint) Console.Error.WriteLine(complaint);
        };
        process.BeginErrorReadLine();
        while (process.StandardOutput.ReadLine() is { } line)
            if (line == ReadyLine) return 0;
        process.WaitForExit();
        return process.ExitCode == 0 ? 1 : process.ExitCode;
    }

    /// <summary>In the background process: leaves the terminal's session, so that its end does not end us.</summary>
    public static void Detach() => _ = LibC.CreateSession();

    /// <summary>In the background process: tells the starter that all is well, and lets go of its console.</summary>
    public static void Release()
    {
        Console.Out.WriteLine(ReadyLine);
        Console.Out.Flush();
        var nothing = LibC.Open("/dev/null", ReadWrite);
        if (nothing < 0) return;
        for (var standard = 0; standard <= 2; standard++) _ = LibC.Duplicate(nothing, standard);
    }
}
