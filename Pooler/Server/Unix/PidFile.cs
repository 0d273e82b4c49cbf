using System.Globalization;
using System.Runtime.InteropServices;

namespace Pooler.Server.Unix;

/// <summary>The file that holds the process id while the process runs.</summary>
internal sealed class PidFile : IDisposable
{
    private readonly string _path;

    /// <summary>Writes the file in the place of a process that has just handed over to this one.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be written.</exception>
    public static PidFile TakeOver(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        // Renamed into place: at no moment is there no file, nor half a one.
        var text = string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n");
        var draft = $"{path}.{Environment.ProcessId}";
        File.WriteAllText(draft, text);
        File.Move(draft, path, overwrite: true);
        return new PidFile(path, replacedStale: false);
    }

    private PidFile(string path, bool replacedStale) => (_path, ReplacedStale) = (path, replacedStale);

    /// <summary>Whether there was one of a process that is gone.</summary>
    public bool ReplacedStale { get; }

    /// <summary>Writes the file, unless there is one that names a process that lives, or nobody knows which.</summary>
    /// <exception cref="IOException">There is, or the file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be written.</exception>
    public static PidFile Create(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        var isStale = File.Exists(path);
        if (isStale)
        {
            var isKnown = int.TryParse(File.ReadAllText(path).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var other);

            // In a container a restarted process often has the number of the one before it.
            if (!isKnown || (other != Environment.ProcessId && IsAlive(other)))
                throw new IOException($"pidfile '{path}' exists, another instance running?{(isKnown ? $" (process {other})" : "")}");
            File.Delete(path);
        }

        using (var file = new StreamWriter(new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read)))
            file.Write(string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n"));
        return new PidFile(path, isStale);
    }

    public void Dispose()
    {
        try
        {
            // Unless a process that has taken over has written its own.
            if (!File.Exists(_path) || File.ReadAllText(_path).Trim() != Environment.ProcessId.ToString(CultureInfo.InvariantCulture)) return;
            File.Delete(_path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The next start sees that the process is gone.
        }
    }

    private static bool IsAlive(int process)
    {
        if (process <= 0) return true; // Not ours to judge: kill(2) gives such numbers other meanings.
        if (!OperatingSystem.IsWindows()) return LibC.Kill(process, 0) == 0 || Marshal.GetLastPInvokeError() != LibC.NoSuchProcess;
        try
        {
            using var running = System.Diagnostics.Process.GetProcessById(process);
            return !running.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
