using LocalRun.Processes;
using Testing;
using Xunit;

namespace LocalRun.Tests.Stacks;

/// <summary>The program with servers and shell scripts as services.</summary>
public sealed class SmallStackTests : IDisposable
{
    private const string Servers = """
        "postgres": {
          "type": "container.v0", "image": "docker.io/library/postgres:18.3",
          "connectionString": "Host={postgres.bindings.tcp.host};Port={postgres.bindings.tcp.port};Username=postgres;Password={password.value}",
          "args": ["-c", "max_connections=50"],
          "env": {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "{password.value}"},
          "bindings": {"tcp": {"scheme": "tcp", "protocol": "tcp", "transport": "tcp", "targetPort": 5432}}
        },
        "shop": {"type": "value.v0", "connectionString": "{postgres.connectionString};Database=shop"},
        "redis": {
          "type": "container.v0", "image": "docker.io/library/redis:8.6", "args": ["-c", "redis-server --requirepass $REDIS_PASSWORD"],
          "env": {"REDIS_PASSWORD": "{password.value}"},
          "bindings": {"tcp": {"scheme": "tcp", "protocol": "tcp", "transport": "tcp", "targetPort": 6379}}
        },
        "password": {
          "type": "parameter.v0", "value": "{password.inputs.value}",
          "inputs": {"value": {"type": "string", "secret": true, "default": {"generate": {"minLength": 22}}}}
        }
        """;

    private readonly TemporaryDirectory _directory = TemporaryDirectory.Create("localrun-test-");

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public SmallStackTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "The services are shell scripts.");

    public void Dispose() => _directory.Dispose();

    [Theory, InlineData(ProcessGroup.SignalInterrupt), InlineData(ProcessGroup.SignalTerminate)]
    public async Task A_signal_stops_everything_in_reverse_order_and_leaves_nothing(int signal)
    {
        var manifest = Manifest(Servers, Script("service", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done", "\"DB\": \"{shop.connectionString}\""));
        await using var runner = await Runner.StartAndWaitAsync(manifest);
        await runner.SaysAsync("service  | up");
        var (processes, directories) = (Processes(runner), Directories(runner));
        Assert.Equal(3, processes.Count);
        Assert.NotEmpty(directories);

        Assert.SkipWhen(runner.Ignores(signal), "These tests run as a background job.");
        runner.Signal(signal);

        Assert.Equal(0, await runner.Exited);
        Assert.DoesNotContain(processes, ProcessGroup.IsAlive);
        Assert.DoesNotContain(directories, Directory.Exists);
        Assert.Contains("service  | bye", runner.Output, StringComparison.Ordinal);
        Assert.True(runner.Output.IndexOf("Stopping service", StringComparison.Ordinal) < runner.Output.IndexOf("Stopping postgres", StringComparison.Ordinal));
        Assert.Equal(1, (await Runner.RunAsync(manifest, "--check")).ExitCode);
    }

    [Fact]
    public async Task A_killed_runner_takes_its_services_along()
    {
        await using var runner = await Runner.StartAndWaitAsync(Manifest(Servers, Script("service", "while :; do sleep 0.1; done")));
        var (processes, directories) = (Processes(runner), Directories(runner));

        runner.Signal(ProcessGroup.SignalKill);

        await Eventually.TrueAsync(() => !processes.Exists(ProcessGroup.IsAlive), cancellationToken: Cancelled);
        await Eventually.TrueAsync(() => !directories.Exists(Directory.Exists), cancellationToken: Cancelled);
    }

    [Fact]
    public async Task A_service_that_dies_is_reported_and_the_check_fails()
    {
        var manifest = Manifest(Servers, Script("service", "echo working; while [ ! -e die ]; do sleep 0.1; done; echo 'out of luck'; exit 7"));
        await using var runner = await Runner.StartAndWaitAsync(manifest);
        var before = await Runner.RunAsync(manifest, "--check");
        await File.WriteAllTextAsync(Path.Combine(_directory.Path, "die"), "", Cancelled);

        await runner.SaysAsync("service has ended unexpectedly (exit code 7)");
        var after = await Runner.RunAsync(manifest, "--check");

        await runner.SaysAsync("    out of luck");
        Assert.Equal(0, before.ExitCode);
        Assert.Contains("All 4 are healthy", before.Output, StringComparison.Ordinal);
        Assert.Equal(1, after.ExitCode);
        Assert.Matches(@"service\s+UNHEALTHY\s+process \d+ is gone", after.Output);
        Assert.Matches(@"shop\s+healthy\s+SELECT 1 answers", after.Output);
    }

    [Fact]
    public async Task A_service_that_fails_at_the_start_stops_the_others_and_is_explained()
    {
        await using var runner = Runner.Start(Manifest(
            Servers, """
            "service": {
              "type": "executable.v0", "command": "sh", "workingDirectory": ".", "args": ["-c", "echo 'no such table'; exit 3"],
              "env": {"DB": "{shop.connectionString}"}, "bindings": {"http": {"scheme": "http", "protocol": "tcp"}}
            }
            """));

        Assert.Equal(1, await runner.Exited);
        Assert.Contains("service ended with exit code 3 while it was starting", runner.Output, StringComparison.Ordinal);
        Assert.Contains("    no such table", runner.Output, StringComparison.Ordinal);
        Assert.Contains("Stopping postgres", runner.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Secrets_are_neither_in_the_output_nor_on_command_lines()
    {
        await using var runner = await Runner.StartAndWaitAsync(
            Manifest(Servers, Script("service", "echo \\\"my password: $SECRET\\\"; while :; do sleep 0.1; done", "\"SECRET\": \"{password.value}\"")));
        await runner.SaysAsync("my password: ********");
        var secrets = Directories(runner).Select(directory => Path.Combine(directory, "secrets.env")).Single(File.Exists);
        var password = (await File.ReadAllTextAsync(secrets, Cancelled)).Split('\'')[1];

        Assert.True(password.Length >= 22);
        Assert.DoesNotContain(password, runner.Output, StringComparison.Ordinal);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, OperatingSystem.IsWindows() ? default : File.GetUnixFileMode(secrets));
        foreach (var process in OperatingSystem.IsLinux() ? Processes(runner).Append(runner.ProcessId) : [])
            Assert.DoesNotContain(password, await File.ReadAllTextAsync($"/proc/{process}/cmdline", Cancelled), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_instances_do_not_meet()
    {
        var manifest = Manifest(Servers, Script("service", "while :; do sleep 0.1; done"));
        var starting = new[] { Runner.StartAndWaitAsync(manifest), Runner.StartAndWaitAsync(manifest) };
        await using var first = await starting[0];
        await using var second = await starting[1];

        Assert.Empty(first.State.Services.SelectMany(service => service.Addresses).Intersect(second.State.Services.SelectMany(service => service.Addresses)));
        Assert.Equal(0, (await Runner.RunAsync(manifest, "--check", "--instance", $"{first.ProcessId}")).ExitCode);
        first.Signal(ProcessGroup.SignalTerminate);
        Assert.Equal(0, await first.Exited);
        Assert.Equal(0, (await Runner.RunAsync(manifest, "--check")).ExitCode);
        Assert.Equal(1, (await Runner.RunAsync(manifest, "--check", "--instance", $"{first.ProcessId}")).ExitCode);
    }

    [Theory]
    [InlineData(2, "--bogus")]
    [InlineData(2, "--instance", "many")]
    [InlineData(2, "--check", "--load-test")]
    [InlineData(0, "--help")]
    [InlineData(1, "--check")]
    public async Task The_exit_code_tells_how_it_went(int expected, params string[] arguments)
    {
        var result = await Runner.RunAsync(Manifest(Servers), arguments);

        Assert.Equal(expected, result.ExitCode);
        Assert.Equal(expected != 1, result.Output.Contains("--load-test", StringComparison.Ordinal));
    }

    private static string Script(string name, string script, string environment = "") => $$"""
        "{{name}}": {"type": "executable.v0", "command": "sh", "workingDirectory": ".", "args": ["-c", "{{script}}"], "env": { {{environment}} } }
        """;

    private static List<int> Processes(Runner runner) => [.. runner.State.Services.Select(service => service.ProcessId).OfType<int>()];

    // Every directory of the run has its name in the log: the run's own in the hints, PostgreSQL's in its log.
    private static List<string> Directories(Runner runner) =>
        [.. System.Text.RegularExpressions.Regex.Matches(runner.Output, "/[^ \"=]*/pooler-(run|pg|redis)-[0-9a-f]+").Select(match => match.Value).Distinct()];

    private string Manifest(params string[] resources)
    {
        var path = Path.Combine(_directory.Path, "aspire-manifest.json");
        File.WriteAllText(path, $$"""{"resources": { {{string.Join(",\n", resources)}} } }""");
        return path;
    }
}
