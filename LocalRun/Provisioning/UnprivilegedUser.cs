using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>The user that runs PostgreSQL when we are root, which PostgreSQL refuses to be.</summary>
internal sealed class UnprivilegedUser
{
    private readonly string? _name;
    private readonly Func<IReadOnlyList<string>, IReadOnlyList<string>> _wrap;

    private UnprivilegedUser(string? name, Func<IReadOnlyList<string>, IReadOnlyList<string>> wrap)
    {
        _name = name;
        _wrap = wrap;
    }

    /// <summary>Finds out who that is: we ourselves unless we are root.</summary>
    public static UnprivilegedUser Choose()
    {
        if (OperatingSystem.IsWindows() || !Environment.IsPrivilegedProcess)
            return new UnprivilegedUser(null, command => command);

        var users = File.ReadLines("/etc/passwd").Select(line => line.Split(':')).Where(fields => fields.Length > 3).ToList();
        var user = users.Find(fields => fields[0] == "postgres")
            ?? users.Find(fields => fields[0] == "nobody")
            ?? throw new ProvisioningException("PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody' to run it as.");
        var (name, group) = (user[0], user[3]);

        if (Executables.Find("setpriv") is { } setpriv && IsUtilLinux(setpriv))
            return new UnprivilegedUser(name, command => [setpriv, $"--reuid={name}", $"--regid={group}", "--clear-groups", "--", .. command]);
        if (Executables.Find("runuser") is { } runuser)
            return new UnprivilegedUser(name, command => [runuser, "-u", name, "--", .. command]);
        if (Executables.Find("su") is { } su)
            return new UnprivilegedUser(name, command => [su, "-s", "/bin/sh", name, "-c", "exec \"$0\" \"$@\"", .. command]);
        throw new ProvisioningException("PostgreSQL refuses to run as root, and none of setpriv, runuser and su is there to change the user.");
    }

    /// <summary>The command line that runs the command as that user.</summary>
    public IReadOnlyList<string> Run(params IReadOnlyList<string> command) => _wrap(command);

    /// <summary>Gives the user a directory with all that is in it.</summary>
    public async Task OwnAsync(string directory, CancellationToken cancellationToken)
    {
        if (_name is not null)
            await new Command("chown", "-R", _name, directory).RunCheckedAsync(cancellationToken).ConfigureAwait(false);
    }

    // BusyBox has a setpriv that cannot change the user.
    private static bool IsUtilLinux(string setpriv) =>
        new FileInfo(setpriv).ResolveLinkTarget(returnFinalTarget: true)?.Name.Contains("busybox", StringComparison.Ordinal) != true;
}
