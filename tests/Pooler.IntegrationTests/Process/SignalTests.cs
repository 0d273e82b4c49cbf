using System.Net.Sockets;
using System.Text;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Process;

public sealed class SignalTests : IDisposable
{
    public const int Quit = 3;

    private const int Hup = 1, Int = 2, Term = 15;

    private readonly ThrowawayDirectory _directory = new();

    public SignalTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals");

    private static (int Usr1, int Usr2) User => OperatingSystem.IsMacOS() ? (30, 31) : (10, 12);

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(Quit)]
    [InlineData(Int)]
    [InlineData(Term)]
    public async Task Without_clients_every_ending_signal_ends_it_with_0(int signal)
    {
        await using var pooler = await StartAsync();
        pooler.Signal(signal);
        Assert.Equal(0, await pooler.ExitAsync());
        Assert.Contains(pooler.Lines, l => l.Contains("process ended", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(Quit)]
    [InlineData(Int)]
    public async Task Signals_that_the_shell_had_ignored_are_heard(int signal)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "what is ignored is known on Linux only");
        _directory.Write("pooler.ini", StartTests.Ini(""));
        await using var pooler = PoolerProgram.StartIgnoringSignals(_directory.Path, "pooler.ini");
        await pooler.UpAsync();
        pooler.Signal(Hup);
        await pooler.LineAsync("configuration reloaded");
        pooler.Signal(signal);
        Assert.Equal(0, await pooler.ExitAsync());
    }

    [Fact]
    public async Task Hup_reads_the_configuration_anew()
    {
        await using var pooler = await StartAsync();
        _directory.Write("pooler.ini", StartTests.Ini("listen_port = 1\ndefault_pool_size = 7"));
        pooler.Signal(Hup);
        await pooler.LineAsync("pooler.ini:9: listen_port changes at the next restart only (0 now, 1 then)");
        await pooler.LineAsync("configuration reloaded");
    }

    [Fact]
    public async Task Hup_with_mistakes_in_the_configuration_leaves_everything_as_it_was()
    {
        await using var pooler = await StartAsync();
        _directory.Write("pooler.ini", StartTests.Ini("colour = blue"));
        pooler.Signal(Hup);
        await pooler.LineAsync("pooler.ini:9: unknown setting colour");
        await pooler.LineAsync("reload failed: everything stays as it was");

        _directory.Write("pooler.ini", StartTests.Ini("verbose = 1"));
        pooler.Signal(Hup);
        await pooler.LineAsync("configuration reloaded");
    }

    [Fact]
    public async Task Hup_opens_the_log_anew_so_that_it_can_be_rotated()
    {
        _directory.Write("pooler.ini", StartTests.Ini("logfile = pooler.log"));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await pooler.UpAsync();
        var log = Path.Combine(_directory.Path, "pooler.log");
        File.Move(log, log + ".1");
        pooler.Signal(Hup);
        await Eventually.TrueAsync(() => File.Exists(log), cancellationToken: TestContext.Current.CancellationToken);
        pooler.Signal(Hup);
        await Eventually.TrueAsync(() => new FileInfo(log).Length > 0, cancellationToken: TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Usr1_pauses_and_Usr2_resumes()
    {
        await using var pooler = await StartAsync();
        pooler.Signal(User.Usr1);
        await pooler.LineAsync("LOG got SIGUSR1, pausing all activity");
        pooler.Signal(User.Usr2);
        await pooler.LineAsync("LOG got SIGUSR2, continuing from PAUSE");
        pooler.Signal(Quit);
        Assert.Equal(0, await pooler.ExitAsync());
        Assert.DoesNotContain(pooler.Lines, l => l.Contains("failed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Systemd_hears_of_every_change_of_state()
    {
        await SystemdHearsAsync(Path.Combine(_directory.Path, "notify"), p => p);
    }

    [Fact]
    public async Task Systemd_is_reached_under_an_abstract_name_too()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "abstract names are Linux'");
        await SystemdHearsAsync($"@pooler-test-{Guid.NewGuid():N}", p => "\0" + p[1..]);
    }

    private async Task SystemdHearsAsync(string name, Func<string, string> path)
    {
        using var notify = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        notify.Bind(new UnixDomainSocketEndPoint(path(name)));
        await using var pooler = await StartAsync(("NOTIFY_SOCKET", name));
        Assert.StartsWith("READY=1\nSTATUS=Listening on 127.0.0.1:", await ReceiveAsync(notify));

        pooler.Signal(Hup);
        Assert.Matches(@"^RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=Reloading$", await ReceiveAsync(notify));
        Assert.StartsWith("READY=1\n", await ReceiveAsync(notify));

        pooler.Signal(Term);
        Assert.Equal("STOPPING=1\nSTATUS=shutting down, waiting for all clients disconnect", await ReceiveAsync(notify));
        Assert.Equal(0, await pooler.ExitAsync());
    }

    private static async Task<string> ReceiveAsync(Socket socket)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        var buffer = new byte[4096];
        var length = await socket.ReceiveAsync(buffer, limit.Token);
        return Encoding.UTF8.GetString(buffer, 0, length);
    }

    private async Task<PoolerProgram> StartAsync(params (string Name, string Value)[] environment)
    {
        _directory.Write("pooler.ini", StartTests.Ini(""));
        var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"], environment);
        await pooler.UpAsync();
        return pooler;
    }
}
