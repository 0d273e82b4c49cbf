using System.Runtime.Versioning;

namespace LocalRun.Processes;

/// <summary>A private directory (mode 0700) below the temporary folder that is deleted on disposal, or when this process dies.</summary>
public sealed class TemporaryDirectory : IDisposable
{
    private TemporaryDirectory(string path) => Path = path;

    /// <summary>Full path.</summary>
    public string Path { get; }

    /// <summary>Creates one.</summary>
    /// <param name="prefix">Start of its name. Keep it short: a unix socket's path has at most 103 bytes on macOS, 107 on Linux.</param>
    public static TemporaryDirectory Create(string prefix)
    {
        var path = OperatingSystem.IsWindows()
            ? Directory.CreateTempSubdirectory(prefix).FullName
            : CreateBelow(Root(), prefix);
        OrphanGuard.WatchDirectory(path);
        return new TemporaryDirectory(path);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // A server that was killed may still be closing files; a few tries are enough, and a leftover is no failure.
        for (var attempt = 0; attempt < 5 && Directory.Exists(Path); attempt++)
        {
            try
            {
                Directory.Delete(Path, recursive: true);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Thread.Sleep(50);
            }
        }
    }

    [UnsupportedOSPlatform("windows")]
    private static string CreateBelow(string root, string prefix)
    {
        while (true)
        {
            var path = System.IO.Path.Combine(root, prefix + Convert.ToHexStringLower(BitConverter.GetBytes(Random.Shared.NextInt64()))[..8]);
            if (Directory.Exists(path))
                continue;
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return path;
        }
    }

    // The unprivileged user that runs PostgreSQL for root must be able to reach its data directory.
    private static string Root()
    {
        var root = System.IO.Path.GetFullPath(System.IO.Path.GetTempPath());
        if (!OperatingSystem.IsWindows() && Environment.IsPrivilegedProcess)
        {
            for (var directory = new DirectoryInfo(root); directory is not null; directory = directory.Parent)
            {
                if ((directory.UnixFileMode & UnixFileMode.OtherExecute) == 0)
                    return "/tmp";
            }
        }

        return root;
    }
}
