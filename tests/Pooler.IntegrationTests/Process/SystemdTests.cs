using System.Net;
using System.Net.Sockets;
using System.Text;
using LocalRun.Provisioning;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Process;

/// <summary>What systemd expects of a service, beyond what <see cref="SignalTests"/> shows of its state.</summary>
public sealed class SystemdTests : IDisposable
{
    /// <summary>Opens a TCP and a Unix socket as descriptors 3 and 4, as a service manager does, and becomes the program.</summary>
    private const string SocketManager = """
        import os, socket, sys
        tcp = socket.socket()
        tcp.bind(("127.0.0.1", int(sys.argv[1])))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(sys.argv[2])
        for number, listening in enumerate((tcp, unix)):
            listening.listen()
            os.dup2(os.dup(listening.fileno()), 10 + number)
        for number in range(2):
            os.dup2(10 + number, 3 + number)
            os.close(10 + number)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="tcp:unix")
        os.execv(sys.argv[3], sys.argv[3:])
        """;

    private readonly ThrowawayDirectory _directory = new();

    public SystemdTests() => Assert.SkipUnless(OperatingSystem.IsLinux(), "systemd is Linux'");

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Sockets_of_the_service_manager_take_the_place_of_its_own_addresses()
    {
        var port = PoolerProgram.FreePort();
        var path = Path.Combine(_directory.Path, "passed.socket");
        _directory.Write("pooler.ini", StartTests.Ini("").Replace("unix_socket_dir =", $"unix_socket_dir = {_directory.Path}", StringComparison.Ordinal));
        var python = await Tools.PythonWithPsycopg2Async(cancellationToken: Cancelled);
        await using (var pooler = PoolerProgram.StartProgram(
            _directory.Path, python, ["-c", SocketManager, $"{port}", path, PoolerProgram.Executable, "pooler.ini"]))
        {
            await pooler.UpAsync();
            using (var tcp = await RawClient.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port))) await IsPoolerAsync(tcp);
            using (var unix = await RawClient.ConnectAsync(new UnixDomainSocketEndPoint(path))) await IsPoolerAsync(unix);

            Assert.Contains(pooler.Lines, l => l.EndsWith("WARNING sockets passed from service manager, listen_addr ignored", StringComparison.Ordinal));
            Assert.Contains(pooler.Lines, l => l.EndsWith("WARNING sockets passed from service manager, unix_socket_dir ignored", StringComparison.Ordinal));
            Assert.Contains(pooler.Lines, l => l.EndsWith($"LOG socket passed from service manager (fd 3): 127.0.0.1:{port}", StringComparison.Ordinal));
            Assert.Contains(pooler.Lines, l => l.EndsWith($"LOG socket passed from service manager (fd 4): unix:{path}", StringComparison.Ordinal));
            Assert.DoesNotContain(pooler.Lines, l => l.Contains("LOG listening on", StringComparison.Ordinal));
            pooler.Signal(SignalTests.Quit);
            Assert.Equal(0, await pooler.ExitAsync());
        }

        // It is the service manager's: the next process gets the same one.
        Assert.True(File.Exists(path));
    }

    [Fact]
    public async Task Sockets_meant_for_another_process_are_left_alone()
    {
        _directory.Write("pooler.ini", StartTests.Ini(""));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"], ("LISTEN_PID", "1"), ("LISTEN_FDS", "2"));
        await pooler.UpAsync();
        Assert.Contains(pooler.Lines, l => l.Contains("LOG listening on 127.0.0.1:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_descriptor_that_is_no_listening_socket_is_named()
    {
        _directory.Write("pooler.ini", StartTests.Ini(""));
        await using var pooler = PoolerProgram.StartProgram(
            _directory.Path, "/bin/sh", ["-c", "exec 3</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\"", PoolerProgram.Executable, "pooler.ini"]);
        Assert.Equal(1, await pooler.ExitAsync());
        Assert.Contains(pooler.Lines, l => l.Contains("FATAL failed to set up socket passed from service manager (fd 3): ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Systemd_hears_the_figures_of_each_period_and_that_the_loops_turn()
    {
        var path = Path.Combine(_directory.Path, "notify");
        using var notify = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        notify.Bind(new UnixDomainSocketEndPoint(path));
        _directory.Write("pooler.ini", StartTests.Ini("stats_period = 1\nlog_stats = 0"));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"], ("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "200000"));

        var heard = new List<string>();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        var buffer = new byte[4096];
        while (!heard.Contains("WATCHDOG=1") || !heard.Exists(m => m.StartsWith("STATUS=stats: 0 xacts/s, 0 queries/s", StringComparison.Ordinal)))
            heard.Add(Encoding.UTF8.GetString(buffer, 0, await notify.ReceiveAsync(buffer, limit.Token)));
        Assert.DoesNotContain(pooler.Lines, l => l.Contains("stats:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_units_in_packaging_are_what_systemd_understands()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/systemd-analyze"), "there is no systemd-analyze");
        var units = Path.Combine(Repository.Root, "packaging", "systemd");
        foreach (var name in new[] { "pooler.service", "pooler.socket" })
        {
            // The program must exist for the check.
            var unit = File.ReadAllText(Path.Combine(units, name)).Replace("/usr/lib/pooler/pooler", PoolerProgram.Executable, StringComparison.Ordinal);
            _directory.Write(name, unit);
        }
        await using var analyze = PoolerProgram.StartProgram(
            _directory.Path, "/usr/bin/systemd-analyze", ["verify", "--man=no", Path.Combine(_directory.Path, "pooler.service"), Path.Combine(_directory.Path, "pooler.socket")]);
        var exitCode = await analyze.ExitAsync();
        Assert.True(exitCode == 0 && !analyze.Lines.Any(l => l.Contains("pooler.", StringComparison.Ordinal)), string.Join('\n', analyze.Lines));
    }

    // It answers an encryption request with one letter.
    private static async Task IsPoolerAsync(RawClient client)
    {
        await client.Bytes(0, 0, 0, 8, 4, 210, 22, 47).SendAsync();
        Assert.Equal((byte)'N', await client.ReadByteAsync());
    }
}
