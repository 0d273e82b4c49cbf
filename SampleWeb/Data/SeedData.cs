using SampleWeb.Pricing;

namespace SampleWeb.Data;

/// <summary>What a new shop starts with, so that there is something to see and to try.</summary>
internal static class SeedData
{
    private const int Observations = 36;

    private static readonly (string Name, string Currency, int Stock)[] Products =
    [
        ("Espresso machine, lever", "EUR", 12),
        ("Folding bicycle, 16 inch", "EUR", 5),
        ("Fountain pen, fine nib", "EUR", 40),
        ("Mechanical keyboard, 75 %", "USD", 25),
        ("Noise-cancelling headphones", "USD", 18),
        ("Trekking tent for two", "EUR", 9),
    ];

    public static async Task AddAsync(ShopContext context, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var products = Products
            .Select(seed => new Product
            {
                Name = seed.Name,
                Currency = seed.Currency,
                Url = "",
                UpdatedAt = now,
                Stock = new Stock { Quantity = seed.Stock },
            })
            .ToArray();

        // One by one: a batch may hand out the numbers in any order, and examples name product 1.
        foreach (var product in products)
        {
            context.Products.Add(product);
            await context.SaveChangesAsync(cancellationToken);
        }

        foreach (var product in products)
        {
            product.Url = ShopWindow.PathOf(product.Id);
            for (var age = Observations; age >= 0; age--)
            {
                var moment = now - ShopWindow.Step * age;
                product.Price = ShopWindow.PriceAt(product.Id, moment);
                product.History.Add(new PriceObservation { Price = product.Price.Value, ObservedAt = moment });
            }
        }

        context.Invitations.AddRange(
            new InvitationCode { Code = "WELCOME-2026", Token = "sample-welcome-token", GuestName = "Ada and Charles" },
            new InvitationCode { Code = "test-code", Token = "test-token", GuestName = "Load test" });
        await context.SaveChangesAsync(cancellationToken);
    }
}
