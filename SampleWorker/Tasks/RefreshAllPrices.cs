using Npgsql;
using SampleQueue;

namespace SampleWorker.Tasks;

/// <summary>
/// Enqueues a scrape for every product. Run twice, it enqueues each once: the scrapes are unique by this task's id and
/// the product.
/// </summary>
internal sealed partial class RefreshAllPrices(ShopDatabase database, TaskQueue queue, ILogger<RefreshAllPrices> logger) : ITaskHandler
{
    public string Name => TaskNames.RefreshAllPrices;

    public async Task RunAsync(TaskContext context, CancellationToken cancellationToken)
    {
        var products = await database.TransactAsync(
            async connection =>
            {
                await using var command = new NpgsqlCommand("SELECT id::bigint FROM products ORDER BY id", connection);
                await using var reader = await command.ExecuteReaderAsync(cancellationToken);
                var ids = new List<long>();
                while (await reader.ReadAsync(cancellationToken))
                    ids.Add(reader.GetInt64(0));
                return ids;
            },
            cancellationToken);

        foreach (var product in products)
        {
            cancellationToken.ThrowIfCancellationRequested();
            await queue.EnqueueAsync(
                TaskQueues.WebScraper,
                TaskNames.ScrapePrice,
                new { product_id = product },
                new EnqueueOptions { UniqueKey = $"{context.Id}:{product}" });
        }

        LogEnqueued(products.Count);
    }

    [LoggerMessage(LogLevel.Information, "Enqueued scrapes of {Count} products")]
    private partial void LogEnqueued(int count);
}
