using System.Globalization;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

public sealed class ManyClientsTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const int Clients = 1000;
    private const int Servers = 25;

    /// <remarks>
    /// Both ends of every connection are in this process: 2,000 descriptors and some. .NET raises the soft limit to the
    /// hard one by itself, which is 4,096 at least on the systems that we know of.
    /// </remarks>
    [Theory, MemberData(nameof(ManyLoops))]
    public async Task A_thousand_clients_do_transactions_on_25_servers(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { MaxClientConn = Clients, DefaultPoolSize = Servers, ListenBacklog = 1024 });
        await Postgres.Server.ExecuteAsync("CREATE TABLE accounts (client int PRIMARY KEY, balance int)", database, Cancelled);
        var loggedIn = 0;
        var everybody = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        var working = Task.WhenAll(Enumerable.Range(0, Clients).Select(number => Task.Run(async () =>
        {
            using var client = await pooler.LoginAsync(database);
            if (Interlocked.Increment(ref loggedIn) == Clients) everybody.SetResult();
            await everybody.Task;
            for (var round = 1; round <= 3; round++)
            {
                Assert.Equal("C(BEGIN) Z(T)", await client.Query("BEGIN").AskAsync());
                Assert.Equal("1 2 C(INSERT 0 1) Z(T)", await client.Parse("",
                    "INSERT INTO accounts VALUES ($1, 1) ON CONFLICT (client) DO UPDATE SET balance = accounts.balance + 1")
                    .Bind("", number.ToString(CultureInfo.InvariantCulture)).Execute().Sync().AskAsync());
                Assert.Equal($"T D({number}|{round}) C(SELECT 1) Z(T)",
                    await client.Query($"SELECT * FROM accounts WHERE client = {number}").AskAsync());
                Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
            }
        })));
        var most = 0L;
        while (!working.IsCompleted)
        {
            most = Math.Max(most, await BackendsOfAsync(database, "usename = 'trusted'"));
            await Task.WhenAny(working, Task.Delay(50, Cancelled));
        }
        await working;

        Assert.InRange(most, 2, Servers);
        Assert.Equal(3L * Clients, await Postgres.Server.ExecuteAsync("SELECT sum(balance) FROM accounts", database, Cancelled));
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 0, cancellationToken: Cancelled);
        var pool = pooler.Pool(database);
        Assert.Equal(0, pool.ClientsWaiting);
        Assert.Equal(await BackendsOfAsync(database, "usename = 'trusted'"), pool.ServersIdle);
    }
}
