using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>Finds the client programs that tests need; installs them (Debian packages) when they are missing and we are root.</summary>
public static class Tools
{
    /// <summary>psql.</summary>
    public static Task<string> PsqlAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("psql", "postgresql-client", progress, cancellationToken);

    /// <summary>pgbench.</summary>
    public static Task<string> PgbenchAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("pgbench", "postgresql-contrib", progress, cancellationToken);

    /// <summary>pg_isready.</summary>
    public static Task<string> PgIsReadyAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("pg_isready", "postgresql-client", progress, cancellationToken);

    /// <summary>pg_basebackup.</summary>
    public static Task<string> PgBaseBackupAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("pg_basebackup", "postgresql-client", progress, cancellationToken);

    /// <summary>pg_verifybackup; ships with the server.</summary>
    public static Task<string> PgVerifyBackupAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("pg_verifybackup", "postgresql", progress, cancellationToken);

    /// <summary>pg_receivewal.</summary>
    public static Task<string> PgReceiveWalAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("pg_receivewal", "postgresql-client", progress, cancellationToken);

    /// <summary>pg_recvlogical.</summary>
    public static Task<string> PgRecvLogicalAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        PostgresProgramAsync("pg_recvlogical", "postgresql-client", progress, cancellationToken);

    /// <summary>PgBouncer, to compare with.</summary>
    public static Task<string> PgBouncerAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("pgbouncer", ["pgbouncer"], () => Task.FromResult(Executables.Find("pgbouncer")), progress, cancellationToken);

    /// <summary>dnsmasq, a small name server.</summary>
    public static Task<string> DnsmasqAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("dnsmasq", ["dnsmasq-base"], () => Task.FromResult(Executables.Find("dnsmasq")), progress, cancellationToken);

    /// <summary>A Chromium, Chrome included.</summary>
    public static Task<string> ChromiumAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("Chromium", ["chromium"], () => Task.FromResult(Chromium()), progress, cancellationToken);

    /// <summary>A Python that has psycopg2.</summary>
    public static Task<string> PythonWithPsycopg2Async(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("Python with psycopg2", ["python3-psycopg2"], () => PythonAsync(cancellationToken), progress, cancellationToken);

    /// <summary>slapd, OpenLDAP's server.</summary>
    public static Task<string> SlapdAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("slapd", ["slapd"], () => Task.FromResult(Executables.Find("slapd", "/usr/sbin", "/usr/local/libexec", "/opt/homebrew/opt/openldap/libexec")), progress, cancellationToken);

    /// <summary>Prometheus.</summary>
    public static Task<string> PrometheusAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("Prometheus", ["prometheus"], () => Task.FromResult(Executables.Find("prometheus")), progress, cancellationToken);

    /// <summary>promtool, which checks rules and metrics; ships with Prometheus.</summary>
    public static Task<string> PromtoolAsync(IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        GetAsync("promtool", ["prometheus"], () => Task.FromResult(Executables.Find("promtool")), progress, cancellationToken);

    private static Task<string> PostgresProgramAsync(string name, string package, IProgress<string>? progress, CancellationToken cancellationToken) =>
        GetAsync(name, [package], async () =>
        {
            // The servers' folder first: a program of the same version as the server that it talks to.
            var installation = await PostgresInstallation.FindAsync(cancellationToken).ConfigureAwait(false);
            return (installation is null ? null : PostgresInstallation.Program(installation.BinDirectory, name)) ?? Executables.Find(name);
        }, progress, cancellationToken);

    private static async Task<string> GetAsync(
        string what, IReadOnlyList<string> packages, Func<Task<string?>> find, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        if (await find().ConfigureAwait(false) is { } found)
            return found;

        using var installing = await MachineLock.TakeAsync(progress, cancellationToken).ConfigureAwait(false);
        if (await find().ConfigureAwait(false) is { } foundNow)
            return foundNow;

        if (!await DebianPackages.CanInstallAsync(cancellationToken).ConfigureAwait(false))
            throw new ProvisioningException($"{what} is not on this machine. Install it (Debian: apt-get install {string.Join(' ', packages)}) and try again.");
        await DebianPackages.InstallAsync(packages, progress, cancellationToken).ConfigureAwait(false);
        return await find().ConfigureAwait(false)
            ?? throw new ProvisioningException($"{what} is still not found after apt-get install {string.Join(' ', packages)}.");
    }

    private static async Task<string?> PythonAsync(CancellationToken cancellationToken)
    {
        // Debian's own first, since that is the one its packages are for; a version manager's may shadow it on PATH.
        foreach (var python in new[] { "/usr/bin/python3", Executables.Find("python3"), Executables.Find("python") }.Distinct())
        {
            if (python is null || !Executables.IsExecutable(python))
                continue;
            var answer = await new Command(python, "-c", "import psycopg2").RunAsync(cancellationToken).ConfigureAwait(false);
            if (answer.Succeeded)
                return python;
        }

        return null;
    }

    private static string? Chromium()
    {
        foreach (var name in (string[])["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"])
        {
            if (Executables.Find(name) is { } path)
                return path;
        }

        string[] elsewhere =
        [
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles), "Google", "Chrome", "Application", "chrome.exe"),
            Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ProgramFilesX86), "Microsoft", "Edge", "Application", "msedge.exe"),
        ];
        return Array.Find(elsewhere, File.Exists);
    }
}
