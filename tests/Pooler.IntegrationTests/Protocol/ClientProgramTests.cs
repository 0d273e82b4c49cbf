using LocalRun.Processes;
using LocalRun.Provisioning;
using NpgsqlTypes;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>Programs that people use, unchanged.</summary>
public sealed class ClientProgramTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Psql_copies_100_MB_in_and_out(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 2 });
        var directory = Directory.CreateTempSubdirectory("pooler-copy-");
        try
        {
            var (source, target) = (Path.Combine(directory.FullName, "in"), Path.Combine(directory.FullName, "out"));
            await using (var writer = new StreamWriter(source))
            {
                var filler = new string('x', 1000);
                for (var i = 0; i < 100_000; i++) await writer.WriteAsync($"{i}\t{filler}\n");
            }

            await RunAsync(pooler, database, await Tools.PsqlAsync(cancellationToken: Cancelled),
                "-v", "ON_ERROR_STOP=1", "-X", "-q",
                "-c", "CREATE UNLOGGED TABLE big (a int, b text)",
                "-c", $"\\copy big from '{source}'",
                "-c", $"\\copy (SELECT * FROM big ORDER BY a) to '{target}'");

            Assert.Equal(100_000L, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM big", database, Cancelled));
            await using var sent = File.OpenRead(source);
            await using var received = File.OpenRead(target);
            Assert.Equal(
                Convert.ToHexString(await System.Security.Cryptography.SHA256.HashDataAsync(sent, Cancelled)),
                Convert.ToHexString(await System.Security.Cryptography.SHA256.HashDataAsync(received, Cancelled)));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Npgsql_copies_100_MB_in_binary_in_and_out(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 2 });
        await using var connection = await pooler.ConnectAsync(database);
        var chunk = new byte[1_000_000];
        new Random(3).NextBytes(chunk);
        await ExecuteAsync(connection, "CREATE UNLOGGED TABLE big (a int, b bytea); ALTER TABLE big ALTER b SET STORAGE EXTERNAL");

        await using (var import = await connection.BeginBinaryImportAsync("COPY big FROM STDIN BINARY", Cancelled))
        {
            for (var i = 0; i < 100; i++)
            {
                await import.StartRowAsync(Cancelled);
                await import.WriteAsync(i, NpgsqlDbType.Integer, Cancelled);
                await import.WriteAsync(chunk, NpgsqlDbType.Bytea, Cancelled);
            }
            Assert.Equal(100UL, await import.CompleteAsync(Cancelled));
        }
        var rows = 0;
        await using (var export = await connection.BeginBinaryExportAsync("COPY (SELECT * FROM big ORDER BY a) TO STDOUT BINARY", Cancelled))
        {
            while (await export.StartRowAsync(Cancelled) != -1)
            {
                Assert.Equal(rows++, await export.ReadAsync<int>(Cancelled));
                var received = await export.ReadAsync<byte[]>(NpgsqlDbType.Bytea, Cancelled);
                Assert.True(chunk.AsSpan().SequenceEqual(received));
            }
        }

        Assert.Equal(100, rows);
        // An import that is given up leaves nothing behind, and the connection goes on.
        await using (var import = await connection.BeginBinaryImportAsync("COPY big FROM STDIN BINARY", Cancelled))
        {
            await import.StartRowAsync(Cancelled);
            await import.WriteAsync(1, NpgsqlDbType.Integer, Cancelled);
        }
        Assert.Equal(100L, await ScalarAsync(connection, "SELECT count(*) FROM big"));
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Pgbench_runs_its_transactions_in_all_query_modes(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var pgbench = await Tools.PgbenchAsync(cancellationToken: Cancelled);
        await RunAsync(pooler, database, pgbench, "-i", "-q", "-s", "1");

        // Pgbench prepares without letting its other clients go on, so those must not hold servers: single statements.
        foreach (var mode in new[] { "simple", "extended", "prepared" })
        {
            var output = await RunAsync(
                pooler, database, pgbench, "-n", "-M", mode, "-b", mode == "prepared" ? "select-only" : "tpcb-like", "-c", "20", "-j", "2", "-t", "15");
            Assert.Contains("number of transactions actually processed: 300/300", output);
            Assert.Contains("number of failed transactions: 0", output);
        }

        Assert.Equal(600L, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM pgbench_history", database, Cancelled));
        Assert.Equal(true, await Postgres.Server.ExecuteAsync(
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)", database, Cancelled));
        Assert.InRange(await BackendsOfAsync(database), 1, 4);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Psycopg2_does_transactions_cursors_copy_and_errors(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 2 });

        var output = await RunAsync(pooler, database, await Tools.PythonWithPsycopg2Async(cancellationToken: Cancelled), "-c", """
            import io, psycopg2, psycopg2.errors, psycopg2.extras
            first, second = psycopg2.connect(""), psycopg2.connect("application_name=second options='-c statement_timeout=9s'")
            with first, first.cursor() as cursor:
                cursor.execute("create table t (a int primary key, b text)")
                psycopg2.extras.execute_values(cursor, "insert into t values %s", [(i, str(i)) for i in range(500)])
            with second, second.cursor() as cursor:
                cursor.copy_expert("copy t from stdin", io.StringIO("".join(f"{i}\tcopied\n" for i in range(500, 1000))))
            with first, first.cursor("named") as cursor:
                cursor.itersize = 100
                cursor.execute("select a from t order by a")
                print(sum(row[0] for row in cursor))
            try:
                with second, second.cursor() as cursor:
                    cursor.execute("insert into t values (1, 'again')")
            except psycopg2.errors.UniqueViolation:
                print("unique")
            with second, second.cursor() as cursor:
                cursor.execute("select current_setting('application_name'), current_setting('statement_timeout'), count(*) from t")
                print(*cursor.fetchone())
            with first, first.cursor() as cursor:
                cursor.execute("select current_setting('statement_timeout')")
                print(*cursor.fetchone())
            """);

        Assert.Equal(["499500", "unique", "second 9s 1000", "0"], output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task Pg_isready_says_that_connections_are_accepted()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant);

        var output = await RunAsync(pooler, "postgres", await Tools.PgIsReadyAsync(cancellationToken: Cancelled));

        Assert.Contains("accepting connections", output);
    }

    private static async Task<string> RunAsync(RunningPooler pooler, string database, string program, params string[] arguments)
    {
        var command = new Command(program, arguments);
        foreach (var (name, value) in pooler.Environment(database)) command.Environment[name] = value;
        return await command.RunCheckedAsync(Cancelled);
    }
}
