using System.Globalization;
using System.Runtime.InteropServices;

namespace Pooler.Server.Unix;

/// <summary>The file that holds the process id while the process runs.</summary>
internal sealed class PidFile : IDisposable
{
    private readonly string _path;

    private PidFile(string path) => _path = path;

    public string Path => _path;

    /// <summary>Writes the file, unless the one that is there names a process that lives.</summary>
    /// <exception cref="IOException">It does, or the file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be written.</exception>
    public static PidFile Create(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        if (File.Exists(path)
            && int.TryParse(File.ReadAllText(path).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var other)
            && other != Environment.ProcessId
            && IsAlive(other))
            throw new IOException($"pidfile {path} names process {other}, which is running: is this pooler started already?");

        File.WriteAllText(path, string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n"));
        return new PidFile(path);
    }

    public void Dispose()
    {
        try
        {
            File.Delete(_path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // After a change of user the directory may be out of reach; the next start sees that the process is gone.
        }
    }

    private static bool IsAlive(int process)
    {
        if (process <= 0) return false;
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
