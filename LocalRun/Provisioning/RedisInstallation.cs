using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>A Redis server program on this machine: Redis, its fork Valkey, or Garnet.</summary>
internal sealed class RedisInstallation
{
    private RedisInstallation(string program, string name, IReadOnlyDictionary<string, string?>? environment = null)
    {
        Program = program;
        Name = name;
        Environment = environment ?? new Dictionary<string, string?>();
    }

    /// <summary>Full path of the server program.</summary>
    public string Program { get; }

    /// <summary>Name in messages.</summary>
    public string Name { get; }

    /// <summary>Environment variables that the program needs.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; }

    /// <summary>Garnet reads other settings, and has no streams (version 2.2.8 answers XADD with "ERR unknown command").</summary>
    public bool IsGarnet => Name == "Garnet";

    /// <summary>
    /// Finds Redis on the machine, or installs it: the Debian package when root, the same unpacked into the cache when
    /// not, else Garnet as a .NET tool.
    /// </summary>
    public static async Task<RedisInstallation> LocateAsync(IProgress<string>? progress, CancellationToken cancellationToken)
    {
        if (Find() is { } found)
            return found;

        using var installing = await MachineLock.TakeAsync(progress, cancellationToken).ConfigureAwait(false);
        if (Find() is { } foundNow)
            return foundNow;

        progress?.Report("Redis is not on this machine.");
        ProvisioningException? aptFailure = null;
        if (await DebianPackages.CanInstallAsync(cancellationToken).ConfigureAwait(false))
        {
            try
            {
                await DebianPackages.InstallAsync(["redis-server"], progress, cancellationToken).ConfigureAwait(false);
                if (Find() is { } installed)
                    return installed;
            }
            catch (ProvisioningException e)
            {
                aptFailure = e;
                progress?.Report("apt-get could not install Redis.");
            }
        }

        if (UnpackedDebianPackages.Available)
        {
            try
            {
                return await UnpackedAsync(progress, cancellationToken).ConfigureAwait(false);
            }
            catch (ProvisioningException e)
            {
                aptFailure ??= e;
                progress?.Report("apt could not download Redis; trying Garnet, a .NET tool.");
            }
        }

        try
        {
            return await GarnetAsync(progress, cancellationToken).ConfigureAwait(false);
        }
        catch (ProvisioningException e)
        {
            throw new ProvisioningException(
                "Redis is neither on this machine nor could it be installed. Install it (Debian: apt-get install redis-server; "
                + $"macOS: brew install redis) and try again.\n{aptFailure?.Message}\n{e.Message}", e);
        }
    }

    private static RedisInstallation? Find()
    {
        string[] homebrew = ["/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin"];
        if (Executables.Find("redis-server", homebrew) is { } redis)
            return new RedisInstallation(redis, "Redis");
        return Executables.Find("valkey-server", homebrew) is { } valkey ? new RedisInstallation(valkey, "Valkey") : null;
    }

    private static async Task<RedisInstallation> UnpackedAsync(IProgress<string>? progress, CancellationToken cancellationToken)
    {
        var root = await UnpackedDebianPackages.GetAsync("redis-server", progress, cancellationToken).ConfigureAwait(false);
        var environment = new Dictionary<string, string?> { ["LD_LIBRARY_PATH"] = UnpackedDebianPackages.LibraryPath(root) };
        var program = Path.Combine(root, "usr", "bin", "redis-server");
        var trial = new Command(program, "--version") { Environment = { ["LD_LIBRARY_PATH"] = environment["LD_LIBRARY_PATH"] } };
        await trial.RunCheckedAsync(cancellationToken).ConfigureAwait(false);
        return new RedisInstallation(program, "Redis", environment);
    }

    private static async Task<RedisInstallation> GarnetAsync(IProgress<string>? progress, CancellationToken cancellationToken)
    {
        var dotnet = DotNet.Program();
        var folder = await Caches.GetOrFillAsync("garnet", async partial =>
        {
            progress?.Report("Installing Garnet (dotnet tool install garnet-server) …");
            await new Command(dotnet, "tool", "install", "garnet-server", "--tool-path", partial)
                .RunCheckedAsync(cancellationToken).ConfigureAwait(false);
        }, cancellationToken).ConfigureAwait(false);

        progress?.Report("Note: Garnet has no streams; services that queue over Redis streams will not work on it.");
        var program = Path.Combine(folder, OperatingSystem.IsWindows() ? "garnet-server.exe" : "garnet-server");
        return new RedisInstallation(program, "Garnet", new Dictionary<string, string?>
        {
            // Garnet is built for older runtimes too; take the one that is here.
            ["DOTNET_ROLL_FORWARD"] = "Major",
            ["DOTNET_ROOT"] = Path.GetDirectoryName(dotnet),
        });
    }
}
