using Microsoft.EntityFrameworkCore;
using SampleQueue;
using SampleWeb.Data;
using StackExchange.Redis;

namespace SampleWeb.Pricing;

/// <summary>What is shown of a product. <c>History</c> is oldest first.</summary>
internal sealed record ProductView(
    long Id,
    string Name,
    string Url,
    decimal? Price,
    string Currency,
    DateTimeOffset UpdatedAt,
    int Stock,
    IReadOnlyList<PricePoint> History)
{
    public string PriceText => Pricing.PriceText.Format(Price, Currency);

    public string ChangeText => Pricing.PriceText.Change(Former, Price);

    /// <summary>The price before the current one; null when there was none.</summary>
    public decimal? Former => History.Count > 1 ? History[^2].Price : null;
}

/// <summary>One observation of a price.</summary>
internal sealed record PricePoint(decimal Price, DateTimeOffset ObservedAt);

/// <summary>A product to be added.</summary>
internal sealed record NewProduct(string? Name, string? Url, string? Currency);

/// <summary>The watched products: lists, adds, and asks the worker to look at their prices.</summary>
internal sealed partial class Catalog(ShopContext context, TaskQueue tasks, WatchedPage pages, TimeProvider time, ILogger<Catalog> logger)
{
    public const int MaximumProducts = 200;

    private const int NewStock = 10;

    // Two clicks in a row need one look at the page.
    private static readonly TimeSpan RefreshOnceWithin = TimeSpan.FromSeconds(2);

    /// <summary>Products by name, each with its latest observations.</summary>
    public async Task<IReadOnlyList<ProductView>> ListAsync(int observations, CancellationToken cancellationToken) =>
        await Views(context.Products.OrderBy(product => product.Name).ThenBy(product => product.Id).Take(MaximumProducts), observations)
            .ToListAsync(cancellationToken);

    public Task<ProductView?> FindAsync(long id, int observations, CancellationToken cancellationToken) =>
        Views(context.Products.Where(product => product.Id == id), observations).SingleOrDefaultAsync(cancellationToken);

    public Task<bool> ExistsAsync(long id, CancellationToken cancellationToken) =>
        context.Products.AnyAsync(product => product.Id == id, cancellationToken);

    /// <summary>What is wrong with a product, by field; empty when nothing is.</summary>
    public Dictionary<string, string[]> Validate(NewProduct product)
    {
        var errors = new Dictionary<string, string[]>();
        var name = product.Name?.Trim();
        if (string.IsNullOrEmpty(name))
            errors["name"] = ["Enter a name."];
        else if (name.Length > 200)
            errors["name"] = ["A name has at most 200 characters."];
        else if (!StoredText.IsStorable(name))
            errors["name"] = ["The name contains characters that can't be stored."];

        if (!string.IsNullOrWhiteSpace(product.Url))
        {
            var url = product.Url.Trim();
            if (url.Length > 2000 || !StoredText.IsStorable(url))
                errors["url"] = ["An address has at most 2,000 ordinary characters."];
            else if (!pages.IsAllowed(url, out var reason))
                errors["url"] = [reason];
        }

        if (product.Currency is null || !PriceText.Currencies.Contains(product.Currency))
            errors["currency"] = [$"Choose one of {string.Join(", ", PriceText.Currencies)}."];
        return errors;
    }

    /// <summary>
    /// Adds a valid product and returns its number. Without an address it is shown in the shop's own window, whose path
    /// has the number in it: hence the second statement, in the same transaction.
    /// </summary>
    public async Task<long> AddAsync(NewProduct added, CancellationToken cancellationToken)
    {
        var url = added.Url?.Trim();
        return await context.Database.CreateExecutionStrategy().ExecuteAsync(async () =>
        {
            context.ChangeTracker.Clear();
            var product = new Product
            {
                Name = added.Name!.Trim(),
                Url = url ?? "",
                Currency = added.Currency!,
                UpdatedAt = time.GetUtcNow(),
                Stock = new Stock { Quantity = NewStock },
            };
            await using var transaction = await context.Database.BeginTransactionAsync(cancellationToken);
            context.Products.Add(product);
            await context.SaveChangesAsync(cancellationToken);
            if (product.Url.Length == 0)
            {
                product.Url = ShopWindow.PathOf(product.Id);
                await context.SaveChangesAsync(cancellationToken);
            }

            await transaction.CommitAsync(cancellationToken);
            return product.Id;
        });
    }

    /// <summary>Has the worker look at a product's page; null when the queue can't be reached.</summary>
    public async Task<string?> RefreshAsync(long id)
    {
        try
        {
            return await tasks.EnqueueAsync(
                TaskQueues.WebScraper,
                TaskNames.ScrapePrice,
                new { product_id = id },
                new EnqueueOptions { UniqueKey = $"refresh:{id}", UniqueFor = RefreshOnceWithin });
        }
        catch (Exception error) when (error is RedisException or TimeoutException)
        {
            LogNotEnqueued(id, error.Message);
            return null;
        }
    }

    private static IQueryable<ProductView> Views(IQueryable<Product> products, int observations) => products
        .AsNoTracking()
        .Select(product => new ProductView(
            product.Id,
            product.Name,
            product.Url,
            product.Price,
            product.Currency,
            product.UpdatedAt,
            product.Stock == null ? 0 : product.Stock.Quantity,
            product.History
                .OrderByDescending(observation => observation.ObservedAt).ThenByDescending(observation => observation.Id)
                .Take(observations)
                .OrderBy(observation => observation.ObservedAt).ThenBy(observation => observation.Id)
                .Select(observation => new PricePoint(observation.Price, observation.ObservedAt))
                .ToList()));

    [LoggerMessage(LogLevel.Warning, "Refreshing product {ProductId} could not be enqueued: {Reason}")]
    private partial void LogNotEnqueued(long productId, string reason);
}
