using System.Globalization;
using Npgsql;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

public sealed class QueryTests(PostgresForPooler postgres) : Conversations(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public Task Simple_queries_get_PostgreSQLs_own_answers(Variant variant) => SameAsPostgresAsync(variant, async client =>
        await client.Query("SELECT 1, NULL, 'three'").AskAsync()
        + await client.Query("INSERT INTO t VALUES (1, 'x'); SELECT b FROM t; UPDATE t SET b = 'y' RETURNING b").AskAsync()
        + await client.Query("").AskAsync()
        + await client.Query("SELECT nonsense").AskAsync()
        + await client.Query("SELECT 1; SELECT 1/0; SELECT 2").AskAsync()
        + await client.Query("BEGIN").AskAsync()
        + await client.Query("SELECT 1/0").AskAsync()
        + await client.Query("SELECT 1").AskAsync()
        + await client.Query("ROLLBACK").AskAsync(),
        mustContain: "E(22012) Z(E)");

    [Theory, MemberData(nameof(Backends))]
    public Task Extended_queries_get_PostgreSQLs_own_answers(Variant variant) => SameAsPostgresAsync(variant, async client =>
        await client.Parse("", "SELECT $1::int + 1").Bind("", "41").DescribePortal().Execute().Sync().AskAsync()
        + await client.Parse("", "SELECT generate_series(1, 5)").BindPortal("p", "").Execute("p", 2).Execute("p", 2).Execute("p", 2).Sync().AskAsync()
        + await client.Parse("", "SELECT $1::int").Bind("", "not a number").Execute().Sync().AskAsync()
        + await client.Parse("", "SELEC").Bind("").Execute().Sync().AskAsync()
        + await client.Execute("nobody").Sync().AskAsync()
        + await client.Sync().AskAsync(),
        mustContain: "D(1) D(2) s D(3) D(4) s D(5)");

    [Theory, MemberData(nameof(Backends))]
    public Task Answers_to_a_flush_come_before_any_sync(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        await client.Parse("", "SELECT 7").Bind("").Execute().Flush().SendAsync();
        var first = RawClient.Transcript(await client.ReadToAsync('C'));
        await client.Parse("", "SELECT 8").Bind("").Execute().Flush().SendAsync();
        return first + RawClient.Transcript(await client.ReadToAsync('C')) + await client.Sync().AskAsync();
    }, mustContain: "D(8)");

    [Theory, MemberData(nameof(Backends))]
    public Task Function_calls_are_carried(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        var oid = int.Parse((await client.ScalarAsync("SELECT 'pg_catalog.length(text)'::regprocedure::oid"))!, CultureInfo.InvariantCulture);
        return await client.FunctionCall(oid, "four").AskAsync() + await client.FunctionCall(1, "nobody").AskAsync();
    }, mustContain: "V Z(I)");

    [Theory, MemberData(nameof(Backends))]
    public Task Copy_in_and_out_get_PostgreSQLs_own_answers(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        var copyIn = await CopyInAsync(client, "1\tone\n", "2\ttwo\n");
        var failing = await CopyInAsync(client, "3\tthree\n", "not a number\tx\n", "4\tfour\n");
        await client.Query("COPY t FROM STDIN").SendAsync();
        var given = RawClient.Transcript(await client.ReadToAsync('G'));
        given += await client.CopyData("5\tfive\n").CopyFail("changed my mind").AskAsync();
        return copyIn + failing + given
            + await client.Query("COPY (SELECT * FROM t ORDER BY a) TO STDOUT").AskAsync()
            + await client.Query("COPY nonsense FROM STDIN").AskAsync()
            + await client.Query("SELECT count(*) FROM t").AskAsync();
    }, mustContain: "C(COPY 2) Z(I)");

    [Theory, MemberData(nameof(Backends))]
    public Task Copy_by_extended_protocol_swallows_the_sync_that_went_ahead(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        // As libpq does it: the Sync goes out with the Execute, and another one after the data.
        await client.Parse("", "COPY t FROM STDIN").Bind("").Execute().Sync().SendAsync();
        var begun = RawClient.Transcript(await client.ReadToAsync('G'));
        var done = await client.CopyData("1\tone\n").CopyDone().Sync().AskAsync();
        await client.Parse("", "COPY t FROM STDIN").Bind("").Execute().Sync().SendAsync();
        await client.ReadToAsync('G');
        var failed = await client.CopyData("one\t1\n").CopyDone().Sync().AskAsync();
        return begun + done + failed + await client.Query("SELECT * FROM t").AskAsync();
    }, mustContain: "C(COPY 1) Z(I)");

    [Theory, MemberData(nameof(Backends))]
    public async Task A_copy_that_fails_early_does_not_leave_its_data_to_the_next_client(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var copying = await pooler.LoginAsync(database);
        using var other = await pooler.LoginAsync(database);
        await copying.ScalarAsync("CREATE TABLE t (a int)");

        await copying.Query("COPY t FROM STDIN").SendAsync();
        await copying.ReadToAsync('G');
        await copying.CopyData("x\n").SendAsync();
        Assert.Equal("E(22P02) Z(I)", RawClient.Transcript(await copying.ReadToReadyAsync()));
        Assert.Equal("1", await other.ScalarAsync("SELECT 1"));
        // A client that notices the error late goes on sending: nobody wants it any more.
        await copying.CopyData("1\n").CopyData("2\n").CopyDone().SendAsync();

        Assert.Equal("2", await other.ScalarAsync("SELECT 2"));
        Assert.Equal("0", await copying.ScalarAsync("SELECT count(*) FROM t"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_row_of_50_MB_passes_whole(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var connection = await pooler.ConnectAsync(database);
        var large = new byte[50_000_000];
        new Random(7).NextBytes(large);

        await ExecuteAsync(connection, "CREATE TABLE large (bytes bytea)");
        await using var insert = new NpgsqlCommand("INSERT INTO large VALUES ($1)", connection) { Parameters = { new() { Value = large } } };
        await insert.ExecuteNonQueryAsync(Cancelled);
        var back = (byte[])(await ScalarAsync(connection, "SELECT bytes FROM large"))!;

        Assert.True(large.AsSpan().SequenceEqual(back));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Large_objects_work_inside_a_transaction(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var connection = await pooler.ConnectAsync(database);
        await using var transaction = await connection.BeginTransactionAsync(Cancelled);

        var oid = await ScalarAsync(connection, "SELECT lo_from_bytea(0, decode(repeat('ab', 1000000), 'hex'))");
        var descriptor = await ScalarAsync(connection, $"SELECT lo_open({oid}, 262144)");
        var length = await ScalarAsync(connection, $"SELECT lo_lseek64({descriptor}, 0, 2)");
        await transaction.CommitAsync(Cancelled);

        Assert.Equal(1_000_000L, length);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_slow_reader_gets_every_row(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);

        await client.Query("SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i").SendAsync();
        // The answer does not fit into the sockets' buffers: the pooler has to stop reading from the server.
        using var other = await pooler.LoginAsync(database);
        for (var i = 0; i < 20; i++) Assert.Equal("1", await other.ScalarAsync("SELECT 1"));
        var rows = (await client.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => m.Cells()[0]!).ToArray();

        Assert.Equal(Enumerable.Range(1, 40000).Select(i => i.ToString(CultureInfo.InvariantCulture)), rows);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Notices_and_notifications_reach_their_client_in_session_mode(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { PoolMode = Engine.Configuration.PoolMode.Session });
        await using var listening = await pooler.ConnectAsync(database);
        var notified = new TaskCompletionSource<string>();
        var noticed = new TaskCompletionSource<string>();
        listening.Notification += (_, n) => notified.TrySetResult(n.Payload);
        listening.Notice += (_, n) => noticed.TrySetResult(n.Notice.MessageText);
        await ExecuteAsync(listening, "LISTEN news");
        await ExecuteAsync(listening, "DO $$ BEGIN RAISE NOTICE 'told'; END $$");

        await using (var other = await pooler.ConnectAsync(database)) await ExecuteAsync(other, "NOTIFY news, 'hello'");
        await Eventually.TrueAsync(async () =>
        {
            await ExecuteAsync(listening, "SELECT 1");
            return notified.Task.IsCompleted;
        }, cancellationToken: Cancelled);

        Assert.Equal("hello", await notified.Task);
        Assert.Equal("told", await noticed.Task);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_of_protocol_3_2_is_told_which_version_it_gets(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);

        // SSLRequest and GSSENCRequest first, as libpq does; then a version from the future.
        await client.Bytes(0, 0, 0, 8, 4, 210, 22, 48).SendAsync();
        Assert.Equal((byte)'N', await client.ReadByteAsync());
        await client.Bytes(0, 0, 0, 8, 4, 210, 22, 47).SendAsync();
        Assert.Equal((byte)'N', await client.ReadByteAsync());
        var startup = client.Startup(database, PostgresForPooler.Trusted, ("_pq_.unheard_of", "1")).TakeGathered();
        startup[7] = 9;
        await client.Bytes(startup).SendAsync();
        var answer = await client.ReadToReadyAsync();

        Assert.Equal('v', answer[0].Type);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Malformed_messages_end_the_client_and_nobody_else(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1, MaxPacketSize = 1000 });
        using var witness = await pooler.LoginAsync(database);
        byte[][] malformed =
        [
            [(byte)'Y', 0, 0, 0, 4],
            [(byte)'Q', 0, 0, 0, 3],
            [(byte)'Q', 0xff, 0xff, 0xff, 0xff],
            [(byte)'P', 0, 1, 0, 0],
            [(byte)'P', 0, 0, 0, 6, (byte)'x', (byte)'y'],
        ];

        foreach (var message in malformed)
        {
            using var client = await pooler.LoginAsync(database);
            await client.Bytes(message).SendAsync();
            var answer = await client.ReadToEndAsync();
            Assert.Equal("08P01", Assert.Single(answer, m => m.Type == 'E').Field('C'));
            Assert.Equal("1", await witness.ScalarAsync("SELECT 1"));
        }
    }

    private static async Task<string> CopyInAsync(RawClient client, params string[] lines)
    {
        await client.Query("COPY t FROM STDIN").SendAsync();
        var begun = RawClient.Transcript(await client.ReadToAsync('G'));
        foreach (var line in lines) client.CopyData(line);
        return begun + await client.CopyDone().AskAsync();
    }
}
