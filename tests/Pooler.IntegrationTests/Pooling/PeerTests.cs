using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>Several processes behind one address: a cancel request may reach another one than its client's.</summary>
public sealed class PeerTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_cancel_request_that_reaches_another_process_is_passed_on(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var first = Start(variant, id: 1);
        await using var second = Start(variant, id: 300);
        first.Reload(c => c with { Peers = Peers(To(300, second)) });
        second.Reload(c => c with { Peers = Peers(To(1, first), To(300, second)) });

        foreach (var (own, other) in new[] { (first, second), (second, first), (first, first) })
        {
            using var client = await own.LoginAsync(database);
            await client.Query("SELECT pg_sleep(600)").SendAsync();
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);

            await client.CancelAsync(other.EndPoint);

            Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
            Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        }
    }

    [Fact]
    public async Task A_peer_may_be_reached_over_its_unix_socket()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the test uses a path below /tmp");
        var database = await NewDatabaseAsync();
        var directory = Directory.CreateTempSubdirectory("peer");
        try
        {
            await using var first = Start(AnyVariant, id: 1, s => s with { UnixSocketDir = directory.FullName });
            await using var second = Start(AnyVariant, id: 2);
            second.Reload(c => c with { Peers = Peers(new PeerSettings { Id = 1, Host = directory.FullName, Port = first.EndPoint.Port }) });
            using var client = await first.LoginAsync(database);
            await client.Query("SELECT pg_sleep(600)").SendAsync();
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);

            await client.CancelAsync(second.EndPoint);

            Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Processes_that_share_a_port_cancel_for_each_other()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "so_reuseport shares connections out on Linux");
        var database = await NewDatabaseAsync();
        var directory = Directory.CreateTempSubdirectory("peer");
        try
        {
            string[] sockets = [.. Enumerable.Range(1, 3).Select(id => directory.CreateSubdirectory($"{id}").FullName)];
            await using var first = Start(AnyVariant, id: 1, s => s with { SoReuseport = true, UnixSocketDir = sockets[0] });
            await using var second = Start(AnyVariant, id: 2, s => s with { SoReuseport = true, UnixSocketDir = sockets[1], ListenPort = first.EndPoint.Port });
            await using var third = Start(AnyVariant, id: 3, s => s with { SoReuseport = true, UnixSocketDir = sockets[2], ListenPort = first.EndPoint.Port });
            var peers = Peers([.. sockets.Select((path, i) => new PeerSettings { Id = i + 1, Host = path, Port = first.EndPoint.Port })]);
            foreach (var pooler in new[] { first, second, third }) pooler.Reload(c => c with { Peers = peers });

            // Which process a connection gets to is the kernel's choice, time and again.
            for (var i = 0; i < 12; i++)
            {
                using var client = await first.LoginAsync(database);
                await client.Query("SELECT pg_sleep(600)").SendAsync();
                await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);
                await client.CancelAsync(first.EndPoint);
                Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
            }
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_request_that_goes_in_circles_ends_after_three_forwards(Variant variant)
    {
        using var firstLog = new RecordingLog();
        using var secondLog = new RecordingLog();
        await using var first = RunningPooler.Start(Configuration(variant, id: 1), firstLog);
        await using var second = RunningPooler.Start(Configuration(variant, id: 2), secondLog);
        first.Reload(c => c with { Peers = Peers(To(9, second)) });
        second.Reload(c => c with { Peers = Peers(To(9, first)) });
        using var requester = await RawClient.ConnectAsync(first.EndPoint);

        // To peer 9, which there is not; the two lowest bits of the last byte allow three forwards.
        await requester.Bytes(0, 0, 0, 16, 4, 210, 22, 46, 0, 9, 0, 1, 1, 2, 3, 7).SendAsync();

        Assert.Empty(await requester.ReadToEndAsync());
        await Eventually.TrueAsync(() => Forwards() == 3 && Exhausted() == 1, cancellationToken: Cancelled);

        int Forwards() => Count("successfully sent cancel request");

        int Exhausted() => Count("failed to forward cancel request because its TTL was exhausted");

        int Count(string reason) => firstLog.Lines.Concat(secondLog.Lines).Count(l => l.Contains(reason, StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Unknown_unreachable_and_removed_peers_cost_the_request_and_nothing_else(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, id: 1, s => s with { CancelWaitTimeout = TimeSpan.FromSeconds(30) });
        using var silent = new SilentPeer();
        using var client = await pooler.LoginAsync(database);
        byte[] toPeer7 = [0, 0, 0, 16, 4, 210, 22, 46, 0, 7, 0, 1, 1, 2, 3, 7];

        using (var unknown = await RawClient.ConnectAsync(pooler.EndPoint))
        {
            await unknown.Bytes(toPeer7).SendAsync();
            Assert.Empty(await unknown.ReadToEndAsync());
        }
        pooler.Reload(c => c with { Peers = Peers(new PeerSettings { Id = 7, Host = "no such host", Port = 1 }) });
        using (var unreachable = await RawClient.ConnectAsync(pooler.EndPoint))
        {
            await unreachable.Bytes(toPeer7).SendAsync();
            Assert.Empty(await unreachable.ReadToEndAsync());
        }
        pooler.Reload(c => c with { Peers = Peers(silent.As(7, poolSize: 1)) });
        using var sent = await RawClient.ConnectAsync(pooler.EndPoint);
        await sent.Bytes(toPeer7).SendAsync();
        using var connection = await silent.AcceptAsync();
        using var waiting = await RawClient.ConnectAsync(pooler.EndPoint);
        await waiting.Bytes(toPeer7).SendAsync();
        await Eventually.TrueAsync(async () => await PeerPoolsAsync(pooler) == "7 1 1 1 0", cancellationToken: Cancelled);
        pooler.Reload(c => c with { Peers = Peers() });
        Assert.Empty(await waiting.ReadToEndAsync());

        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Requests_beyond_the_peers_pool_size_wait_for_their_turn(Variant variant)
    {
        await using var pooler = Start(variant, id: 1, s => s with { CancelWaitTimeout = TimeSpan.FromSeconds(30) });
        using var silent = new SilentPeer();
        pooler.Reload(c => c with { Peers = Peers(silent.As(2, poolSize: 1)) });
        Assert.Equal("", await PeerPoolsAsync(pooler));
        byte[] toPeer2 = [0, 0, 0, 16, 4, 210, 22, 46, 0, 2, 0, 1, 1, 2, 3, 7];

        using var one = await RawClient.ConnectAsync(pooler.EndPoint);
        await one.Bytes(toPeer2).SendAsync();
        using (var connection = await silent.AcceptAsync())
        {
            Assert.Equal([0, 0, 0, 16, 4, 210, 22, 46, 0, 2, 0, 1, 1, 2, 3, 6], await SilentPeer.ReadAsync(connection));
            using var two = await RawClient.ConnectAsync(pooler.EndPoint);
            await two.Bytes(toPeer2).SendAsync();
            await Eventually.TrueAsync(async () => await PeerPoolsAsync(pooler) == "2 1 1 1 0", cancellationToken: Cancelled);
            connection.Close();
            Assert.Empty(await one.ReadToEndAsync());

            using var next = await silent.AcceptAsync();
            Assert.Equal(16, (await SilentPeer.ReadAsync(next)).Length);
            next.Close();
            Assert.Empty(await two.ReadToEndAsync());
        }
        Assert.Equal("2 0 0 0 0", await PeerPoolsAsync(pooler));
    }

    [Fact]
    public async Task Cancel_wait_timeout_ends_a_request_that_nobody_takes()
    {
        await using var pooler = Start(AnyVariant, id: 1, s => s with { CancelWaitTimeout = TimeSpan.FromMilliseconds(300) });
        using var silent = new SilentPeer();
        pooler.Reload(c => c with { Peers = Peers(silent.As(2, poolSize: 1)) });
        using var requester = await RawClient.ConnectAsync(pooler.EndPoint);

        await requester.Bytes(0, 0, 0, 16, 4, 210, 22, 46, 0, 2, 0, 1, 1, 2, 3, 7).SendAsync();

        Assert.Empty(await requester.ReadToEndAsync());
        Assert.Equal("2 0 0 0 0", await PeerPoolsAsync(pooler));
    }

    [Fact]
    public async Task Show_peers_lists_the_entries_in_the_order_of_their_ids()
    {
        await using var pooler = Start(AnyVariant, id: 1);
        pooler.Reload(c => c with
        {
            Peers = Peers(new PeerSettings { Id = 12, Host = "/tmp/twelve", PoolSize = 3 }, new PeerSettings { Id = 2, Host = "two.example", Port = 7000 }),
        });
        using var console = await pooler.LoginAsync("pgbouncer");

        Assert.Equal("T D(2|two.example|7000|4) D(12|/tmp/twelve|6432|3) C(SHOW) Z(I)", await console.Query("SHOW PEERS").AskAsync());
    }

    private PoolerConfiguration Configuration(Variant variant, int id, Func<PoolerSettings, PoolerSettings>? change = null) => RunningPooler.Configuration(
        Postgres, variant, s => (change?.Invoke(s) ?? s) with { PeerId = id, AdminUsers = PostgresForPooler.Trusted });

    private RunningPooler Start(Variant variant, int id, Func<PoolerSettings, PoolerSettings>? change = null) =>
        RunningPooler.Start(Configuration(variant, id, change));

    private static PeerSettings To(int id, RunningPooler pooler) => new() { Id = id, Host = "127.0.0.1", Port = pooler.EndPoint.Port };

    private static Dictionary<int, PeerSettings> Peers(params PeerSettings[] peers) => peers.ToDictionary(p => p.Id);

    private static async Task<string> PeerPoolsAsync(RunningPooler pooler)
    {
        using var console = await pooler.LoginAsync("pgbouncer");
        await console.Query("SHOW PEER_POOLS").SendAsync();
        return string.Join('\n', (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => string.Join(' ', m.Cells())));
    }

    /// <summary>Takes connections and does nothing with them by itself.</summary>
    private sealed class SilentPeer : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

        public SilentPeer() => _listener.Start();

        public PeerSettings As(int id, int poolSize) =>
            new() { Id = id, Host = "127.0.0.1", Port = ((IPEndPoint)_listener.LocalEndpoint).Port, PoolSize = poolSize };

        public async Task<Socket> AcceptAsync() => await _listener.AcceptSocketAsync(Cancelled);

        public static async Task<byte[]> ReadAsync(Socket socket)
        {
            var bytes = new byte[16];
            for (var read = 0; read < bytes.Length;) read += await socket.ReceiveAsync(bytes.AsMemory(read), Cancelled);
            return bytes;
        }

        public void Dispose() => _listener.Dispose();
    }
}
