using System.Net;
using Npgsql;
using SampleQueue;
using ServiceDefaults.Configuration;

namespace SampleWorker.Tasks;

/// <summary>
/// Fetches one product's page and notes its price. Run twice, it notes it once: the task asks for an observation made
/// after it was enqueued, and when there is one it has nothing to do.
/// </summary>
internal sealed partial class ScrapePrice(
    ShopDatabase database, IHttpClientFactory clients, IConfiguration configuration, ILogger<ScrapePrice> logger) : ITaskHandler
{
    /// <summary>Name of its HTTP client.</summary>
    public const string HttpClientName = "scraper";

    // A page is text; what is longer is no product page, and must not fill the memory.
    internal const int MaxPageBytes = 2 * 1024 * 1024;

    public string Name => TaskNames.ScrapePrice;

    public async Task RunAsync(TaskContext context, CancellationToken cancellationToken)
    {
        var productId = context.RequiredNumber("product_id");
        var (url, done) = await database.TransactAsync(
            connection => FindAsync(connection, productId, context.Age, cancellationToken), cancellationToken);
        if (done)
        {
            LogDone(productId);
            return;
        }

        var address = Address(url);
        var page = await FetchAsync(address, cancellationToken);
        var price = PricePage.Parse(page)
            ?? throw new FormatException($"The page {address} shows no price.");

        var noted = await database.TransactAsync(
            connection => NoteAsync(connection, productId, price, context.Age, cancellationToken), cancellationToken);
        if (noted)
            LogNoted(productId, price.Amount, price.Currency);
        else
            LogDone(productId);
    }

    private static async Task<(string Url, bool Done)> FindAsync(
        NpgsqlConnection connection, long productId, TimeSpan age, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(
            """
            SELECT p.url, EXISTS (
                SELECT FROM price_history h
                WHERE h.product_id = p.id AND h.observed_at > clock_timestamp() - $2 * interval '1 ms')
            FROM products p WHERE p.id = $1
            """,
            connection) { Parameters = { new() { Value = productId }, new() { Value = Milliseconds(age) } } };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken)
            ? (reader.GetString(0), reader.GetBoolean(1))
            : throw new TaskRejectedException($"There is no product {productId}.");
    }

    private static async Task<bool> NoteAsync(
        NpgsqlConnection connection, long productId, PricePage price, TimeSpan age, CancellationToken cancellationToken)
    {
        // The lock lets a second run of this task see what the first has written.
        await using var find = new NpgsqlCommand("SELECT currency FROM products WHERE id = $1 FOR UPDATE", connection)
        {
            Parameters = { new() { Value = productId } },
        };
        if (await find.ExecuteScalarAsync(cancellationToken) is null)
            throw new TaskRejectedException($"Product {productId} was deleted meanwhile.");

        await using var insert = new NpgsqlCommand(
            """
            INSERT INTO price_history (product_id, price, observed_at)
            SELECT $1, $2, clock_timestamp()
            WHERE NOT EXISTS (
                SELECT FROM price_history
                WHERE product_id = $1 AND observed_at > clock_timestamp() - $3 * interval '1 ms')
            """,
            connection)
        {
            Parameters = { new() { Value = productId }, new() { Value = price.Amount }, new() { Value = Milliseconds(age) } },
        };
        if (await insert.ExecuteNonQueryAsync(cancellationToken) == 0)
            return false;

        await using var update = new NpgsqlCommand(
            "UPDATE products SET price = $2, currency = COALESCE($3, currency), updated_at = clock_timestamp() WHERE id = $1",
            connection)
        {
            Parameters =
            {
                new() { Value = productId },
                new() { Value = price.Amount },
                new() { Value = price.Currency ?? (object)DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text },
            },
        };
        await update.ExecuteNonQueryAsync(cancellationToken);
        return true;
    }

    // Redis counts whole milliseconds: without the one taken off, an observation in the very millisecond before the
    // task was enqueued would pass for one after it.
    private static double Milliseconds(TimeSpan age) => Math.Max(0, age.TotalMilliseconds - 1);

    private Uri Address(string url)
    {
        if (!Uri.TryCreate(url, UriKind.RelativeOrAbsolute, out var address))
            throw new TaskRejectedException($"'{url}' is not a URL.");
        // On Unix a path that begins with / is an absolute file URL to Uri.
        if (!address.IsAbsoluteUri || address.IsFile && url.StartsWith('/'))
            return new Uri(configuration.GetServiceAddress("web"), url);
        return address.Scheme is "http" or "https"
            ? address
            : throw new TaskRejectedException($"'{url}' is neither http nor https.");
    }

    private async Task<string> FetchAsync(Uri address, CancellationToken cancellationToken)
    {
        using var client = clients.CreateClient(HttpClientName);
        client.MaxResponseContentBufferSize = MaxPageBytes;
        using var response = await client.GetAsync(address, cancellationToken);
        // RFC 9110 and 6585: the site is there and asks for another time (ours does so while it migrates its tables).
        if (response.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests)
            throw new TaskDeferredException($"The site of {address} asks to come later ({(int)response.StatusCode}).");
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadAsStringAsync(cancellationToken);
    }

    [LoggerMessage(LogLevel.Information, "Product {Product} costs {Price} {Currency}")]
    private partial void LogNoted(long product, decimal price, string? currency);

    [LoggerMessage(LogLevel.Information, "Product {Product} has an observation younger than its task")]
    private partial void LogDone(long product);
}
