using System.Net;
using System.Net.Sockets;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Process;

public sealed class StartTests : IDisposable
{
    private readonly ThrowawayDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Wrong_settings_are_listed_with_file_and_line_and_the_exit_code_is_1()
    {
        _directory.Write("pooler.ini", "[pgbouncer]\npool_mod = session\nmax_client_conn = many\n[databases]\nshop = host=h pasword=hunter2\n");
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["pooler.ini"], ("POOL_MODE", "sometimes"));
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.EndsWith("ERROR pooler.ini:2: unknown setting pool_mod; did you mean pool_mode?", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.EndsWith("ERROR pooler.ini:3: max_client_conn = \"many\": allowed: a whole number from 0 up", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.EndsWith("ERROR pooler.ini:5: unknown setting pasword; did you mean password?", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.EndsWith("ERROR environment variable POOL_MODE: pool_mode = \"sometimes\": allowed: session, transaction, statement", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, l => l.Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_any_configuration_it_says_what_to_set()
    {
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, []);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains("no database to pool: name a configuration file, or set DATABASES_HOST", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Check_reads_the_configuration_and_starts_nothing()
    {
        _directory.Write("good.ini", "[pgbouncer]\ndns_max_ttl = 3\n");
        var good = await PoolerProgram.RunAsync(_directory.Path, ["--check", "good.ini"]);
        Assert.Equal((0, "The configuration is good.\n"), (good.ExitCode, good.Output));
        Assert.Contains(good.Lines, l => l.StartsWith("good.ini: warning: section [databases] is empty", StringComparison.Ordinal));

        _directory.Write("bad.ini", "[pgbouncer]\nx = 1\n");
        var bad = await PoolerProgram.RunAsync(_directory.Path, ["--check", "bad.ini"]);
        Assert.Equal((1, "The configuration has mistakes.\n"), (bad.ExitCode, bad.Output));
    }

    [Fact]
    public async Task Variables_alone_are_enough_to_start()
    {
        var port = PoolerProgram.FreePort();
        await using var pooler = PoolerProgram.Start(
            _directory.Path, [], ("DATABASES_HOST", "127.0.0.1"), ("DATABASES_USER", "u"), ("DATABASES_PASSWORD", "p"),
            ("POOLER_LISTEN_PORT", $"{port}"), ("POOLER_UNIX_SOCKET_DIR", ""));
        await pooler.UpAsync();
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_variable_may_name_the_configuration_file()
    {
        _directory.Write("pooler.ini", Ini("verbose = 1"));
        await using var pooler = PoolerProgram.Start(_directory.Path, [], ("POOLER_CONFFILE", "pooler.ini"));
        await pooler.UpAsync();
    }

    [Fact]
    public async Task Appsettings_alone_are_enough_to_start()
    {
        var port = PoolerProgram.FreePort();
        _directory.Write(
            "appsettings.json",
            $$"""{ "Pooler": { "ListenPort": {{port}}, "UnixSocketDir": "", "Databases": { "shop": { "Host": "127.0.0.1" } }, "Users": { "u": { "Password": "p" } } } }""");
        await using var pooler = PoolerProgram.Start(_directory.Path, []);
        await pooler.UpAsync();
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_broken_appsettings_file_is_named()
    {
        _directory.Write("appsettings.json", "{ \"Pooler\": ");
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, []);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains("ERROR appsettings.json: ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("listen_port")]
    [InlineData("http_port")]
    [InlineData("http_admin_port")]
    public async Task A_port_in_use_is_named_and_the_exit_code_is_1(string setting)
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        var port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        _directory.Write("pooler.ini", Ini($"{setting} = {port}"));

        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["pooler.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains(" FATAL ", StringComparison.Ordinal) && l.Contains($":{port}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Quiet_logs_to_the_file_only()
    {
        _directory.Write("pooler.ini", Ini("logfile = pooler.log"));
        await using (var pooler = PoolerProgram.Start(_directory.Path, ["-q", "pooler.ini"]))
        {
            var log = Path.Combine(_directory.Path, "pooler.log");
            await Eventually.TrueAsync(() => File.Exists(log) && ReadShared(log).Contains("process up", StringComparison.Ordinal), cancellationToken: TestContext.Current.CancellationToken);
            Assert.Empty(pooler.Lines);
        }
    }

    [Fact]
    public async Task The_pidfile_names_the_process_while_it_runs_and_keeps_a_second_one_out()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "ends the program with a signal");
        _directory.Write("pooler.ini", Ini("pidfile = pooler.pid"));
        var file = Path.Combine(_directory.Path, "pooler.pid");
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await pooler.UpAsync();
        Assert.Equal($"{pooler.Id}\n", File.ReadAllText(file));

        var second = await PoolerProgram.RunAsync(_directory.Path, ["pooler.ini"]);
        Assert.Equal(1, second.ExitCode);
        Assert.Contains(second.Lines, l => l.Contains("pooler.pid' exists, another instance running?", StringComparison.Ordinal));
        Assert.True(File.Exists(file));

        pooler.Signal(SignalTests.Quit);
        Assert.Equal(0, await pooler.ExitAsync());
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task A_stale_pidfile_does_not_prevent_the_start()
    {
        var gone = await PoolerProgram.RunAsync(_directory.Path, ["-V"]);
        Assert.Equal(0, gone.ExitCode);
        _directory.Write("pooler.pid", "999999999\n");
        _directory.Write("pooler.ini", Ini("pidfile = pooler.pid"));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await pooler.UpAsync();
        Assert.Contains(pooler.Lines, l => l.EndsWith("LOG stale pidfile, removing", StringComparison.Ordinal));
    }

    [Fact]
    public async Task In_the_background_it_detaches_and_the_starter_tells_whether_it_runs()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "no -d on Windows");
        _directory.Write("pooler.ini", Ini("pidfile = pooler.pid\nlogfile = pooler.log"));
        var started = await PoolerProgram.RunAsync(_directory.Path, ["-d", "pooler.ini"]);
        Assert.Equal(0, started.ExitCode);
        var pid = int.Parse(File.ReadAllText(Path.Combine(_directory.Path, "pooler.pid")));
        using var background = System.Diagnostics.Process.GetProcessById(pid);
        try
        {
            var second = await PoolerProgram.RunAsync(_directory.Path, ["-d", "pooler.ini"]);
            Assert.Equal(1, second.ExitCode);
            Assert.False(background.HasExited);
        }
        finally
        {
            background.Kill();
            await background.WaitForExitAsync(TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task In_the_background_it_wants_a_pidfile()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "no -d on Windows");
        _directory.Write("pooler.ini", Ini(""));
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["-d", "pooler.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains("daemon needs pidfile configured", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("")]
    [InlineData("http_addr = 127.0.0.1\nhttp_port = {port}")]
    public async Task The_working_directory_is_not_watched(string settings)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "looks into /proc");
        _directory.Write("pooler.ini", Ini(settings.Replace("{port}", $"{PoolerProgram.FreePort()}", StringComparison.Ordinal)));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await pooler.UpAsync();
        Assert.DoesNotContain(
            Directory.GetFiles($"/proc/{pooler.Id}/fd"), f => new FileInfo(f).LinkTarget?.Contains("inotify", StringComparison.Ordinal) == true);
    }

    /// <summary>A configuration that starts without a database server, on free ports.</summary>
    internal static string Ini(string more) =>
        $"[databases]\n* = host=127.0.0.1\n[users]\nu = password=p\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\n{more}\n";

    private static string ReadShared(string path)
    {
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd();
    }
}
