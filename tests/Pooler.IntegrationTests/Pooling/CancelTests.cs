using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

public sealed class CancelTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_cancel_request_ends_the_query_of_the_client_that_it_is_for(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        using var bystander = await pooler.LoginAsync(database);
        await client.Query("SELECT pg_sleep(600)").SendAsync();
        await bystander.Query("SELECT pg_sleep(1), 'untouched'").SendAsync();
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 2, cancellationToken: Cancelled);

        await client.CancelAsync(pooler.EndPoint);

        Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        Assert.Equal("T D(|untouched) C(SELECT 1) Z(I)", RawClient.Transcript(await bystander.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task A_late_cancel_request_never_hits_the_next_client_of_the_server(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var cancelling = await pooler.LoginAsync(database);
        using var next = await pooler.LoginAsync(database);

        for (var i = 0; i < 60; i++)
        {
            await cancelling.Query("SELECT 1").SendAsync();
            // The next client queues up, the request races with the end of the query.
            await next.Query("SELECT pg_sleep(0.005), 'mine'").SendAsync();
            await cancelling.CancelAsync(pooler.EndPoint);

            Assert.Equal("T D(|mine) C(SELECT 1) Z(I)", RawClient.Transcript(await next.ReadToReadyAsync()));
            Assert.Equal('Z', (await cancelling.ReadToReadyAsync())[^1].Type);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Unknown_and_idle_cancel_requests_are_dismissed(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));

        await client.CancelAsync(pooler.EndPoint);
        using (var liar = await RawClient.ConnectAsync(pooler.EndPoint))
        {
            await liar.Bytes(0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 1, 2, 3, 4).SendAsync();
            Assert.Empty(await liar.ReadToEndAsync());
        }

        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 1, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_of_protocol_3_2_get_long_keys_and_others_short_ones(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        foreach (var (minor, length) in new[] { (0, 4), (2, 32), (9999, 32) })
        {
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);
            await client.Startup(minor, database, PostgresForPooler.Trusted).SendAsync();
            Assert.Equal(minor > 2, (await client.ReadToReadyAsync())[0].Type == 'v');
            Assert.Equal(length, client.Cancellation.Key.Length);
            Assert.True(client.Cancellation.ProcessId > 0);
            await client.Query("SELECT pg_sleep(600)").SendAsync();
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);

            await client.CancelAsync(pooler.EndPoint);

            Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Npgsql_and_psycopg2_can_cancel(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var connection = await pooler.ConnectAsync(database);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        await using var command = new NpgsqlCommand("SELECT pg_sleep(600)", connection);
        var running = command.ExecuteNonQueryAsync(cancel.Token);
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);
        await cancel.CancelAsync();
        var cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.Equal("57014", Assert.IsType<PostgresException>(cancelled.InnerException).SqlState);
        Assert.Equal(1, await ScalarAsync(connection, "SELECT 1"));

        var python = new Command(await Tools.PythonWithPsycopg2Async(cancellationToken: Cancelled), "-c", """
            import psycopg2, psycopg2.errors, threading
            connection = psycopg2.connect("")
            watcher = psycopg2.connect("")
            watcher.autocommit = True
            def cancel():
                with watcher.cursor() as cursor:
                    while True:
                        cursor.execute("select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")
                        if cursor.fetchone()[0]: break
                connection.cancel()
            thread = threading.Thread(target=cancel)
            thread.start()
            try:
                connection.cursor().execute("select pg_sleep(600)")
            except psycopg2.errors.QueryCanceled:
                print("cancelled")
            thread.join()
            connection.rollback()
            cursor = connection.cursor()
            cursor.execute("select 'alive'")
            print(cursor.fetchone()[0])
            """);
        foreach (var (name, value) in pooler.Environment(database)) python.Environment[name] = value;
        Assert.Equal(["cancelled", "alive"], (await python.RunCheckedAsync(Cancelled)).Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
