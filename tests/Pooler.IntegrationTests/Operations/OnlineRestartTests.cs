using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Npgsql;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Process;
using Pooler.IntegrationTests.Tracing;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Operations;

/// <summary>
/// One engine takes over from another: nobody may notice. Both are in this process, which makes no difference to them.
/// </summary>
public sealed class OnlineRestartTests : PoolerTest, IDisposable
{
    private readonly ThrowawayDirectory _directory = new();
    private readonly int _port = PoolerProgram.FreePort();

    public OnlineRestartTests(PostgresForPooler postgres) : base(postgres) =>
        Assert.SkipUnless(OperatingSystem.IsLinux(), "-R works on Linux only");

    public static TheoryData<Variant, Variant> FromTo => new()
    {
        { new Variant("epoll", 1), new Variant("epoll", 1) },
        { new Variant("epoll", 4), new Variant("sockets", 2) },
        { new Variant("sockets", 1), new Variant("sockets", 4) },
        { new Variant("sockets", 4), new Variant("epoll", 2) },
    };

    private EndPoint Unix => new UnixDomainSocketEndPoint(Path.Combine(_directory.Path, $".s.PGSQL.{_port}"));

    public void Dispose() => _directory.Dispose();

    [Theory, MemberData(nameof(FromTo))]
    public async Task Clients_go_on_in_whatever_they_are_in_the_middle_of(Variant from, Variant to)
    {
        var database = await NewDatabaseAsync();
        await Postgres.Server.ExecuteAsync("CREATE TABLE copied (n int)", database, Cancelled);
        await using var old = RunningPooler.Start(Configuration(from));

        using var idle = await old.LoginAsync(database, ("application_name", "idle one"));
        await idle.Query("SET TimeZone = 'Asia/Tokyo'").AskAsync();
        await idle.Query("SET pooler.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'").AskAsync();
        await idle.Parse("mine", "SELECT $1::int + 1").Sync().AskAsync();
        using var inTransaction = await old.LoginAsync(database);
        using var spans = new RecordedSpans();
        var mark = RecordedSpans.NewMark();
        await inTransaction.Query("BEGIN; CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 7 AS n " + mark.Comment).AskAsync(1);
        using var inQuery = await old.LoginAsync(database);
        await inQuery.Query("SELECT pg_sleep(1), 'slept'").SendAsync();
        using var inCopy = await old.LoginAsync(database);
        await inCopy.Query("COPY copied FROM STDIN").CopyData("1\n").SendAsync();
        await Eventually.TrueAsync(() => old.Pool(database).ServersActive == 3, cancellationToken: Cancelled);
        using var inMessage = await old.LoginAsync(database);
        inMessage.Parse("half", "SELECT 'whole'").Bind("half").Execute().Sync();
        var message = inMessage.TakeGathered();
        await inMessage.Bytes(message[..12]).SendAsync();
        var ids = old.Engine.Snapshot();

        await using var @new = RunningPooler.TakeOver(Configuration(to));
        await old.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);

        Assert.Equal("Asia/Tokyo", await idle.ScalarAsync("SHOW TimeZone"));
        Assert.Equal("idle one", await idle.ScalarAsync("SHOW application_name"));
        Assert.StartsWith("00-0af7651916cd43dd", await idle.ScalarAsync("SHOW pooler.traceparent"));
        await idle.Query("RESET pooler.traceparent").AskAsync();
        Assert.Equal("", await idle.ScalarAsync("SHOW pooler.traceparent"));
        Assert.Equal("2 D(42) C(SELECT 1) Z(I)", await idle.Bind("mine", "41").Execute().Sync().AskAsync());
        Assert.Equal("handed over", Assert.Single(Assert.Single(spans.Of(mark), s => s.OperationName == "transaction").Events).Name);
        Assert.Equal("7", await inTransaction.ScalarAsync("SELECT n FROM t"));
        Assert.Equal("C(COMMIT) Z(I)", await inTransaction.Query("COMMIT").AskAsync());
        Assert.Equal("T D(|slept) C(SELECT 1) Z(I)", RawClient.Transcript(await inQuery.ReadToReadyAsync()));
        Assert.Equal("G C(COPY 2) Z(I)", await inCopy.CopyData("2\n").CopyDone().AskAsync());
        Assert.Equal("1 2 D(whole) C(SELECT 1) Z(I)", await inMessage.Bytes(message[12..]).AskAsync());
        using var late = await @new.LoginAsync(database);
        Assert.Equal("2", await late.ScalarAsync("SELECT count(*) FROM copied"));
        Assert.Equal(ids.Clients + 1, @new.Engine.Snapshot().Clients);
        Assert.True(File.Exists(Unix.ToString()));
    }

    [Theory, MemberData(nameof(FromTo))]
    public async Task Those_who_wait_for_a_server_keep_their_turn_and_the_servers_are_the_same(Variant from, Variant to)
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(from, s => s with { DefaultPoolSize = 1 }));
        using var working = await old.LoginAsync(database);
        await working.Query("BEGIN").AskAsync();
        var backend = await working.ScalarAsync("SELECT pg_backend_pid()");
        var waiting = new List<RawClient>();
        await Postgres.Server.ExecuteAsync("CREATE TABLE turns (n serial, client int)", database, Cancelled);
        for (var i = 0; i < 5; i++)
        {
            waiting.Add(await old.LoginAsync(database));
            await waiting[i].Query($"INSERT INTO turns (client) VALUES ({i}) RETURNING pg_backend_pid()").SendAsync();
            await Eventually.TrueAsync(() => old.Pool(database).ClientsWaiting == i + 1, cancellationToken: Cancelled);
        }

        await using var @new = RunningPooler.TakeOver(Configuration(to, s => s with { DefaultPoolSize = 1 }));
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());

        foreach (var client in waiting)
            Assert.Equal($"T D({backend}) C(INSERT 0 1) Z(I)", RawClient.Transcript(await client.ReadToReadyAsync()));
        // With several loops a loop may serve its own waiters first, within bounds.
        if (to.Loops == 1) Assert.Equal("0,1,2,3,4", await Postgres.Server.ExecuteAsync("SELECT string_agg(client::text, ',' ORDER BY n) FROM turns", database, Cancelled));
        foreach (var client in waiting) client.Dispose();
    }

    [Theory]
    [InlineData(PoolMode.Transaction)]
    [InlineData(PoolMode.Session)]
    [InlineData(PoolMode.Statement)]
    public async Task Restarting_again_and_again_under_load_loses_no_answer(PoolMode mode)
    {
        var database = await NewDatabaseAsync();
        // With sockets once only: as all this is one process, .NET's own epoll would meet the same socket again.
        var variants = new[] { new Variant("epoll", 2), new Variant("sockets", 2), new Variant("epoll", 1), new Variant("epoll", 4) };
        var running = RunningPooler.Start(Configuration(variants[0], s => s with { PoolMode = mode }));
        try
        {
            await using var load = await Load.StartAsync(running, database, clients: 10, mode);
            foreach (var variant in variants.Skip(1))
            {
                await load.ProgressAsync();
                var next = RunningPooler.TakeOver(Configuration(variant, s => s with { PoolMode = mode }));
                await running.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
                await running.DisposeAsync();
                running = next;
            }
            await load.ProgressAsync();
            await load.StopAsync();
            Assert.Equal(load.Transactions, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM work", database, Cancelled));
            // A server that a late client has brought along may be one too many for a moment.
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database) <= 4, cancellationToken: Cancelled);
        }
        finally
        {
            await running.DisposeAsync();
        }
    }

    [Theory, MemberData(nameof(FromTo))]
    public async Task A_long_answer_that_nobody_reads_yet_arrives_whole(Variant from, Variant to)
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(from));
        using var slow = await old.LoginAsync(database);
        await slow.Query("SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g").SendAsync();
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'ClientWrite'") == 1, cancellationToken: Cancelled);

        await using var @new = RunningPooler.TakeOver(Configuration(to));

        var rows = (await slow.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => int.Parse(m.Cells()[0]!));
        Assert.Equal(Enumerable.Range(1, 20000), rows);
        await old.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
    }

    [Fact]
    public async Task A_query_can_be_cancelled_after_the_restart_with_the_key_from_before()
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await old.LoginAsync(database);
        await client.Query("SELECT pg_sleep(60)").SendAsync();
        await Eventually.TrueAsync(() => old.Pool(database).ServersActive == 1, cancellationToken: Cancelled);
        await using var @new = RunningPooler.TakeOver(Configuration(AnyVariant));

        await client.CancelAsync(@new.EndPoint);

        Assert.Equal("T E(57014) Z(I)", RawClient.Transcript(await client.ReadToReadyAsync()));
    }

    [Fact]
    public async Task Clients_over_tls_stay_until_they_leave_and_can_be_cancelled()
    {
        var database = await NewDatabaseAsync();
        MakeCertificate();
        PoolerSettings Tls(PoolerSettings s) => s with
        {
            ClientTlsSslMode = Pooler.Engine.Configuration.SslMode.Allow,
            ClientTlsKeyFile = Path.Combine(_directory.Path, "key.pem"),
            ClientTlsCertFile = Path.Combine(_directory.Path, "cert.pem"),
        };
        await using var old = RunningPooler.Start(Configuration(AnyVariant, Tls));
        using var plain = await old.LoginAsync(database);
        await using var secured = await old.ConnectAsync(database, "SSL Mode=Require;Command Timeout=60;Cancellation Timeout=0");
        await ExecuteAsync(secured, "SET application_name = 'secured'");
        using var logins = await RawClient.ConnectAsync(old.EndPoint);

        await using var @new = RunningPooler.TakeOver(Configuration(AnyVariant, Tls));

        Assert.Equal("1", await plain.ScalarAsync("SELECT 1"));
        Assert.Equal("secured", await ScalarAsync(secured, "SHOW application_name"));
        // A login that had begun is finished where it began, and follows.
        await logins.Startup(database, PostgresForPooler.Trusted).SendAsync();
        await logins.ReadToReadyAsync();
        await Eventually.TrueAsync(() => @new.Engine.Snapshot().Clients == 2, cancellationToken: Cancelled);
        Assert.Equal("1", await logins.ScalarAsync("SELECT 1"));
        Assert.False(old.Engine.Completion.IsCompleted);

        await using (var command = new NpgsqlCommand("SELECT pg_sleep(60)", secured))
        {
            var running = command.ExecuteNonQueryAsync(Cancelled);
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "query LIKE '%pg_sleep(60)' AND state = 'active'") == 1, cancellationToken: Cancelled);
            command.Cancel();
            var cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
            Assert.Equal("57014", Assert.IsType<PostgresException>(cancelled.InnerException).SqlState);
        }
        await secured.CloseAsync();
        await old.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
    }

    [Fact]
    public async Task A_paused_pooler_does_not_hand_over_and_goes_on()
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await old.LoginAsync(database);
        await old.Engine.PauseAsync(null, Cancelled);
        var refused = Assert.Throws<PoolerStartException>(() => RunningPooler.TakeOver(Configuration(AnyVariant)));
        Assert.Contains("already suspended/paused", refused.Message);
        old.Engine.Resume(null);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory]
    [InlineData("PAUSE")]
    [InlineData("SUSPEND")]
    public async Task What_is_ordered_while_the_new_process_starts_is_not_undone(string command)
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await old.LoginAsync(database);
        using var console = await old.LoginAsync("pgbouncer");
        var refused = Assert.Throws<PoolerStartException>(() => RunningPooler.TakeOver(
            Configuration(AnyVariant), meanwhile: () => Assert.Equal($"C({command}) Z(I)", console.Query(command).AskAsync().GetAwaiter().GetResult())));
        Assert.True(old.Engine.StandsStill, refused.Message);
        Assert.Equal("C(RESUME) Z(I)", await console.Query("RESUME").AskAsync());
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        using var late = await old.LoginAsync(database);
        Assert.Equal("1", await late.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task A_database_that_is_disabled_while_the_new_process_starts_stays_disabled()
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await old.LoginAsync(database);
        using var console = await old.LoginAsync("pgbouncer");
        await using var @new = RunningPooler.TakeOver(
            Configuration(AnyVariant),
            meanwhile: () => Assert.Equal("C(DISABLE) Z(I)", console.Query($"DISABLE {database}").AskAsync().GetAwaiter().GetResult()));
        using var late = await RawClient.ConnectAsync(@new.EndPoint);
        Assert.StartsWith("E(", await late.Startup(database, PostgresForPooler.Trusted).AskAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Show_fds_has_a_row_for_every_socket_and_no_secrets()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();
        using var console = await pooler.LoginAsync("pgbouncer");
        Assert.Equal("pooler 2,client 1,server 1", await TasksAsync("pooler") + "," + await TasksAsync("client") + "," + await TasksAsync("server"));
        Assert.Equal(
            await console.ScalarAsync("SELECT fd FROM SHOW FDS WHERE task = 'server'"),
            await console.ScalarAsync("SELECT link FROM SHOW FDS WHERE task = 'client'"));
        Assert.Equal("0", await console.ScalarAsync("SELECT count(*) FROM SHOW FDS WHERE password IS NOT NULL OR scram_client_key IS NOT NULL"));

        async Task<string> TasksAsync(string task) => $"{task} {await console.ScalarAsync($"SELECT count(*) FROM SHOW FDS WHERE task = '{task}'")}";
    }

    [Fact]
    public async Task Nobody_else_may_take_over()
    {
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var console = await old.LoginAsync("pgbouncer");
        Assert.Equal("E(42501) Z(I)", await console.Query("TAKEOVER").AskAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task When_the_new_process_dies_on_the_way_the_old_one_goes_on(bool afterItHasEverything)
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var inTransaction = await old.LoginAsync(database);
        await inTransaction.Query("BEGIN").AskAsync();
        using var idle = await old.LoginAsync(database);

        using (var dying = await RawClient.LoginAsync(Unix, "pgbouncer", "pgbouncer"))
        {
            Assert.Equal("C(TAKEOVER) Z(I)", await dying.Query("TAKEOVER").AskAsync());
            // Begin, with a process id; nothing says that it has arrived, but that everything stands still.
            if (afterItHasEverything) await dying.Bytes(0x50, 0x48, 2, 0, 4, 0, 0, 0, 1, 0, 0, 0).SendAsync();
            await dying.ReadByteAsync();
        }

        Assert.Equal("1", await inTransaction.ScalarAsync("SELECT 1"));
        Assert.Equal("C(COMMIT) Z(I)", await inTransaction.Query("COMMIT").AskAsync());
        Assert.Equal("1", await idle.ScalarAsync("SELECT 1"));
        using (var late = await old.LoginAsync(database)) Assert.Equal("1", await late.ScalarAsync("SELECT 1"));
        await using var @new = RunningPooler.TakeOver(Configuration(AnyVariant));
        Assert.Equal("1", await idle.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task A_process_that_cannot_listen_where_it_should_leaves_everything_as_it_was()
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await old.LoginAsync(database);
        Assert.Throws<PoolerStartException>(() => RunningPooler.TakeOver(Configuration(AnyVariant, s => s with { ListenAddr = "192.0.2.1" })));
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        using var late = await RawClient.LoginAsync(Unix, database, PostgresForPooler.Trusted);
        Assert.Equal("1", await late.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task Servers_that_the_new_configuration_reaches_otherwise_are_replaced()
    {
        var (database, other) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        var before = Configuration(AnyVariant) with { Databases = Named(database) };
        await using var old = RunningPooler.Start(before);
        using var client = await old.LoginAsync("shop");
        Assert.Equal(database, await client.ScalarAsync("SELECT current_database()"));

        await using var @new = RunningPooler.TakeOver(before with { Databases = Named(other) });

        Assert.Equal(other, await client.ScalarAsync("SELECT current_database()"));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);

        Dictionary<string, DatabaseSettings> Named(string target) => new()
        {
            ["shop"] = Configuration(AnyVariant).Databases["*"] with { Name = "shop", DbName = target },
        };
    }

    [Fact]
    public async Task Clients_of_a_database_that_is_gone_are_told()
    {
        var database = await NewDatabaseAsync();
        await using var old = RunningPooler.Start(Configuration(AnyVariant));
        using var client = await old.LoginAsync(database);
        var without = Configuration(AnyVariant);
        without = without with { Databases = new Dictionary<string, DatabaseSettings> { ["another"] = without.Databases["*"] with { Name = "another" } } };
        await using var @new = RunningPooler.TakeOver(without);
        Assert.Equal("database removed", Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
    }

    private PoolerConfiguration Configuration(Variant variant, Func<PoolerSettings, PoolerSettings>? change = null) =>
        RunningPooler.Configuration(Postgres, variant, s =>
        {
            s = s with { ListenPort = _port, UnixSocketDir = _directory.Path, AdminUsers = PostgresForPooler.Trusted };
            return change?.Invoke(s) ?? s;
        });

    private void MakeCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(Path.Combine(_directory.Path, "key.pem"), key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(Path.Combine(_directory.Path, "cert.pem"), certificate.ExportCertificatePem());
    }
}
