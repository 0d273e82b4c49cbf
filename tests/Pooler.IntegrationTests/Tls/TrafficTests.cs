using System.Text;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using NpgsqlTypes;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Tls;

/// <summary>TLS on both sides at work: bulk data, pipelines, many clients on few servers.</summary>
public sealed class TrafficTests(TlsPostgres postgres) : TlsTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Npgsql_copies_20_MB_in_binary_in_and_out(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        await using var connection = new NpgsqlConnection(ConnectionString(pooler, database, "SSL Mode=Require;Trust Server Certificate=true"));
        await connection.OpenAsync(Cancelled);
        var chunk = new byte[500_000];
        new Random(3).NextBytes(chunk);
        await using (var create = new NpgsqlCommand("CREATE UNLOGGED TABLE big (a int, b bytea); ALTER TABLE big ALTER b SET STORAGE EXTERNAL", connection))
            await create.ExecuteNonQueryAsync(Cancelled);
        await using (var import = await connection.BeginBinaryImportAsync("COPY big FROM STDIN BINARY", Cancelled))
        {
            for (var i = 0; i < 40; i++)
            {
                await import.StartRowAsync(Cancelled);
                await import.WriteAsync(i, NpgsqlDbType.Integer, Cancelled);
                await import.WriteAsync(chunk, NpgsqlDbType.Bytea, Cancelled);
            }
            Assert.Equal(40UL, await import.CompleteAsync(Cancelled));
        }
        var rows = 0;
        await using var export = await connection.BeginBinaryExportAsync("COPY (SELECT * FROM big ORDER BY a) TO STDOUT BINARY", Cancelled);
        while (await export.StartRowAsync(Cancelled) != -1)
        {
            Assert.Equal(rows++, await export.ReadAsync<int>(Cancelled));
            var received = await export.ReadAsync<byte[]>(NpgsqlDbType.Bytea, Cancelled);
            Assert.True(chunk.AsSpan().SequenceEqual(received));
        }
        Assert.Equal(40, rows);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_reads_late_gets_every_byte_of_a_big_result(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var client = await LoginAsync(pooler, database);
        using var other = await LoginAsync(pooler, database);
        await client.Query("SELECT i, repeat(chr(97 + i % 26), 2000) FROM generate_series(1, 10000) i").SendAsync();
        // The rest of the loop goes on meanwhile.
        for (var i = 0; i < 20; i++) Assert.Equal("1", await other.ScalarAsync("SELECT 1"));

        var rows = (await client.ReadToReadyAsync()).Where(m => m.Type == 'D').ToList();

        Assert.Equal(10_000, rows.Count);
        for (var i = 0; i < rows.Count; i++)
            Assert.Equal($"{i + 1} {new string((char)('a' + (i + 1) % 26), 2000)}", string.Join(' ', rows[i].Cells()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Pipelines_are_answered_in_order(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var client = await LoginAsync(pooler, database);
        for (var i = 0; i < 300; i++) client.Parse("", "SELECT $1::text || repeat('x', 300)").Bind("", $"{i}:").Execute().Sync();
        await client.SendAsync();
        var answers = (await client.ReadToReadyAsync(300)).Where(m => m.Type == 'D').Select(m => m.Cells()[0]).ToList();
        Assert.Equal(Enumerable.Range(0, 300).Select(i => $"{i}:{new string('x', 300)}"), answers);
    }

    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task Two_hundred_clients_share_few_servers(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with { DefaultPoolSize = 5 });
        var clients = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => LoginAsync(pooler, database)));
        try
        {
            await Task.WhenAll(clients.Select(async (client, number) =>
            {
                for (var round = 0; round < 10; round++)
                {
                    // Small and big answers, over many records, in transactions of one and of several queries.
                    var length = (number * 37 + round * 1009) % 40_000;
                    Assert.Equal(new string('y', length), await client.ScalarAsync($"SELECT repeat('y', {length})") ?? "");
                    await client.Query("BEGIN").SendAsync();
                    await client.ReadToReadyAsync();
                    Assert.Equal($"{number}", await client.ScalarAsync($"SELECT {number}"));
                    await client.Query("COMMIT").SendAsync();
                    Assert.Equal('Z', (await client.ReadToReadyAsync())[^1].Type);
                }
            }));
            Assert.InRange((await SecuredAndPlainAsync(database)).Split(' ') is [var secured, "0"] ? int.Parse(secured) : -1, 1, 5);
        }
        finally
        {
            foreach (var client in clients) client.Dispose();
        }
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 0, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Fewer_messages_than_a_record_and_more_records_than_a_message(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var client = await LoginAsync(pooler, database);
        var query = Encoding.UTF8.GetBytes($"SELECT length('{new string('z', 100_000)}')\0");
        byte[] message = [(byte)'Q', 0, (byte)((query.Length + 4) >> 16), (byte)((query.Length + 4) >> 8), (byte)(query.Length + 4), .. query];
        foreach (var piece in (int[])[1, 7, 16_384, 1_000_000])
        {
            // One write is one record.
            var cut = piece == 1 ? 300 : message.Length;
            foreach (var part in message[..cut].Chunk(piece)) await client.SendAsync(part);
            if (cut < message.Length) await client.SendAsync(message[cut..]);
            Assert.Equal("100000", (await client.ReadToReadyAsync()).Single(m => m.Type == 'D').Cells()[0]);
        }
    }

    [Fact]
    public async Task A_client_that_leaves_in_the_middle_of_a_result_costs_nobody_else()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { DefaultPoolSize = 1 });
        for (var round = 0; round < 3; round++)
        {
            using var leaving = await LoginAsync(pooler, database);
            await leaving.Query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)").SendAsync();
            await leaving.ReadToAsync('D');
            leaving.Abort();
            using var next = await LoginAsync(pooler, database);
            Assert.Equal("1", await next.ScalarAsync("SELECT 1"));
        }
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Pgbench_runs_over_tls(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        var pgbench = await Tools.PgbenchAsync(cancellationToken: Cancelled);
        await RunAsync("-i", "-q", "-s", "1");
        var output = await RunAsync("-n", "-M", "prepared", "-b", "select-only", "-c", "20", "-j", "2", "-t", "50");
        Assert.Contains("number of transactions actually processed: 1000/1000", output);
        Assert.Contains("number of failed transactions: 0", output);

        Task<string> RunAsync(params string[] arguments)
        {
            var command = new Command(pgbench, arguments);
            foreach (var (name, value) in pooler.Environment(database)) command.Environment[name] = value;
            command.Environment["PGSSLMODE"] = "require";
            return command.RunCheckedAsync(Cancelled);
        }
    }
}
