using Microsoft.EntityFrameworkCore;
using SampleWeb.Data;

namespace SampleWeb.Pricing;

/// <summary>One wish of a customer.</summary>
internal sealed record CheckoutItem(long ProductId, int Quantity);

/// <summary>How a checkout ended: with an order, or with the reason why there is none.</summary>
internal sealed record CheckoutResult(Order? Order, string? Refusal)
{
    public static CheckoutResult Refused(string reason) => new(null, reason);
}

/// <summary>
/// Sells products: locks their stock, takes it down and writes the order with its lines, in one transaction of several
/// statements with a round trip each. This is the part of the sample that needs its server connection to stay the same.
/// </summary>
internal sealed class Checkout(ShopContext context, TimeProvider time)
{
    public const int MaximumItems = 20;
    public const int MaximumQuantity = 100;

    /// <summary>Sells all items or none.</summary>
    public Task<CheckoutResult> BuyAsync(string customer, IReadOnlyList<CheckoutItem> items, CancellationToken cancellationToken)
    {
        var orderId = Guid.CreateVersion7();
        var wanted = items
            .GroupBy(item => item.ProductId)
            .ToDictionary(group => group.Key, group => group.Sum(item => item.Quantity));

        return context.Database.CreateExecutionStrategy().ExecuteInTransactionAsync(
            cancellation => BuyOnceAsync(orderId, customer, wanted, cancellation),
            // When the connection broke during COMMIT, nobody knows how it went: the order tells.
            cancellation => context.Orders.AsNoTracking().AnyAsync(order => order.Id == orderId, cancellation),
            cancellationToken);
    }

    private async Task<CheckoutResult> BuyOnceAsync(
        Guid orderId, string customer, Dictionary<long, int> wanted, CancellationToken cancellationToken)
    {
        context.ChangeTracker.Clear();
        var ids = wanted.Keys.ToArray();

        // In the order of their numbers, so that two customers with the same products can't wait for each other.
        var stock = await context.Stock
            .FromSql($"SELECT product_id, quantity FROM stock WHERE product_id = ANY ({ids}) ORDER BY product_id FOR UPDATE")
            .ToDictionaryAsync(row => row.ProductId, cancellationToken);
        var products = await context.Products.AsNoTracking()
            .Where(product => ids.Contains(product.Id))
            .ToDictionaryAsync(product => product.Id, cancellationToken);

        foreach (var (id, quantity) in wanted)
        {
            if (!products.TryGetValue(id, out var product))
                return CheckoutResult.Refused($"There is no product {id}.");
            if (product.Price is null)
                return CheckoutResult.Refused($"{product.Name} has no price yet.");
            var left = stock.GetValueOrDefault(id)?.Quantity ?? 0;
            if (left < quantity)
                return CheckoutResult.Refused(left == 0 ? $"{product.Name} is sold out." : $"Only {left} of {product.Name} are left.");
        }

        if (products.Values.Select(product => product.Currency).Distinct().Count() > 1)
            return CheckoutResult.Refused("The products are sold in different currencies: buy them apart.");

        foreach (var (id, quantity) in wanted)
            stock[id].Quantity -= quantity;

        var order = new Order
        {
            Id = orderId,
            Customer = customer,
            Currency = products.Values.First().Currency,
            Total = wanted.Sum(item => item.Value * products[item.Key].Price!.Value),
            CreatedAt = time.GetUtcNow(),
            Lines =
            [
                .. wanted.Select(item => new OrderLine
                {
                    OrderId = orderId,
                    ProductId = item.Key,
                    Quantity = item.Value,
                    UnitPrice = products[item.Key].Price!.Value,
                }),
            ],
        };
        context.Orders.Add(order);
        await context.SaveChangesAsync(cancellationToken);
        return new CheckoutResult(order, null);
    }
}
