using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LocalRun.Processes;

/// <summary>Process groups and signals: what System.Diagnostics.Process does not offer.</summary>
internal static partial class ProcessGroup
{
    public const int SignalInterrupt = 2;
    public const int SignalQuit = 3;
    public const int SignalKill = 9;
    public const int SignalTerminate = 15;

    private static readonly string? SetSid = OperatingSystem.IsWindows() ? null : Executables.Find("setsid");
    private static readonly string? Perl = OperatingSystem.IsWindows() ? null : Executables.Find("perl");

    /// <summary>
    /// The command line that makes the program lead a session of its own. A Ctrl+C at the terminal then reaches only
    /// us, and we stop the services in our order; and the group can be killed as a whole.
    /// </summary>
    public static IReadOnlyList<string> Leader(IReadOnlyList<string> command)
    {
        // setsid(1) executes in place, under the same process id, because a fresh child leads no group yet.
        if (SetSid is not null)
            return [SetSid, .. command];

        // macOS has no setsid(1) but ships perl.
        return Perl is not null
            ? [Perl, "-e", "use POSIX; POSIX::setsid(); exec { $ARGV[0] } @ARGV", .. command]
            : command;
    }

    /// <summary>Sends a signal to one process. Windows knows only the kill.</summary>
    /// <returns>False when there is no such process.</returns>
    public static bool Signal(int processId, int signal)
    {
        if (!OperatingSystem.IsWindows())
            return Kill(processId, signal) == 0;

        try
        {
            using var process = Process.GetProcessById(processId);
            process.Kill(entireProcessTree: true);
            return true;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>Kills what is left of the group that the process led.</summary>
    public static void KillAll(int leaderId)
    {
        if (OperatingSystem.IsWindows())
            Signal(leaderId, SignalKill);
        else
            Kill(-leaderId, SignalKill);
    }

    /// <summary>True while the process exists.</summary>
    public static bool IsAlive(int processId)
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int processId, int signal);
}
