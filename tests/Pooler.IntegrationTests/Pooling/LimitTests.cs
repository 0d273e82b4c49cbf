using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>How many clients and servers there may be, and who gets a server next.</summary>
public sealed class LimitTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task No_more_servers_than_pool_size_are_opened_and_the_others_wait(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 3 });
        var clients = await LoginAsync(pooler, database, 10);

        foreach (var client in clients) await client.Query("BEGIN").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database) is { ServersActive: 3, ClientsWaiting: 7 }, cancellationToken: Cancelled);
        Assert.Equal(3, await BackendsOfAsync(database));
        // Whoever has got a server commits, until everybody has had one.
        await Task.WhenAll(clients.Select(async client =>
        {
            Assert.Equal("C(BEGIN) Z(T)", RawClient.Transcript(await client.ReadToReadyAsync()));
            Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
        }));

        Assert.Equal(3, await BackendsOfAsync(database));
        Assert.Equal(3, pooler.Pool(database).ServersIdle);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Waiting_clients_are_served_in_the_order_of_their_coming(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        await holder.ScalarAsync("CREATE TABLE turns (turn int GENERATED ALWAYS AS IDENTITY, client int)");
        await holder.Query("BEGIN").AskAsync();
        var clients = await LoginAsync(pooler, database, 20);
        for (var i = 0; i < clients.Length; i++)
        {
            await clients[i].Query($"INSERT INTO turns (client) VALUES ({i})").SendAsync();
            await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == i + 1, cancellationToken: Cancelled);
        }

        await holder.Query("COMMIT").AskAsync();
        foreach (var client in clients) await client.ReadToReadyAsync();

        Assert.Equal(
            string.Join(',', Enumerable.Range(0, clients.Length)),
            await holder.ScalarAsync("SELECT string_agg(client::text, ',' ORDER BY turn) FROM turns"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task The_reserve_is_used_after_reserve_pool_timeout(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with
        {
            DefaultPoolSize = 1, ReservePoolSize = 2, ReservePoolTimeout = TimeSpan.FromMilliseconds(50),
        });
        var clients = await LoginAsync(pooler, database, 4);

        for (var i = 0; i < 3; i++) Assert.Equal("C(BEGIN) Z(T)", await clients[i].Query("BEGIN").AskAsync());
        await clients[3].Query("SELECT 'last'").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database) is { ServersActive: 3, ClientsWaiting: 1 }, cancellationToken: Cancelled);
        Assert.Equal(3, await BackendsOfAsync(database));
        await clients[0].Query("COMMIT").AskAsync();

        Assert.Equal("T D(last) C(SELECT 1) Z(I)", RawClient.Transcript(await clients[3].ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_beyond_max_client_conn_are_told_so(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { MaxClientConn = 3 });
        var clients = await LoginAsync(pooler, database, 3);

        Assert.Equal("53300", await RefusalAsync(pooler, database));
        Assert.Equal("1", await clients[1].ScalarAsync("SELECT 1"));
        clients[0].Dispose();

        await Eventually.PassesAsync(async () => (await pooler.LoginAsync(database)).Dispose(), cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_beyond_the_limits_of_their_database_or_user_are_told_so(Variant variant)
    {
        var (first, second) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { MaxDbClientConnections = 2, MaxUserClientConnections = 3 });
        var clients = await LoginAsync(pooler, first, 2);
        Assert.Equal("53300", await RefusalAsync(pooler, first));
        using var third = await pooler.LoginAsync(second);
        Assert.Equal("53300", await RefusalAsync(pooler, second));

        clients[0].Dispose();

        await Eventually.PassesAsync(async () => (await pooler.LoginAsync(second)).Dispose(), cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_database_at_max_db_connections_lends_the_place_of_an_idle_server_to_another_user(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { MaxDbConnections = 1 });
        using var first = await pooler.LoginAsync(database);
        using var second = await RawClient.LoginAsync(pooler.EndPoint, database, Postgres.Server.User);

        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(PostgresForPooler.Trusted, await first.ScalarAsync("SELECT current_user"));
            Assert.Equal(Postgres.Server.User, await second.ScalarAsync("SELECT current_user"));
            Assert.InRange(pooler.Pool(database).ServersIdle + pooler.Pool(database, Postgres.Server.User).ServersIdle, 0, 1);
        }
        // One that is in use is not taken away.
        await first.Query("BEGIN").AskAsync();
        await second.Query("SELECT 'at last'").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database, Postgres.Server.User).ClientsWaiting == 1, cancellationToken: Cancelled);
        Assert.Equal("C(COMMIT) Z(I)", await first.Query("COMMIT").AskAsync());

        Assert.Equal("T D(at last) C(SELECT 1) Z(I)", RawClient.Transcript(await second.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_user_at_max_user_connections_takes_an_idle_server_from_his_other_database(Variant variant)
    {
        var (first, second) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { MaxUserConnections = 1 });
        using var one = await pooler.LoginAsync(first);
        using var other = await pooler.LoginAsync(second);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(first, await one.ScalarAsync("SELECT current_database()"));
            Assert.Equal(second, await other.ScalarAsync("SELECT current_database()"));
        }
        await Eventually.TrueAsync(async () => await BackendsOfAsync(first) + await BackendsOfAsync(second) == 1, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_pool_with_clients_keeps_min_pool_size_servers(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { MinPoolSize = 3, ServerIdleTimeout = TimeSpan.FromMilliseconds(1) });
        using var client = await pooler.LoginAsync(database);

        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 3, cancellationToken: Cancelled);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        await Eventually.TrueAsync(() => pooler.Pool(database).ServersIdle == 3, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_smaller_pool_size_closes_servers_as_they_come_free(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 2 });
        var clients = await LoginAsync(pooler, database, 5);

        pooler.Reload(c => c with { Settings = c.Settings with { DefaultPoolSize = 4 } });
        for (var i = 0; i < 4; i++) Assert.Equal("C(BEGIN) Z(T)", await clients[i].Query("BEGIN").AskAsync());
        pooler.Reload(c => c with { Settings = c.Settings with { DefaultPoolSize = 1 } });
        for (var i = 0; i < 4; i++) Assert.Equal("C(COMMIT) Z(I)", await clients[i].Query("COMMIT").AskAsync());

        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 1, cancellationToken: Cancelled);
        Assert.Equal("1", await clients[4].ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Statement_mode_refuses_transactions_and_serves_statements(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 1, PoolMode = PoolMode.Statement });
        using var client = await pooler.LoginAsync(database);
        using var refused = await pooler.LoginAsync(database);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        Assert.Equal("1 2 D(2) C(SELECT 1) Z(I)", await client.Parse("s", "SELECT 2").Bind("s").Execute().Sync().AskAsync());

        await refused.Query("BEGIN").SendAsync();

        Assert.Equal("08P01", Assert.Single(await refused.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        Assert.Equal("t", await client.ScalarAsync("SELECT pg_current_xact_id_if_assigned() IS NULL"));
        Assert.Equal("2 D(2) C(SELECT 1) Z(I)", await client.Bind("s").Execute().Sync().AskAsync());
    }

    private static async Task<RawClient[]> LoginAsync(RunningPooler pooler, string database, int count)
    {
        var clients = new RawClient[count];
        for (var i = 0; i < count; i++) clients[i] = await pooler.LoginAsync(database);
        return clients;
    }

    private static async Task<string> RefusalAsync(RunningPooler pooler, string database)
    {
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, PostgresForPooler.Trusted).SendAsync();
        return Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E').Field('C');
    }
}
