using Xunit;

namespace Pooler.IntegrationTests.Process;

/// <summary>pooler --check, with a look at the real server.</summary>
public sealed class CheckTests(PostgresForPooler postgres) : IDisposable
{
    private readonly ThrowawayDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Warnings_name_file_and_line_and_do_not_fail_the_check()
    {
        _directory.Write("pooler.ini", $"[databases]\nshop = host=127.0.0.1 port={postgres.Server.Port} user={PostgresForPooler.Trusted} dbname=postgres pool_size=300\n[pgbouncer]\npool_mode = session\nquery_wait_timeout = 0\nlisten_addr = 127.0.0.1\nauth_type = any\n");
        var (exitCode, output, lines) = await PoolerProgram.RunAsync(_directory.Path, ["--check", "pooler.ini"]);

        Assert.Equal((0, "The configuration is good.\n"), (exitCode, output));
        Assert.Contains(lines, l => l.StartsWith("pooler.ini:5: warning: query_wait_timeout: 0 lets clients wait", StringComparison.Ordinal));
        // PostgresForPooler allows 400.
        Assert.Contains(lines, l => l.StartsWith(
            $"pooler.ini: warning: the pools may open up to 300 server connections on 127.0.0.1:{postgres.Server.Port}, more than 70 % of its max_connections = 400", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, l => l.Contains(": error: ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_server_that_cannot_be_asked_is_named_and_no_mistake()
    {
        var port = PoolerProgram.FreePort();
        _directory.Write("pooler.ini", $"[databases]\nshop = host=127.0.0.1 port={port} user=u password=s3cret\n[pgbouncer]\npool_mode = session\n");
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["--check", "pooler.ini"]);
        Assert.Equal(0, exitCode);
        Assert.Contains(lines, l => l.StartsWith($"pooler.ini: warning: the server 127.0.0.1:{port} could not be asked for its max_connections: ", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, l => l.Contains("s3cret", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Errors_name_file_and_line_and_fail_the_check()
    {
        _directory.Write("pooler.ini", "[databases]\n* = host=h\n[pgbouncer]\ndefault_pool_sise = 3\nlog_stats = perhaps\n");
        var (exitCode, output, lines) = await PoolerProgram.RunAsync(_directory.Path, ["--check", "pooler.ini"]);
        Assert.Equal((1, "The configuration has mistakes.\n"), (exitCode, output));
        Assert.Equal(
            ["pooler.ini:4: error: unknown setting default_pool_sise; did you mean default_pool_size?",
             "pooler.ini:5: error: log_stats = \"perhaps\": allowed: 0 or 1 (also off/on, no/yes, false/true)"],
            lines.Where(l => l.Contains(": error: ", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task The_same_warnings_are_in_the_log_at_the_start_and_after_a_reload()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there are no signals");
        _directory.Write("pooler.ini", $"[databases]\nshop = host=127.0.0.1 port={postgres.Server.Port} user={PostgresForPooler.Trusted} dbname=postgres pool_size=300\n[pgbouncer]\nserver_lifetime = 0\nlisten_addr = 127.0.0.1\nlisten_port = {PoolerProgram.FreePort()}\nunix_socket_dir =\n");
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await pooler.UpAsync();
        for (var times = 1; times <= 2; times++)
        {
            foreach (var warning in new[] { "server_lifetime: 0 uses", "the pools may open up to 300 server connections" })
                Assert.Contains("WARNING", await pooler.LineAsync(warning, times));
            if (times == 1) pooler.Signal(PosixHangUp);
        }
    }

    private const int PosixHangUp = 1;
}
