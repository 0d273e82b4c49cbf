namespace SampleWeb.Data;

/// <summary>A finished checkout.</summary>
internal sealed class Order
{
    /// <summary>Chosen before the transaction, so that after a lost connection one can look whether it was committed.</summary>
    public Guid Id { get; init; }

    public required string Customer { get; init; }

    public decimal Total { get; init; }

    public required string Currency { get; init; }

    public DateTimeOffset CreatedAt { get; init; }

    public List<OrderLine> Lines { get; init; } = [];
}

/// <summary>One product of an order, at the price of that moment.</summary>
internal sealed class OrderLine
{
    public Guid OrderId { get; init; }

    public long ProductId { get; init; }

    public int Quantity { get; init; }

    public decimal UnitPrice { get; init; }
}
