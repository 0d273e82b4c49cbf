using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>Installs packages on Debian and its relatives.</summary>
internal static class DebianPackages
{
    // invoke-rc.d asks this program whether it may start a service; 101 means no. https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
    private const string PolicyFile = "/usr/sbin/policy-rc.d";

    /// <summary>True when packages can be installed: apt-get is there, and we are root or sudo asks no password.</summary>
    public static async Task<bool> CanInstallAsync(CancellationToken cancellationToken) =>
        await PrivilegedAsync(cancellationToken).ConfigureAwait(false) is not null;

    /// <summary>Installs packages without a question, and without starting the services they bring.</summary>
    /// <exception cref="ProvisioningException">apt-get failed; the message has its output.</exception>
    public static async Task InstallAsync(IReadOnlyList<string> packages, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        var prefix = await PrivilegedAsync(cancellationToken).ConfigureAwait(false)
            ?? throw new ProvisioningException($"Cannot install {string.Join(", ", packages)}: apt-get needs root.");

        // The machine's administrator did not ask for a PostgreSQL on port 5432 or a Redis on 6379.
        var ownPolicy = prefix.Count == 0 && !File.Exists(PolicyFile);
        if (ownPolicy && OperatingSystem.IsLinux())
        {
            await File.WriteAllTextAsync(PolicyFile, "#!/bin/sh\nexit 101\n", cancellationToken).ConfigureAwait(false);
            File.SetUnixFileMode(PolicyFile, (UnixFileMode)0b111_101_101);
        }

        try
        {
            progress?.Report($"Installing {string.Join(", ", packages)} (apt-get) …");
            string[] install = ["install", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", .. packages];

            // Fresh images have no package lists, and old lists name files that are gone: so update only when needed.
            if ((await AptAsync(prefix, install, progress, cancellationToken).ConfigureAwait(false)).Succeeded)
                return;

            progress?.Report("Updating the package lists (apt-get update) …");
            var update = await AptAsync(prefix, ["update"], progress, cancellationToken).ConfigureAwait(false);
            progress?.Report($"Installing {string.Join(", ", packages)} …");
            var result = await AptAsync(prefix, install, progress, cancellationToken).ConfigureAwait(false);
            if (!result.Succeeded)
                throw new ProvisioningException($"apt-get could not install {string.Join(", ", packages)}:\n{update.Error.Trim()}\n{result.AllOutput}");
        }
        finally
        {
            if (ownPolicy)
                File.Delete(PolicyFile);
        }
    }

    private static async Task<CommandResult> AptAsync(
        IReadOnlyList<string> prefix, IReadOnlyList<string> arguments, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        // apt waits for dpkg's lock itself, but not for the one of the package lists.
        for (var attempt = 1; ; attempt++)
        {
            string[] line = [.. prefix, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", .. arguments];
            var result = await new Command(line[0], line[1..])
            {
                Environment = { ["DEBIAN_FRONTEND"] = "noninteractive", ["LC_ALL"] = "C" },
                OnLine = text =>
                {
                    if (text.StartsWith("Unpacking ", StringComparison.Ordinal) || text.StartsWith("Get:", StringComparison.Ordinal))
                        progress?.Report("  " + text);
                },
            }.RunAsync(cancellationToken).ConfigureAwait(false);

            var locked = result.Error.Contains("Could not get lock", StringComparison.Ordinal)
                || result.Error.Contains("Unable to lock", StringComparison.Ordinal);
            if (!locked || attempt == 60)
                return result;
            if (attempt == 1)
                progress?.Report("Another apt or dpkg is running; waiting for it …");
            await Task.Delay(TimeSpan.FromSeconds(5), cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<IReadOnlyList<string>?> PrivilegedAsync(CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux() || Executables.Find("apt-get") is null)
            return null;
        if (Environment.IsPrivilegedProcess)
            return [];
        if (Executables.Find("sudo") is not { } sudo)
            return null;
        var allowed = await new Command(sudo, "-n", "true").RunAsync(cancellationToken).ConfigureAwait(false);
        return allowed.Succeeded ? [sudo, "-n", "env", "DEBIAN_FRONTEND=noninteractive"] : null;
    }
}
