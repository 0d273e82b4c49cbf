using System.Diagnostics;

namespace LocalRun.Processes;

/// <summary>
/// Ends our servers and deletes their directories when this process dies without doing so itself, SIGKILL included.
/// </summary>
/// <remarks>
/// A shell outside our process group waits on a pipe whose only writer is this process; the kernel closes it whatever
/// we die of. PR_SET_PDEATHSIG would do less: it fires when the <em>thread</em> that forked ends, and thread pool
/// threads come and go. On Windows there is no shell; the children are stopped on orderly exits only.
/// </remarks>
internal static class OrphanGuard
{
    // $pids and $dirs are kept as newline-separated lists; the names are ours and hold no newline.
    // Groups are signalled (negative id), since every child of ours leads a group of its own.
    private const string Script = """
        exec >/dev/null 2>&1
        trap '' INT TERM HUP QUIT PIPE
        pids=' '
        while IFS=' ' read -r verb value; do
          case $verb in
            pid) pids="$pids$value " ;;
            end) before=${pids%% "$value" *}; after=${pids#* "$value" }
                 [ "$before" = "$pids" ] || pids="$before $after" ;;
            dir) set -- "$@" "$value" ;;
          esac
        done
        for pid in $pids; do kill -TERM -"$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null; done
        tries=0
        while [ $tries -lt 50 ]; do
          alive=
          for pid in $pids; do kill -0 "$pid" 2>/dev/null && alive=yes; done
          [ -n "$alive" ] || break
          # A postmaster that was told TERM waits for its clients; QUIT does not.
          [ $tries -ne 10 ] || for pid in $pids; do kill -QUIT "$pid" 2>/dev/null; done
          tries=$((tries + 1))
          sleep 0.1
        done
        for pid in $pids; do kill -KILL -"$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null; done
        for dir in "$@"; do rm -rf -- "$dir"; done
        """;

    private static readonly Lock Gate = new();
    private static StreamWriter? _pipe;

    /// <summary>End this process when we die.</summary>
    public static void Watch(int processId) => Send($"pid {processId}");

    /// <summary>The process has ended in order; its id may be anybody's from now on.</summary>
    public static void Forget(int processId) => Send($"end {processId}");

    /// <summary>Delete this directory when we die. Directories are never used twice, so they need no forgetting.</summary>
    public static void WatchDirectory(string path) => Send($"dir {path}");

    private static void Send(string line)
    {
        if (OperatingSystem.IsWindows())
            return;

        lock (Gate)
        {
            try
            {
                _pipe ??= Start();
                _pipe.WriteLine(line);
                _pipe.Flush();
            }
            catch (IOException)
            {
                // The guard was killed. A new one would not know the earlier processes, but knows those to come.
                _pipe = null;
            }
        }
    }

    private static StreamWriter Start()
    {
        var info = new ProcessStartInfo { RedirectStandardInput = true, UseShellExecute = false, WorkingDirectory = "/" };
        foreach (var word in ProcessGroup.Leader(["/bin/sh", "-c", Script, "orphan-guard"]))
        {
            if (info.FileName.Length == 0)
                info.FileName = word;
            else
                info.ArgumentList.Add(word);
        }

        return Process.Start(info)!.StandardInput;
    }
}
