namespace SampleWeb.Data;

/// <summary>A thing whose price is watched. The worker updates the price; a new product has none yet.</summary>
internal sealed class Product
{
    public long Id { get; init; }

    public required string Name { get; set; }

    /// <summary>Page that shows the price: a path of this site, or an absolute address.</summary>
    public required string Url { get; set; }

    public decimal? Price { get; set; }

    /// <summary>ISO 4217 code.</summary>
    public required string Currency { get; set; }

    public DateTimeOffset UpdatedAt { get; set; }

    public List<PriceObservation> History { get; } = [];

    public Stock? Stock { get; set; }
}

/// <summary>A price seen at a moment; a row of <c>price_history</c>.</summary>
internal sealed class PriceObservation
{
    public long Id { get; init; }

    public long ProductId { get; init; }

    public decimal Price { get; init; }

    public DateTimeOffset ObservedAt { get; init; }
}

/// <summary>How many of a product the shop can still sell.</summary>
internal sealed class Stock
{
    public long ProductId { get; init; }

    public int Quantity { get; set; }
}
