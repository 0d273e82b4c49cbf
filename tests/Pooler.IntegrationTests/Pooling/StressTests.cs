using System.Collections.Concurrent;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>
/// Many clients on few servers over four loops, which come and go at every point of a conversation, while servers are
/// replaced. At the end the counts must add up: no server lost, none twice, no waiter forgotten, no answer to the wrong client.
/// </summary>
public sealed class StressTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const int Clients = 60;
    private const int Servers = 5;
    private const int Visits = 25;

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Whatever_clients_do_the_counts_add_up_in_the_end(Variant variant)
    {
        var seed = Environment.TickCount;
        var database = await NewDatabaseAsync();
        using var log = new ErrorLog();
        var configuration = RunningPooler.Configuration(Postgres, variant, s => s with
        {
            DefaultPoolSize = Servers, MaxPreparedStatements = 3, CancelWaitTimeout = TimeSpan.FromSeconds(60),
        });
        await using var pooler = RunningPooler.Start(configuration, log);
        await Postgres.Server.ExecuteAsync("CREATE TABLE t (a text)", database, Cancelled);

        try
        {
            await Task.WhenAll(Enumerable.Range(0, Clients).Select(number => Task.Run(async () =>
            {
                var random = new Random(seed + number);
                for (var visit = 0; visit < Visits; visit++) await VisitAsync(pooler, database, random, $"{number}.{visit}");
            })));
            await AssertAllAddsUpAsync(pooler, database);
            Assert.Empty(log.Errors);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException(
                $"with seed {seed}: {e.Message}; pool {pooler.Pool(database)}; log: {string.Join('\n', log.Errors)}", e);
        }
    }

    private async Task AssertAllAddsUpAsync(RunningPooler pooler, string database)
    {
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 0, cancellationToken: Cancelled);
        await Eventually.TrueAsync(
            async () => pooler.Pool(database) is { ServersActive: 0, ServersLogin: 0, ServersTested: 0, ServersBeingCanceled: 0, ClientsWaiting: 0 } pool
                && await BackendsOfAsync(database) == pool.ServersIdle, cancellationToken: Cancelled);
        Assert.InRange(pooler.Pool(database).ServersIdle, 0, Servers);
        Assert.Equal(0L, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM t", database, Cancelled));

        // Every place in the pool serves: all servers at once, each with a transaction.
        var clients = new List<RawClient>();
        for (var i = 0; i < Servers; i++)
        {
            clients.Add(await pooler.LoginAsync(database));
            Assert.Equal("C(BEGIN) Z(T)", await clients[i].Query("BEGIN").AskAsync());
        }
        Assert.Equal(Servers, await BackendsOfAsync(database));
        foreach (var client in clients)
        {
            Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
            client.Dispose();
        }
    }

    private static async Task VisitAsync(RunningPooler pooler, string database, Random random, string mark)
    {
        RawClient? client = null;
        // Now and then an administrator has all servers replaced.
        if (random.Next(50) == 0) pooler.Engine.Reconnect(null);
        try
        {
            switch (random.Next(4))
            {
                case 0:
                    client = await RawClient.ConnectAsync(pooler.EndPoint);
                    var startup = client.Startup(database, PostgresForPooler.Trusted).TakeGathered();
                    await client.Bytes(startup[..random.Next(startup.Length + 1)]).SendAsync();
                    break;
                default:
                    client = await pooler.LoginAsync(database, ("application_name", $"stress {random.Next(3)}"));
                    for (var step = random.Next(6); step > 0; step--)
                        if (!await StepAsync(pooler, client, random, $"{mark}.{step}")) break;
                    break;
            }
        }
        catch (SocketException)
        {
            // We have provoked it.
        }
        finally
        {
            await LeaveAsync(client, random);
        }
    }

    /// <returns>Whether the client is in a state to go on.</returns>
    private static async Task<bool> StepAsync(RunningPooler pooler, RawClient client, Random random, string mark)
    {
        switch (random.Next(14))
        {
            case 0 or 1:
                Assert.Equal($"T D({mark}) C(SELECT 1) Z(I)", await client.Query($"SELECT '{mark}'").AskAsync());
                return true;
            case 2:
                Assert.Equal($"1 2 D({mark}) C(SELECT 1) Z(I)", await client.Parse("", "SELECT $1").Bind("", mark).Execute().Sync().AskAsync());
                return true;
            case 3:
                var name = $"s{random.Next(4)}";
                await client.Close(name).Parse(name, $"SELECT '{name}', $1").Sync().AskAsync();
                Assert.Equal($"2 D({name}|{mark}) C(SELECT 1) Z(I)", await client.Bind(name, mark).Execute().Sync().AskAsync());
                return true;
            case 4 or 5:
                await PipelineAsync(client, random, mark);
                return true;
            case 6:
                Assert.Equal("C(BEGIN) Z(T) C(INSERT 0 1) Z(T)", await client.Query("BEGIN").Query($"INSERT INTO t VALUES ('{mark}')").AskAsync(2));
                Assert.Equal($"T D({mark}) C(SELECT 1) Z(T)", await client.Query("SELECT * FROM t").AskAsync());
                if (random.Next(3) == 0) return false;
                Assert.Equal("C(ROLLBACK) Z(I)", await client.Query("ROLLBACK").AskAsync());
                return true;
            case 7:
                await client.Query($"SELECT pg_sleep(0.02), '{mark}'").SendAsync();
                var cancel = client.CancelAsync(pooler.EndPoint);
                var answer = RawClient.Transcript(await client.ReadToReadyAsync());
                await cancel;
                Assert.True(answer == $"T D(|{mark}) C(SELECT 1) Z(I)" || answer == "T E(57014) Z(I)" || answer == "E(57014) Z(I)", answer);
                return true;
            case 8:
                // Goes while it waits for a server, or for the answer.
                await client.Query($"SELECT '{mark}'").SendAsync();
                return false;
            case 9:
                var message = client.Query($"SELECT '{mark}'").Query($"SELECT '{mark}'").TakeGathered();
                await client.Bytes(message[..random.Next(1, message.Length)]).SendAsync();
                return false;
            case 10:
                await client.Parse("", "SELECT $1").Bind("", mark).Execute().SendAsync();
                return false;
            case 11:
                await client.Query("SELECT repeat('x', 10000) FROM generate_series(1, 300)").SendAsync();
                await client.ReadAsync();
                return false;
            case 12:
                await client.Query("BEGIN").Query("COPY t FROM STDIN").CopyData($"{mark}\n").SendAsync();
                return false;
            default:
                await client.Query($"SELECT pg_sleep(0.001), '{mark}'").SendAsync();
                await client.CancelAsync(pooler.EndPoint);
                return false;
        }
    }

    private static async Task PipelineAsync(RawClient client, Random random, string mark)
    {
        var expected = "";
        var batches = random.Next(1, 6);
        for (var batch = 0; batch < batches; batch++)
        {
            if (random.Next(4) == 0)
            {
                client.Parse("", "SELECT 1/0").Bind("").Execute().Parse($"s{random.Next(4)}", "SELECT 'skipped'").Sync();
                expected += "1 E(22012) Z(I) ";
            }
            else
            {
                client.Parse("", "SELECT $1").Bind("", $"{mark}.{batch}").Execute().Sync();
                expected += $"1 2 D({mark}.{batch}) C(SELECT 1) Z(I) ";
            }
        }
        Assert.Equal(expected.TrimEnd(), await client.AskAsync(batches));
    }

    private static async Task LeaveAsync(RawClient? client, Random random)
    {
        if (client is null) return;
        try
        {
            switch (random.Next(4))
            {
                case 0:
                    client.Abort();
                    break;
                case 1:
                    await client.Terminate().SendAsync();
                    break;
                case 2:
                    client.HalfClose();
                    await client.ReadToEndAsync();
                    break;
            }
        }
        catch (SocketException)
        {
            // The other side was first.
        }
        client.Dispose();
    }

    /// <summary>Keeps what the engine logs as an error: a handler that threw, for example.</summary>
    private sealed class ErrorLog : ILoggerFactory, ILogger
    {
        public ConcurrentQueue<string> Errors { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) Errors.Enqueue($"{formatter(state, exception)} {exception}");
        }

        public void Dispose()
        {
        }
    }
}
