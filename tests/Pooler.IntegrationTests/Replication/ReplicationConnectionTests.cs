using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Replication;

public sealed class ReplicationConnectionTests(PostgresForPooler postgres, Publisher publisher) : ReplicationTest(postgres, publisher)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task The_server_is_opened_with_the_clients_parameters_and_closed_with_it(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        await using var pooler = await StartAsync(variant);
        var name = $"own{variant.Backend}";
        using (var client = await pooler.LoginAsync(
            database, ("replication", "database"), ("application_name", name), ("options", "-c enable_seqscan=off -c work_mem=7MB"), ("DateStyle", "German")))
        {
            Assert.Equal(name, client.Parameters["application_name"]);
            Assert.StartsWith("German", client.Parameters["DateStyle"]);
            Assert.Equal("off", await client.ScalarAsync("SHOW enable_seqscan"));
            Assert.Equal("7MB", await client.ScalarAsync("SELECT current_setting('work_mem')"));
            Assert.Equal(4, (await IdentifyAsync(client)).Length);
            Assert.Equal(1, await WalSendersAsync(name));

            // Neither is its server anybody else's, nor was the pool told of its parameters.
            using var other = await pooler.LoginAsync(database);
            Assert.StartsWith("ISO", other.Parameters["DateStyle"]);
            Assert.Equal("on", await other.ScalarAsync("SHOW enable_seqscan"));
            Assert.Equal(2, pooler.Pool(database).ServersActive + pooler.Pool(database).ServersIdle);
        }

        await Eventually.TrueAsync(async () => await WalSendersAsync(name) == 0, cancellationToken: Cancelled);
        Assert.Equal(0, pooler.Pool(database).ServersActive);
    }

    [Theory]
    [InlineData("true"), InlineData("on"), InlineData("1"), InlineData("yes")]
    public async Task Physical_replication_takes_commands_but_no_sql(string value)
    {
        await using var pooler = await StartAsync(AnyVariant);
        using var client = await pooler.LoginAsync("replication", ("replication", value));

        Assert.Null((await IdentifyAsync(client))[3]);
        Assert.Equal("E(0A000) Z(I)", await client.Query("SELECT 1").AskAsync());
        Assert.NotNull(await client.ScalarAsync("SHOW wal_segment_size"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Streams_flow_in_both_directions_until_the_client_ends_them(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        var server = await PublisherAsync();
        await using var pooler = await StartAsync(variant);
        using var client = await pooler.LoginAsync(database, ("replication", "database"));
        await server.ExecuteAsync("CREATE TABLE t (a text)", database, Cancelled);
        var slot = $"stream_{variant.Backend}";
        await client.Query($"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL test_decoding").SendAsync();
        await client.ReadToReadyAsync();
        // More than the sockets' buffers hold, while the client does not read.
        await server.ExecuteAsync("INSERT INTO t SELECT repeat('x', 10000) FROM generate_series(1, 2000)", database, Cancelled);

        await client.Query($"START_REPLICATION SLOT {slot} LOGICAL 0/0").SendAsync();
        Assert.Equal('W', (await client.ReadAsync())!.Type);
        await server.ExecuteAsync("INSERT INTO t VALUES ('last')", database, Cancelled);
        var changes = 0;
        while (true)
        {
            var message = await client.ReadAsync();
            Assert.Equal('d', message!.Type);
            if (message.Body[0] != 'w') continue;
            changes++;
            if (message.Text.Contains("'last'", StringComparison.Ordinal)) break;
        }
        await client.StatusUpdate().CopyDone().SendAsync();
        var end = await client.ReadToReadyAsync();

        Assert.True(changes > 2000);
        Assert.Equal("c C(COPY 0) C(START_REPLICATION) Z(I)", RawClient.Transcript(end.Where(m => m.Type != 'd')).Replace("C(COPY 0) C(COPY 0)", "C(COPY 0)"));
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task A_full_pool_closes_an_idle_server_for_a_replication_client(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        await using var pooler = await StartAsync(variant, s => s with { DefaultPoolSize = 1 });
        using var ordinary = await pooler.LoginAsync(database);
        var before = await ordinary.ScalarAsync("SELECT pg_backend_pid()");

        using (var first = await pooler.LoginAsync(database, ("replication", "database")))
        {
            Assert.NotEqual(before, await first.ScalarAsync("SELECT pg_backend_pid()"));

            // All that come now have to wait, in this order: an ordinary client, and another one of replication.
            await ordinary.Query("SELECT 'served'").SendAsync();
            await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 1, cancellationToken: Cancelled);
            var second = pooler.LoginAsync(database, ("replication", "database"));
            await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 2, cancellationToken: Cancelled);
            Assert.False(second.IsCompleted);
            Assert.Equal("1", await first.ScalarAsync("SELECT 1"));
            first.Dispose();
            Assert.Equal("T D(served) C(SELECT 1) Z(I)", RawClient.Transcript(await ordinary.ReadToReadyAsync()));
            using var served = await second;
            Assert.Equal("2", await served.ScalarAsync("SELECT 2"));
        }
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Busy_clients_do_not_keep_a_replication_client_out_of_their_pool(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        await using var pooler = await StartAsync(variant, s => s with { DefaultPoolSize = 2 });
        using var stop = new CancellationTokenSource();
        var busy = Enumerable.Range(0, 8).Select(async _ =>
        {
            using var client = await pooler.LoginAsync(database);
            while (!stop.IsCancellationRequested) await client.ScalarAsync("SELECT 1");
        }).ToArray();
        try
        {
            for (var i = 0; i < 5; i++)
            {
                using var client = await pooler.LoginAsync(database, ("replication", "database"));
                Assert.Equal("7", await client.ScalarAsync("SELECT 7"));
            }
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(busy);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_refusal_is_told_to_the_replication_client_alone(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        await using var pooler = await StartAsync(variant);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, Publisher.Unprivileged, ("replication", "database")).SendAsync();

        var error = Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E');

        Assert.Equal("42501", error.Field('C'));
        Assert.Equal("login failed", error.Field('M'));
        Assert.Contains("walsender", error.Field('D').Replace(" ", "", StringComparison.Ordinal), StringComparison.OrdinalIgnoreCase);
        using var ordinary = await RawClient.LoginAsync(pooler.EndPoint, database, Publisher.Unprivileged);
        Assert.Equal("1", await ordinary.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Limits_of_queries_do_not_hold_for_replication_but_a_reconnect_ends_it(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        await using var pooler = await StartAsync(variant, s => s with { ServerLifetime = TimeSpan.Zero });
        using var client = await pooler.LoginAsync(database, ("replication", "database"));
        pooler.Change(s => s with
        {
            QueryTimeout = TimeSpan.FromMilliseconds(100),
            TransactionTimeout = TimeSpan.FromMilliseconds(100),
            IdleTransactionTimeout = TimeSpan.FromMilliseconds(100),
            ClientIdleTimeout = TimeSpan.FromMilliseconds(100),
        });
        Assert.Equal("T D(|done) C(SELECT 1) Z(I)", await client.Query("SELECT pg_sleep(0.6), 'done'").AskAsync());
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));

        pooler.Engine.Reconnect(null);

        Assert.Equal("database configuration changed", Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Show_clients_and_servers_tell_the_kind_of_replication(Variant variant)
    {
        var database = await NewPublishedDatabaseAsync();
        await using var pooler = await StartAsync(variant);
        using var logical = await pooler.LoginAsync(database, ("replication", "database"));
        using var physical = await pooler.LoginAsync(database, ("replication", "true"));
        using var ordinary = await pooler.LoginAsync(database);
        using var console = await pooler.LoginAsync("pgbouncer");

        foreach (var table in new[] { "CLIENTS", "SERVERS" })
        {
            await console.Query($"SELECT replication, state FROM SHOW {table} WHERE database = '{database}' ORDER BY replication").SendAsync();
            var rows = (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => string.Join(' ', m.Cells())).ToArray();
            Assert.Contains("logical active", rows);
            Assert.Contains("physical active", rows);
        }
    }

    /// <summary>System identifier, timeline, position, database.</summary>
    private static async Task<string?[]> IdentifyAsync(RawClient client)
    {
        await client.Query("IDENTIFY_SYSTEM").SendAsync();
        return Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'D').Cells();
    }
}
