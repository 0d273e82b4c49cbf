using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql.Replication;
using Npgsql.Replication.PgOutput;
using Npgsql.Replication.PgOutput.Messages;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Replication;

/// <summary>Programs that stream WAL, unchanged, through a pool in transaction mode.</summary>
public sealed class ReplicationProgramTests(PostgresForPooler postgres, Publisher publisher) : ReplicationTest(postgres, publisher)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Pg_basebackup_takes_a_backup_and_streams_the_wal_meanwhile(Variant variant)
    {
        await using var pooler = await StartAsync(variant);
        var directory = Directory.CreateTempSubdirectory("pooler-backup-");
        try
        {
            await RunAsync(pooler, null, await Tools.PgBaseBackupAsync(cancellationToken: Cancelled), "-D", directory.FullName, "-X", "stream", "-c", "fast");

            var verified = await RunAsync(pooler, null, await Tools.PgVerifyBackupAsync(cancellationToken: Cancelled), directory.FullName);
            Assert.Contains("backup successfully verified", verified);
            await Eventually.TrueAsync(async () => await WalSendersAsync("pg_basebackup") == 0, cancellationToken: Cancelled);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Pg_receivewal_receives_wal_up_to_a_position(Variant variant)
    {
        var server = await PublisherAsync();
        var slot = $"receivewal_{variant.Backend}";
        await using var pooler = await StartAsync(variant);
        var receive = await Tools.PgReceiveWalAsync(cancellationToken: Cancelled);
        var directory = Directory.CreateTempSubdirectory("pooler-wal-");
        try
        {
            await RunAsync(pooler, null, receive, "--create-slot", "--slot", slot);
            var end = (string)(await server.ExecuteAsync("SELECT (pg_current_wal_lsn() + 1000000)::text", cancellationToken: Cancelled))!;

            var receiving = RunAsync(pooler, null, receive, "--slot", slot, "-D", directory.FullName, "--no-loop", "--endpos", end);
            await Eventually.TrueAsync(async () =>
            {
                await server.ExecuteAsync("SELECT pg_logical_emit_message(true, 'pooler', repeat('x', 100000))", cancellationToken: Cancelled);
                return receiving.IsCompleted;
            }, cancellationToken: Cancelled);

            await receiving;
            Assert.NotEmpty(directory.GetFiles());
        }
        finally
        {
            await RunAsync(pooler, null, receive, "--drop-slot", "--slot", slot);
            directory.Delete(recursive: true);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Pg_recvlogical_receives_changes_up_to_a_position(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        var server = await PublisherAsync();
        var slot = $"recvlogical_{variant.Backend}";
        await using var pooler = await StartAsync(variant);
        var receive = await Tools.PgRecvLogicalAsync(cancellationToken: Cancelled);
        await server.ExecuteAsync("CREATE TABLE t (a int, b text)", database, Cancelled);
        await RunAsync(pooler, database, receive, "-d", database, "--slot", slot, "--create-slot", "-P", "test_decoding");
        await server.ExecuteAsync("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n", database, Cancelled);
        await server.ExecuteAsync("INSERT INTO t VALUES (-1, 'last')", database, Cancelled);
        var end = (string)(await server.ExecuteAsync("SELECT pg_current_wal_insert_lsn()::text", database, Cancelled))!;
        // Something behind the end, or it would be waited for.
        await server.ExecuteAsync("INSERT INTO t VALUES (-2, 'beyond')", database, Cancelled);

        var changes = await RunAsync(pooler, database, receive, "-d", database, "--slot", slot, "--start", "--no-loop", "--endpos", end, "-f", "-");

        Assert.Equal(5001, changes.Split('\n').Count(line => line.Contains("INSERT", StringComparison.Ordinal) && !line.Contains("beyond", StringComparison.Ordinal)));
        Assert.Contains("a[integer]:-1 b[text]:'last'", changes);
        await RunAsync(pooler, database, receive, "-d", database, "--slot", slot, "--drop-slot");
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task A_subscription_copies_its_tables_and_follows_their_changes(Variant variant)
    {
        var source = await NewPublishedDatabaseAsync();
        var target = await NewDatabaseAsync();
        var server = await PublisherAsync();
        await using var pooler = await StartAsync(variant);
        await server.ExecuteAsync(
            "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT n, 'copied' FROM generate_series(1, 1000) n; CREATE PUBLICATION everything FOR ALL TABLES",
            source, Cancelled);
        await Postgres.Server.ExecuteAsync("CREATE TABLE t (a int PRIMARY KEY, b text)", target, Cancelled);
        var subscription = $"sub_{target}";

        await Postgres.Server.ExecuteAsync(
            $"CREATE SUBSCRIPTION {subscription} CONNECTION 'host=127.0.0.1 port={pooler.EndPoint.Port} user={PostgresForPooler.Trusted} dbname={source}' PUBLICATION everything",
            target, Cancelled);
        try
        {
            await Eventually.TrueAsync(async () => await CountAsync("b = 'copied'") == 1000, cancellationToken: Cancelled);
            await server.ExecuteAsync("INSERT INTO t VALUES (0, 'streamed'); DELETE FROM t WHERE a > 500; UPDATE t SET b = 'changed' WHERE a = 1", source, Cancelled);

            await Eventually.TrueAsync(
                async () => await CountAsync("b = 'streamed'") == 1 && await CountAsync("b = 'changed'") == 1 && await CountAsync("true") == 501,
                cancellationToken: Cancelled);
        }
        finally
        {
            await Postgres.Server.ExecuteAsync($"DROP SUBSCRIPTION {subscription}", target, Cancelled);
        }

        Task<long> CountAsync(string condition) => Count($"SELECT count(*) FROM t WHERE {condition}");

        async Task<long> Count(string sql) => (long)(await Postgres.Server.ExecuteAsync(sql, target, Cancelled))!;
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Npgsql_streams_physically_and_logically(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        var server = await PublisherAsync();
        await server.ExecuteAsync("CREATE TABLE t (a int PRIMARY KEY); CREATE PUBLICATION everything FOR ALL TABLES", database, Cancelled);
        await using var pooler = await StartAsync(variant);

        await using (var physical = new PhysicalReplicationConnection(pooler.ConnectionString(database)))
        {
            await physical.Open(Cancelled);
            Assert.Null((await physical.IdentifySystem(Cancelled)).DbName);
        }

        await using var logical = new LogicalReplicationConnection(pooler.ConnectionString(database));
        await logical.Open(Cancelled);
        Assert.Equal(database, (await logical.IdentifySystem(Cancelled)).DbName);
        var slot = await logical.CreatePgOutputReplicationSlot($"npgsql_{variant.Backend}", temporarySlot: true, cancellationToken: Cancelled);
        await server.ExecuteAsync("INSERT INTO t VALUES (42)", database, Cancelled);
        await foreach (var message in logical.StartReplication(slot, new PgOutputReplicationOptions("everything", PgOutputProtocolVersion.V1), Cancelled))
        {
            logical.SetReplicationStatus(message.WalEnd);
            if (message is not InsertMessage insert) continue;
            await foreach (var column in insert.NewRow) Assert.Equal("42", await column.Get<string>(Cancelled));
            break;
        }
    }

    private static async Task<string> RunAsync(RunningPooler pooler, string? database, string program, params string[] arguments)
    {
        var command = new Command(program, arguments);
        foreach (var (name, value) in pooler.Environment(database ?? "")) command.Environment[name] = value;
        if (database is null) command.Environment["PGDATABASE"] = null;
        return await command.RunCheckedAsync(Cancelled);
    }
}
