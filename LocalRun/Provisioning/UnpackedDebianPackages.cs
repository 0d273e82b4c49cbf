using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>
/// Debian packages for those who are not root: downloaded with what they depend on, and unpacked into the cache
/// instead of installed.
/// </summary>
internal static class UnpackedDebianPackages
{
    /// <summary>True when apt and dpkg are there.</summary>
    public static bool Available => OperatingSystem.IsLinux() && Executables.Find("apt-get") is not null && Executables.Find("dpkg-deb") is not null;

    /// <summary>Unpacks a package, and those of its dependencies that the machine lacks, unless the cache has it.</summary>
    /// <returns>The folder that stands for the root of the file system.</returns>
    /// <exception cref="ProvisioningException">apt knows no such package, or cannot download it.</exception>
    public static Task<string> GetAsync(string package, IProgress<string>? progress, CancellationToken cancellationToken) =>
        Caches.GetOrFillAsync("debian-" + package, async folder =>
        {
            progress?.Report($"Downloading {package} (apt-get download; no root needed) …");

            // A simulated installation lists what a real one would bring: "Inst redis-tools (5:7.0.15-1 Debian:12 [amd64])".
            var simulated = await Apt(folder, "-s", "install", "--no-install-recommends", package).RunCheckedAsync(cancellationToken).ConfigureAwait(false);
            var packages = simulated.Split('\n').Select(line => line.Split(' ')).Where(words => words is ["Inst", _, ..]).Select(words => words[1]).ToList();

            await Apt(folder, ["-q", "download", .. packages]).RunCheckedAsync(cancellationToken).ConfigureAwait(false);
            foreach (var archive in Directory.GetFiles(folder, "*.deb"))
            {
                await new Command("dpkg-deb", "-x", archive, folder).RunCheckedAsync(cancellationToken).ConfigureAwait(false);
                File.Delete(archive);
            }
        }, cancellationToken);

    /// <summary>The folders with shared libraries below such a root, for LD_LIBRARY_PATH.</summary>
    public static string LibraryPath(string root) => string.Join(':',
        new[] { "usr/lib", "lib" }
            .Select(folder => Path.Combine(root, folder))
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateDirectories(folder, "*-linux-*").Append(folder)));

    private static Command Apt(string folder, params string[] arguments) =>
        new("apt-get", arguments) { WorkingDirectory = folder, Environment = { ["LC_ALL"] = "C" } };
}
