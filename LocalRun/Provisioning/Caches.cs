using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>Where downloaded servers are kept from run to run.</summary>
internal static class Caches
{
    /// <summary>The user's cache folder for this project. For root it is one that PostgreSQL's unprivileged user can read.</summary>
    public static string Directory()
    {
        var user = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.Create);
        var path = !OperatingSystem.IsWindows() && Environment.IsPrivilegedProcess
            ? "/var/cache/pooler-localrun"
            : Path.Combine(user.Length > 0 ? user : Path.GetTempPath(), "pooler-localrun");
        try
        {
            System.IO.Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ProvisioningException($"Cannot create the cache folder {path}: {e.Message}", e);
        }

        return path;
    }

    /// <summary>A folder in the cache that is there either completely or not at all.</summary>
    /// <param name="name">Folder name; put the version in.</param>
    /// <param name="fill">Fills a temporary folder, which is then renamed.</param>
    /// <param name="cancellationToken">Ends the filling.</param>
    public static async Task<string> GetOrFillAsync(string name, Func<string, Task> fill, CancellationToken cancellationToken)
    {
        var path = Path.Combine(Directory(), name);
        if (System.IO.Directory.Exists(path))
            return path;

        var partial = $"{path}.{Environment.ProcessId}.partial";
        System.IO.Directory.CreateDirectory(partial);
        try
        {
            await fill(partial).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            if (!System.IO.Directory.Exists(path))
                System.IO.Directory.Move(partial, path);
            return path;
        }
        finally
        {
            if (System.IO.Directory.Exists(partial))
                System.IO.Directory.Delete(partial, recursive: true);
        }
    }
}
