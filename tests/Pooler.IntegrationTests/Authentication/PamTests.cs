using LocalRun.Processes;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Process;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>Passwords that PAM's modules decide on. Their services are files in /etc/pam.d, which only root can write.</summary>
public sealed class PamTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const string Services = "/etc/pam.d";

    public static bool CanWriteServices { get; } = OperatingSystem.IsLinux() && Directory.Exists(Services) && Environment.UserName == "root";

    [Fact(Skip = "only root can write services to /etc/pam.d", SkipUnless = nameof(CanWriteServices))]
    public async Task The_service_of_the_hba_line_decides()
    {
        using var directory = new ThrowawayDirectory();
        // pam_exec gives the user in the environment and the password on standard input.
        var script = directory.Write("check", """
            #!/bin/sh
            echo "$PAM_USER $PAM_RHOST $PAM_SERVICE" >> "$(dirname "$0")/asked"
            password=$(cat | tr -d '\0')
            [ "$password" = "$(cat "$(dirname "$0")/password")" ]
            """);
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        directory.Write("password", Postgres.Server.Password);
        using var asking = new Service($"auth required pam_exec.so expose_authtok quiet {script}\naccount required pam_permit.so\n");
        using var closed = new Service("auth required pam_permit.so\naccount required pam_deny.so\n");
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(Load(directory, $"""
            local all all trust
            host all {PostgresForPooler.Trusted} 127.0.0.1/32 pam pamservice={closed.Name}
            host all all 127.0.0.1/32 pam pamservice={asking.Name}
            """), log);

        // What the client gave opens the server, too.
        Assert.Equal((true, Postgres.Server.User), await Psql.AskAsync(pooler, "postgres", Postgres.Server.User, Postgres.Server.Password));
        await AssertRefusedAsync(pooler, Postgres.Server.User, "wrong");
        Assert.Contains($"{Postgres.Server.User} 127.0.0.1 {asking.Name}", File.ReadAllLines(Path.Combine(directory.Path, "asked")));
        // The password would do, the account is closed.
        await AssertRefusedAsync(pooler, PostgresForPooler.Trusted, "anything");
        Assert.Contains(log.Lines, line => line.Contains("pam_authenticate() failed"));
        Assert.Contains(log.Lines, line => line.Contains("pam_acct_mgmt() failed"));
        Assert.DoesNotContain(log.Lines, line => line.Contains(Postgres.Server.Password));
    }

    [Fact(Skip = "only root can write services to /etc/pam.d", SkipUnless = nameof(CanWriteServices))]
    public async Task The_service_pgbouncer_decides_where_pam_is_the_authentication_type()
    {
        var path = Path.Combine(Services, "pgbouncer");
        Assert.SkipWhen(File.Exists(path), "this machine has a PAM service pgbouncer of its own");
        using var directory = new ThrowawayDirectory();
        using var service = new Service("auth required pam_permit.so\naccount required pam_permit.so\n", "pgbouncer");
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AuthType = AuthType.Pam }) with
        {
            Users = new Dictionary<string, UserSettings>(),
        });

        var logins = Enumerable.Range(0, 20).Select(_ => Psql.AskAsync(pooler, "postgres", PostgresForPooler.Trusted, "anything"));

        Assert.All(await Task.WhenAll(logins), answer => Assert.Equal((true, PostgresForPooler.Trusted), answer));
    }

    private PoolerConfiguration Load(ThrowawayDirectory directory, string rules)
    {
        var result = ConfigurationLoader.Load(new ConfigurationSources
        {
            File = directory.Write("pgbouncer.ini", $"""
                [databases]
                * = host={Postgres.Server.Host} port={Postgres.Server.Port}
                [pgbouncer]
                listen_addr = 127.0.0.1
                listen_port = {Ports.Take()}
                unix_socket_dir =
                auth_type = hba
                auth_hba_file = {directory.Write("hba.conf", rules + "\n")}
                """),
        });
        Assert.Empty(result.Errors);
        return result.Configuration!;
    }

    private static async Task AssertRefusedAsync(RunningPooler pooler, string user, string password)
    {
        var (succeeded, output) = await Psql.AskAsync(pooler, "postgres", user, password);
        Assert.False(succeeded);
        Assert.Contains($"PAM authentication failed for user \"{user}\"", output);
    }

    private sealed class Service : IDisposable
    {
        private readonly string _path;

        public Service(string lines, string? name = null)
        {
            Name = name ?? $"pooler-test-{Guid.NewGuid():N}";
            _path = Path.Combine(Services, Name);
            File.WriteAllText(_path, lines);
        }

        public string Name { get; }

        public void Dispose() => File.Delete(_path);
    }
}
