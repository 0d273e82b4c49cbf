using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Operations;

/// <summary>
/// Clients that work without a pause and check every answer: in transaction mode with transactions, in statement mode
/// with single statements, in session mode with short sessions.
/// </summary>
internal sealed class Load : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _working = Task.CompletedTask;
    private long _transactions;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    /// <summary>Rows that were inserted, as far as the clients were told.</summary>
    public long Transactions => Interlocked.Read(ref _transactions);

    public static async Task<Load> StartAsync(RunningPooler pooler, string database, int clients, PoolMode mode = PoolMode.Transaction)
    {
        var load = new Load();
        using (var first = await pooler.LoginAsync(database)) await first.ScalarAsync("CREATE TABLE work (client int, number int)");
        // All of them, before the test goes on: what it does next may be to let no more in.
        var sessions = await Task.WhenAll(Enumerable.Range(0, clients).Select(_ => pooler.LoginAsync(database)));
        load._working = Task.WhenAll(sessions.Select((session, i) => Task.Run(() => load.WorkAsync(pooler, database, session, i, mode))));
        return load;
    }

    /// <summary>Waits until every client may have done some more; throws when one failed.</summary>
    public async Task ProgressAsync(int transactions = 50)
    {
        var from = Transactions;
        await Eventually.TrueAsync(() => _working.IsFaulted || Transactions > from + transactions, cancellationToken: Cancelled);
        if (_working.IsFaulted) await _working;
    }

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _working.WaitAsync(TimeSpan.FromSeconds(60), Cancelled);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _stop.Dispose();
    }

    private async Task WorkAsync(RunningPooler pooler, string database, RawClient client, int number, PoolMode mode)
    {
        try
        {
            for (var i = 0; !_stop.IsCancellationRequested; i++)
            {
                if (mode == PoolMode.Statement) await StatementAsync(client, number, i);
                else await TransactionAsync(client, number, i);
                Interlocked.Increment(ref _transactions);
                if (mode != PoolMode.Session || i % 5 != 4) continue;
                await client.Terminate().SendAsync();
                client.Dispose();
                client = await pooler.LoginAsync(database);
            }
        }
        finally
        {
            client.Dispose();
        }
    }

    private static async Task StatementAsync(RawClient client, int number, int i) =>
        Assert.Equal($"T D({i}) C(INSERT 0 1) Z(I)", await client.Query($"INSERT INTO work VALUES ({number}, {i}) RETURNING number").AskAsync());

    private static async Task TransactionAsync(RawClient client, int number, int i)
    {
        Assert.Equal("C(BEGIN) Z(T)", await client.Query("BEGIN").AskAsync());
        Assert.Equal("C(INSERT 0 1) Z(T)", await client.Query($"INSERT INTO work VALUES ({number}, {i})").AskAsync());
        Assert.Equal($"1 2 D({i + 1}) C(SELECT 1) Z(T)", await client
            .Parse("", "SELECT count(*) FROM work WHERE client = $1").Bind("", number.ToString()).Execute().Sync().AskAsync());
        Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
    }
}
