using System.Net;
using System.Net.Sockets;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Sockets;

/// <summary>Where the pooler listens.</summary>
public sealed class ListenTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task A_star_listens_on_every_address_of_both_families(Variant variant)
    {
        Assert.SkipUnless(HasIPv6(), "this machine has no IPv6");
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = Start(log, s => s with { ListenAddr = "*" }, variant);
        var port = pooler.EndPoint.Port;

        foreach (var address in new[] { IPAddress.Loopback, IPAddress.IPv6Loopback })
        {
            using var client = await RawClient.LoginAsync(new IPEndPoint(address, port), database, PostgresForPooler.Trusted);
            Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        }
        Assert.Contains($"listening on 0.0.0.0:{port}", log.Lines);
        Assert.Contains($"listening on [::]:{port}", log.Lines);
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.Contains($"{database}/{PostgresForPooler.Trusted}@[::1]:", StringComparison.Ordinal)), cancellationToken: Cancelled);
    }

    [Fact]
    public async Task Several_addresses_and_host_names_are_listened_on_at_once()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "only Linux has all of 127.0.0.0/8 on its loopback interface");
        await using var pooler = Start(null, s => s with { ListenAddr = "127.0.0.2 ,localhost,, 127.0.0.3" });
        var addresses = pooler.Engine.ListenEndPoints.Cast<IPEndPoint>().ToArray();
        Assert.Superset(
            new HashSet<string> { "127.0.0.1", "127.0.0.2", "127.0.0.3" },
            addresses.Select(a => a.Address.ToString()).ToHashSet());
        Assert.Single(addresses.Select(a => a.Port).Distinct());
        foreach (var address in addresses)
        {
            using var client = new TcpClient(address.AddressFamily);
            await client.ConnectAsync(address, Cancelled);
        }
    }

    [Fact]
    public async Task An_address_that_cannot_be_had_is_a_warning_as_long_as_another_can()
    {
        using var log = new RecordingLog();
        await using var pooler = Start(log, s => s with { ListenAddr = "192.0.2.1, 127.0.0.1" });
        Assert.Equal(IPAddress.Loopback, Assert.IsType<IPEndPoint>(Assert.Single(pooler.Engine.ListenEndPoints)).Address);
        Assert.Contains(log.Lines, l => l.StartsWith("cannot listen on 192.0.2.1:", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("192.0.2.1", "failed to listen on any address in listen_addr list: 192.0.2.1")]
    [InlineData("no-such-host.invalid", "listen_addr: could not translate host name \"no-such-host.invalid\"")]
    [InlineData("", "nowhere to listen on")]
    public async Task Without_any_address_the_start_fails_and_names_the_setting(string addresses, string message)
    {
        var engine = NewEngine(s => s with { ListenAddr = addresses });
        await using (engine)
            Assert.StartsWith(message, Assert.Throws<PoolerStartException>(() => engine.Start()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_is_shared_only_when_both_processes_ask_for_it()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "shared ports are tested on Linux");
        await using var first = Start(null, s => s with { SoReuseport = true });
        var port = first.EndPoint.Port;
        await using (var second = NewEngine(s => s with { SoReuseport = true, ListenPort = port })) second.Start();

        var alone = NewEngine(s => s with { ListenPort = port });
        await using (alone) Assert.Contains($"127.0.0.1:{port}", Assert.Throws<PoolerStartException>(() => alone.Start()).Message, StringComparison.Ordinal);

        await using var unshared = Start(null, s => s);
        var intruder = NewEngine(s => s with { SoReuseport = true, ListenPort = unshared.EndPoint.Port });
        await using (intruder) Assert.Throws<PoolerStartException>(() => intruder.Start());
        var twin = NewEngine(s => s with { ListenPort = unshared.EndPoint.Port });
        await using (twin) Assert.Throws<PoolerStartException>(() => twin.Start());
    }

    [Fact]
    public async Task A_Unix_socket_that_somebody_answers_on_is_left_alone_and_one_that_nobody_answers_on_is_replaced()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The pooler has no Unix sockets on Windows.");
        var directory = Directory.CreateTempSubdirectory("pooler-unix-").FullName;
        try
        {
            await using var first = Start(null, s => s with { UnixSocketDir = directory });
            var path = Path.Combine(directory, $".s.PGSQL.{first.EndPoint.Port}");
            var second = NewEngine(s => s with { ListenAddr = "", ListenPort = first.EndPoint.Port, UnixSocketDir = directory });
            await using (second)
                Assert.StartsWith($"unix socket is in use, cannot continue: another process has {path}", Assert.Throws<PoolerStartException>(() => second.Start()).Message, StringComparison.Ordinal);
            Assert.True(File.Exists(path));

            const int Port = 7432;
            var stale = Path.Combine(directory, $".s.PGSQL.{Port}");
            LeaveStale(stale);
            await using (var third = NewEngine(s => s with { ListenAddr = "", ListenPort = Port, UnixSocketDir = directory }))
            {
                third.Start();
                using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await client.ConnectAsync(new UnixDomainSocketEndPoint(stale), Cancelled);
            }
            Assert.False(File.Exists(stale));

            // PostgreSQL's lock file beside a socket that it has not opened yet.
            File.WriteAllText(stale + ".lock", "1\n");
            LeaveStale(stale);
            var fourth = NewEngine(s => s with { ListenAddr = "", ListenPort = Port, UnixSocketDir = directory });
            await using (fourth) Assert.Contains("in use", Assert.Throws<PoolerStartException>(() => fourth.Start()).Message, StringComparison.Ordinal);
            Assert.True(File.Exists(stale));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task A_directory_that_does_not_exist_is_named_with_its_setting()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The pooler has no Unix sockets on Windows.");
        var engine = NewEngine(s => s with { UnixSocketDir = "/no/such/directory" });
        await using (engine)
        {
            var message = Assert.Throws<PoolerStartException>(() => engine.Start()).Message;
            Assert.StartsWith("failed to create unix socket /no/such/directory/.s.PGSQL.", message, StringComparison.Ordinal);
            Assert.EndsWith("(unix_socket_dir)", message, StringComparison.Ordinal);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Abstract_names_serve_clients_and_reach_servers(Variant variant)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "abstract names are Linux'");
        var database = await NewDatabaseAsync();
        var name = $"@pooler-{Guid.NewGuid():N}";
        using var log = new RecordingLog();
        // The inner pooler stands in for a server that listens under an abstract name.
        await using var inner = Start(null, s => s with { UnixSocketDir = name }, variant);
        await using var outer = RunningPooler.Start(
            RunningPooler.Configuration(
                Postgres, variant, s => s with { UnixSocketDir = $"{name}-outer", AdminUsers = PostgresForPooler.Trusted },
                d => d with { Host = name, Port = inner.EndPoint.Port }),
            log);
        var port = outer.EndPoint.Port;

        using var client = await RawClient.LoginAsync(
            new UnixDomainSocketEndPoint($"\0{name[1..]}-outer/.s.PGSQL.{port}"), database, PostgresForPooler.Trusted);
        Assert.Equal(database, await client.ScalarAsync("SELECT current_database()"));

        Assert.Contains($"listening on unix:{name}-outer/.s.PGSQL.{port}", log.Lines);
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.EndsWith($"@unix:{inner.EndPoint.Port} new connection to server", StringComparison.Ordinal)), cancellationToken: Cancelled);
        using var console = await RawClient.LoginAsync(outer.EndPoint, "pgbouncer", PostgresForPooler.Trusted);
        console.Query("SELECT type, addr, port, local_addr, local_port FROM SHOW SOCKETS WHERE addr = 'unix' ORDER BY type");
        await console.SendAsync();
        var rows = (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => string.Join(' ', m.Cells())).ToArray();
        Assert.Equal([$"C unix {port} unix {port}", $"S unix {inner.EndPoint.Port} unix {inner.EndPoint.Port}"], rows);
    }

    private RunningPooler Start(RecordingLog? log, Func<PoolerSettings, PoolerSettings> change, Variant? variant = null) =>
        RunningPooler.Start(RunningPooler.Configuration(Postgres, variant ?? AnyVariant, change), log);

    private PoolerEngine NewEngine(Func<PoolerSettings, PoolerSettings> change) => new(
        RunningPooler.Configuration(Postgres, AnyVariant, change),
        new EngineOptions { LoggerFactory = Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance });

    private static bool HasIPv6()
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static void LeaveStale(string path)
    {
        // .NET removes the file of a socket that it closes; a killed process doesn't.
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path + ".bound"));
        File.Move(path + ".bound", path);
    }
}
