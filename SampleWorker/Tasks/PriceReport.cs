using Npgsql;
using SampleQueue;

namespace SampleWorker.Tasks;

/// <summary>Logs how prices have moved within <c>days</c> (7 by default). It only reads, so it may run any number of times.</summary>
internal sealed partial class PriceReport(ShopDatabase database, ILogger<PriceReport> logger) : ITaskHandler
{
    private const long DefaultDays = 7;

    public string Name => TaskNames.PriceReport;

    public async Task RunAsync(TaskContext context, CancellationToken cancellationToken)
    {
        var days = context.OptionalNumber("days") ?? DefaultDays;
        if (days is < 1 or > 36_500)
            throw new TaskRejectedException("Argument 'days' must be from 1 to 36500.");

        var lines = await database.TransactAsync(connection => ReadAsync(connection, (int)days, cancellationToken), cancellationToken);
        LogSummary(lines.Count, days);
        foreach (var (name, observations, lowest, highest) in lines)
            LogProduct(name, observations, lowest, highest);
    }

    private static async Task<List<(string Name, long Observations, decimal Lowest, decimal Highest)>> ReadAsync(
        NpgsqlConnection connection, int days, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(
            """
            SELECT p.name, count(*), min(h.price), max(h.price)
            FROM products p JOIN price_history h ON h.product_id = p.id
            WHERE h.observed_at >= now() - make_interval(days => $1)
            GROUP BY p.id, p.name
            ORDER BY (max(h.price) - min(h.price)) DESC, p.name
            LIMIT 10
            """,
            connection) { Parameters = { new() { Value = days } } };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var lines = new List<(string, long, decimal, decimal)>();
        while (await reader.ReadAsync(cancellationToken))
            lines.Add((reader.GetString(0), reader.GetInt64(1), reader.GetDecimal(2), reader.GetDecimal(3)));
        return lines;
    }

    [LoggerMessage(LogLevel.Information, "Prices of {Count} products that moved most within {Days} days:")]
    private partial void LogSummary(int count, long days);

    [LoggerMessage(LogLevel.Information, "  {Product}: {Observations} observations from {Lowest} to {Highest}")]
    private partial void LogProduct(string product, long observations, decimal lowest, decimal highest);
}
