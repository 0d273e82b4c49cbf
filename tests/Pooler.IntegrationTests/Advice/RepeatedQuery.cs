namespace Pooler.IntegrationTests.Advice;

/// <summary>Clients that send the same query again and again until they are stopped.</summary>
internal sealed class RepeatedQuery : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _working = Task.CompletedTask;

    public static async Task<RepeatedQuery> StartAsync(RunningPooler pooler, string database, int clients, string sql)
    {
        var load = new RepeatedQuery();
        var sessions = await Task.WhenAll(Enumerable.Range(0, clients).Select(_ => pooler.LoginAsync(database)));
        load._working = Task.WhenAll(sessions.Select(session => Task.Run(async () =>
        {
            using (session)
                while (!load._stop.IsCancellationRequested) await session.ScalarAsync(sql);
        })));
        return load;
    }

    /// <summary>Stops them; throws when one has failed.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _working;
    }
}
