using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LocalRun.Health;
using LocalRun.Provisioning;

namespace LocalRun.Stacks;

/// <summary>A service of a running stack, as other processes may know it.</summary>
/// <param name="Name">Name in the manifest.</param>
/// <param name="Kind">What it is, in a few words.</param>
/// <param name="ProcessId">Its process; null for what is no process, such as a database.</param>
/// <param name="Addresses">URLs and host:port, for people.</param>
/// <param name="Probes">How to ask whether it is well; all must say yes.</param>
internal sealed record ServiceState(string Name, string Kind, int? ProcessId, IReadOnlyList<string> Addresses, IReadOnlyList<HealthProbe> Probes);

/// <summary>A running stack. Kept in a file that only its user can read, since probes hold passwords.</summary>
/// <param name="ProcessId">The runner's process.</param>
/// <param name="StartedAt">When that process started, to tell it from a later one with the same id. Unix time, milliseconds.</param>
/// <param name="Manifest">The manifest's full path.</param>
/// <param name="WebUrl">Where the web service is, if there is one.</param>
/// <param name="Services">The services in starting order.</param>
internal sealed record StackState(int ProcessId, long StartedAt, string Manifest, string? WebUrl, IReadOnlyList<ServiceState> Services)
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true };

    // The kernel counts from boot, and each process reckons the time of boot by itself; so the moment varies a little.
    private bool IsRunning => StartOf(ProcessId) is { } start && Math.Abs(start - StartedAt) < 3000;

    /// <summary>The stacks of a manifest that run now, the youngest first. Files of dead ones are removed.</summary>
    public static IReadOnlyList<StackState> Running(string manifest)
    {
        var found = new List<StackState>();
        foreach (var path in Directory.EnumerateFiles(Folder(), Prefix(manifest) + "*.json"))
        {
            if (Read(path) is { } state && state.IsRunning)
                found.Add(state);
            else
                File.Delete(path);
        }

        return [.. found.OrderByDescending(state => state.StartedAt)];
    }

    /// <summary>When a process started, or null when it is gone. Unix time, milliseconds.</summary>
    public static long? StartOf(int processId)
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            return new DateTimeOffset(process.StartTime).ToUnixTimeMilliseconds();
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    /// <summary>Writes the file.</summary>
    public void Write()
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;

        // Written aside and renamed, so that a reader never sees half a file.
        var aside = FilePath + ".new";
        using (var file = new FileStream(aside, options))
            JsonSerializer.Serialize(file, this, Json);
        File.Move(aside, FilePath, overwrite: true);
    }

    /// <summary>Removes the file.</summary>
    public void Delete() => File.Delete(FilePath);

    private string FilePath => Path.Combine(Folder(), $"{Prefix(Manifest)}{ProcessId}.json");

    private static StackState? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<StackState>(File.ReadAllText(path), Json);
        }
        catch (Exception e) when (e is JsonException or IOException or NotSupportedException)
        {
            return null;
        }
    }

    // One clone, one prefix: the manifest's path stands for the clone.
    private static string Prefix(string manifest) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(manifest))))[..12] + "-";

    private static string Folder()
    {
        var path = Path.Combine(Caches.Directory(), "running");
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }
}
