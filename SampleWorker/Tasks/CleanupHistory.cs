using Npgsql;
using SampleQueue;

namespace SampleWorker.Tasks;

/// <summary>
/// Deletes observations older than <c>keep_days</c> (90 by default), except the latest of each product. Run twice, it
/// finds nothing the second time.
/// </summary>
internal sealed partial class CleanupHistory(ShopDatabase database, ILogger<CleanupHistory> logger) : ITaskHandler
{
    private const long DefaultKeepDays = 90;

    // Short transactions: a long one would hold a pooled server connection, and vacuum, for its whole length.
    private const int BatchSize = 1000;

    public string Name => TaskNames.CleanupHistory;

    public async Task RunAsync(TaskContext context, CancellationToken cancellationToken)
    {
        var keepDays = context.OptionalNumber("keep_days") ?? DefaultKeepDays;
        if (keepDays is < 0 or > 36_500)
            throw new TaskRejectedException("Argument 'keep_days' must be from 0 to 36500.");

        var total = 0;
        int deleted;
        do
        {
            deleted = await database.TransactAsync(connection => DeleteAsync(connection, (int)keepDays, cancellationToken), cancellationToken);
            total += deleted;
        }
        while (deleted == BatchSize);
        LogDeleted(total, keepDays);
    }

    private static async Task<int> DeleteAsync(NpgsqlConnection connection, int keepDays, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(
            """
            DELETE FROM price_history WHERE id IN (
                SELECT h.id FROM price_history h
                WHERE h.observed_at < now() - make_interval(days => $1)
                  AND EXISTS (SELECT FROM price_history l WHERE l.product_id = h.product_id AND l.observed_at > h.observed_at)
                LIMIT $2)
            """,
            connection) { Parameters = { new() { Value = keepDays }, new() { Value = BatchSize } } };
        return await command.ExecuteNonQueryAsync(cancellationToken);
    }

    [LoggerMessage(LogLevel.Information, "Deleted {Count} observations older than {Days} days")]
    private partial void LogDeleted(int count, long days);
}
