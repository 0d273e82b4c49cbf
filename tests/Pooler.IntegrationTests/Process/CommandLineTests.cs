using Pooler.Server;
using Xunit;

namespace Pooler.IntegrationTests.Process;

public sealed class CommandLineTests
{
    [Theory]
    [InlineData("-dqvv -u bob x.ini")]
    [InlineData("-vdvq -ubob -- x.ini")]
    [InlineData("x.ini --daemon --quiet --verbose -v --user=bob")]
    [InlineData("--dae --qui --verb --verb --us bob x.ini")]
    public void Options_may_be_spelled_as_getopt_allows(string line)
    {
        Assert.True(CommandLine.TryParse(line.Split(' '), out var parsed, out var error), error);
        Assert.Equal(
            (true, true, 2, "bob", "x.ini", CommandLineAction.Run),
            (parsed.Daemon, parsed.Quiet, parsed.Verbosity, parsed.User, parsed.ConfigurationFile, parsed.Action));
    }

    [Theory]
    [InlineData("-x", "unknown option -x")]
    [InlineData("-dx", "unknown option -x")]
    [InlineData("--what", "unknown option --what")]
    [InlineData("--ver", "option --ver is ambiguous")]
    [InlineData("-u", "option -u needs an argument")]
    [InlineData("--user", "option --user needs an argument")]
    [InlineData("--daemon=yes", "option --daemon takes no argument")]
    [InlineData("a.ini b.ini", "more than one configuration file: a.ini and b.ini")]
    public void What_is_wrong_is_named(string line, string expected)
    {
        Assert.False(CommandLine.TryParse(line.Split(' '), out _, out var error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public async Task Version_comes_first_on_standard_output()
    {
        using var directory = new ThrowawayDirectory();
        foreach (var option in new[] { "-V", "--version" })
        {
            var (exitCode, output, _) = await PoolerProgram.RunAsync(directory.Path, [option]);
            Assert.Equal(0, exitCode);
            Assert.Matches(@"^PgBouncer \d+\.\d+\.\d+ \(Pooler \d+\.\d+\.\d+\)\n", output);
        }
    }

    [Fact]
    public async Task Help_lists_every_option()
    {
        using var directory = new ThrowawayDirectory();
        var (exitCode, output, _) = await PoolerProgram.RunAsync(directory.Path, ["-h"]);
        Assert.Equal(0, exitCode);
        foreach (var option in new[] { "-d, --daemon", "-q, --quiet", "-R, --reboot", "-u, --user=", "-v, --verbose", "-V, --version", "-h, --help", "--check" })
            Assert.Contains(option, output);
    }

    [Fact]
    public async Task An_unknown_option_ends_with_1_and_a_hint()
    {
        using var directory = new ThrowawayDirectory();
        var (exitCode, output, lines) = await PoolerProgram.RunAsync(directory.Path, ["--frobnicate"]);
        Assert.Equal(1, exitCode);
        Assert.Equal("", output);
        Assert.Equal(["pooler: unknown option --frobnicate", "Try \"pooler --help\" for more information."], lines);
    }

    [Theory]
    [InlineData("unix_socket_dir =\nlisten_port = 6432", "cannot reboot if unix dir not configured (unix_socket_dir)")]
    [InlineData("unix_socket_dir = .\nlisten_port = 0", "cannot reboot with listen_port = 0: the running process is found by the port")]
    public async Task Taking_over_needs_a_Unix_socket_to_find_the_running_process_by(string settings, string complaint)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "-R works on Linux only");
        using var directory = new ThrowawayDirectory();
        directory.Write("pooler.ini", $"[databases]\n* = host=127.0.0.1\n[pgbouncer]\n{settings}\n");
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(directory.Path, ["-R", "pooler.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.EndsWith($" FATAL {complaint}", StringComparison.Ordinal));
    }
}
