using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Tls;

/// <summary>TLS with servers: whether it is asked for, what is checked.</summary>
public sealed class ServerModeTests(TlsPostgres postgres, PostgresForPooler plain) : TlsTest(postgres)
{
    [Theory]
    [InlineData(SslMode.Disable, "127.0.0.1", "", false)]
    [InlineData(SslMode.Allow, "127.0.0.1", "", true)]
    [InlineData(SslMode.Prefer, "127.0.0.1", "", true)]
    [InlineData(SslMode.Require, "127.0.0.1", "", true)]
    [InlineData(SslMode.VerifyCa, "127.0.0.1", "ca.crt", true)]
    [InlineData(SslMode.VerifyFull, "localhost", "ca.crt", true)]
    public async Task A_server_with_tls_is_spoken_to_as_the_mode_says(SslMode mode, string host, string authority, bool secured)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ServerTlsSslMode = mode, ServerTlsCaFile = authority.Length > 0 ? Postgres[authority] : "" }, host);
        using var client = await pooler.LoginAsync(database);
        Assert.Equal(secured ? "t" : "f", await client.ScalarAsync("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
        Assert.Equal(secured ? "1 0" : "0 1", await SecuredAndPlainAsync(database));
        using var console = await pooler.LoginAsync("pgbouncer");
        Assert.Equal(secured ? "TLSv1.3/TLS_AES_256_GCM_SHA384" : "", await console.ScalarAsync($"SELECT tls FROM SHOW SERVERS WHERE database = '{database}'"));
    }

    [Theory]
    [InlineData(SslMode.VerifyCa, "127.0.0.1", "other-ca.crt", "certificate verify failed")]
    [InlineData(SslMode.VerifyCa, "127.0.0.1", "", "certificate verify failed")]
    [InlineData(SslMode.VerifyFull, "127.0.0.1", "ca.crt", "certificate verify failed: it is for another host name")]
    [InlineData(SslMode.VerifyFull, "localhost", "other-ca.crt", "certificate verify failed")]
    public async Task A_certificate_that_does_not_hold_keeps_the_pooler_away(SslMode mode, string host, string authority, string reason)
    {
        using var log = new RecordingLog();
        var database = await NewDatabaseAsync();
        await using var pooler = Start(
            PoolerTest.AnyVariant, s => s with { ServerTlsSslMode = mode, ServerTlsCaFile = authority.Length > 0 ? Postgres[authority] : "" }, host, log);

        Assert.Contains(reason, await pooler.WaitInVainAsync(database, Cancelled, TlsPostgres.Anyone));
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.Contains(reason)), cancellationToken: Cancelled);
        Assert.Equal("0 0", await SecuredAndPlainAsync(database));
    }

    [Theory]
    [InlineData(SslMode.Allow, null)]
    [InlineData(SslMode.Prefer, null)]
    [InlineData(SslMode.Require, "server refused SSL")]
    [InlineData(SslMode.VerifyCa, "server refused SSL")]
    [InlineData(SslMode.VerifyFull, "server refused SSL")]
    public async Task A_server_without_tls_will_do_unless_tls_is_required(SslMode mode, string? refusal)
    {
        await using var pooler = RunningPooler.Start(plain, PoolerTest.AnyVariant, s => s with { ServerTlsSslMode = mode });
        if (refusal is not null)
        {
            Assert.Contains(refusal, await pooler.WaitInVainAsync("postgres", Cancelled));
            return;
        }
        using var client = await pooler.LoginAsync("postgres");
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task The_poolers_own_certificate_lets_it_in()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with
        {
            ServerTlsCertFile = Postgres["certified.crt"],
            ServerTlsKeyFile = Postgres["certified.key"],
        });
        using var client = await RawClient.LoginAsync(pooler.EndPoint, database, TlsPostgres.Certified);
        Assert.Equal("/CN=certified", await client.ScalarAsync("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
    }

    [Theory]
    [InlineData("S then a startup message of the man in the middle", "received unencrypted data after SSL response")]
    [InlineData("N and more", "received unencrypted data after SSL response")]
    [InlineData("E\0\0\0\rMalert!\0\0", "server answered the SSLRequest with an error")]
    [InlineData("HTTP/1.1 400 Bad Request", "bad sslreq answer")]
    [InlineData("S", "TLS handshake with server")]
    public async Task An_answer_that_cannot_be_trusted_ends_the_attempt(string answer, string reason)
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen();
        var served = new TaskCompletionSource<(byte[], byte[])>(TaskCreationOptions.RunContinuationsAsynchronously);
        // Each of those that wait may have a connection opened for it.
        var serving = Task.Run(async () =>
        {
            while (await AcceptAsync() is { } connection) _ = ServeAsync(connection);
        }, Cancelled);
        async Task<Socket?> AcceptAsync()
        {
            try
            {
                return await server.AcceptAsync(Cancelled);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return null;
            }
        }
        async Task ServeAsync(Socket connection)
        {
            using var _ = connection;
            var request = new byte[8];
            // One that only looks whether anybody listens.
            if (await connection.ReceiveAsync(request, Cancelled) == 0) return;
            await connection.SendAsync(System.Text.Encoding.ASCII.GetBytes(answer), Cancelled);
            if (answer == "S")
            {
                await connection.ReceiveAsync(new byte[16 * 1024], Cancelled);
                await connection.SendAsync("this is no TLS"u8.ToArray(), Cancelled);
            }
            // Whatever it sends from here on, it is not a login.
            var rest = new byte[16 * 1024];
            var received = await connection.ReceiveAsync(rest, Cancelled);
            served.TrySetResult((request, rest[..received]));
        }
        await using var pooler = RunningPooler.Start(
            plain, PoolerTest.AnyVariant, s => s with { ServerTlsSslMode = SslMode.Prefer },
            d => d with { Port = ((IPEndPoint)server.LocalEndPoint!).Port });

        Assert.Contains(reason, await pooler.WaitInVainAsync("postgres", Cancelled));
        var (asked, more) = await served.Task.WaitAsync(Cancelled);
        server.Close();
        await serving;
        Assert.Equal(RawClient.SslRequest, asked);
        Assert.DoesNotContain("postgres", System.Text.Encoding.ASCII.GetString(more));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_never_ends_its_handshake_is_bounded_by_server_connect_timeout(Variant variant)
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen();
        var serving = Task.Run(async () =>
        {
            using var connection = await server.AcceptAsync(Cancelled);
            await connection.ReceiveAsync(new byte[8], Cancelled);
            await connection.SendAsync("S"u8.ToArray(), Cancelled);
            var buffer = new byte[16 * 1024];
            while (await connection.ReceiveAsync(buffer, Cancelled) > 0)
            {
            }
        }, Cancelled);
        await using var pooler = RunningPooler.Start(
            plain, variant, s => s with { ServerConnectTimeout = TimeSpan.FromSeconds(1) }, d => d with { Port = ((IPEndPoint)server.LocalEndPoint!).Port });
        Assert.Contains("connect timeout", await pooler.WaitInVainAsync("postgres", Cancelled));
        await serving;
    }

    [Fact]
    public async Task Direct_tls_reaches_a_server_that_expects_it()
    {
        var database = await NewDatabaseAsync();
        // PostgreSQL takes it from version 17 on; the pooler does always.
        await using var behind = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = SslMode.Require });
        await using var pooler = RunningPooler.Start(
            plain, PoolerTest.AnyVariant,
            s => s with { ServerTlsSslMode = SslMode.VerifyFull, ServerTlsCaFile = Postgres["ca.crt"], ServerTlsDirect = true },
            d => d with { Host = "localhost", Port = behind.EndPoint.Port });
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        using var console = await LoginAsync(behind, "pgbouncer");
        Assert.Equal("TLSv1.3/TLS_AES_256_GCM_SHA384", await console.ScalarAsync($"SELECT tls FROM SHOW CLIENTS WHERE database = '{database}'"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task An_idle_server_that_ends_is_noticed_and_replaced(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var client = await LoginAsync(pooler, database);
        for (var round = 0; round < 3; round++)
        {
            var backend = int.Parse((await client.ScalarAsync("SELECT pg_backend_pid()"))!);
            Assert.True(await Postgres.Server.KillBackendAsync(backend, Cancelled));
            await Eventually.TrueAsync(() => pooler.Pool(database) is { ServersIdle: 0, ServersActive: 0 }, cancellationToken: Cancelled);
        }
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_cancel_request_reaches_the_server_over_tls(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with { DefaultPoolSize = 2 });
        using var client = await LoginAsync(pooler, database);
        await client.Query("SELECT pg_sleep(600)").SendAsync();
        await Eventually.TrueAsync(async () => (long)(await Postgres.Server.ExecuteAsync(
            $"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'PgSleep'", cancellationToken: Cancelled))! == 1, cancellationToken: Cancelled);
        await client.CancelAsync(pooler.EndPoint);
        Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }
}
