namespace LocalRun.Processes;

/// <summary>Looks programs up.</summary>
public static class Executables
{
    /// <summary>Full path of a program on PATH or in one of <paramref name="extraDirectories"/>, or null.</summary>
    public static string? Find(string name, params IEnumerable<string> extraDirectories)
    {
        var file = OperatingSystem.IsWindows() ? name + ".exe" : name;
        var path = Environment.GetEnvironmentVariable("PATH") ?? "";

        // A shell of an unprivileged user often has no sbin on its PATH, where Debian keeps setpriv's and pgbouncer's like.
        string[] system = OperatingSystem.IsWindows() ? [] : ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        return path.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Concat(extraDirectories)
            .Concat(system)
            .Select(directory => Path.Combine(directory, file))
            .FirstOrDefault(IsExecutable);
    }

    /// <summary>True for a file that may be executed.</summary>
    public static bool IsExecutable(string path)
    {
        try
        {
            return File.Exists(path)
                && (OperatingSystem.IsWindows()
                    || (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A symbolic link that leads nowhere "exists".
            return false;
        }
    }
}
