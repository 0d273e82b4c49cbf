using SampleWeb.Pricing;

namespace SampleWeb.Pages;

/// <summary>How a change of price is shown: an arrow besides the colour, for those who see no colours.</summary>
internal static class PriceChange
{
    public static string ClassOf(ProductView product) => Direction(product) switch { > 0 => "up", < 0 => "down", _ => "same" };

    public static string TextOf(ProductView product) => (Direction(product), product.Price) switch
    {
        (_, null) => "waiting for the first price",
        ( > 0, _) => "▲ " + product.ChangeText,
        ( < 0, _) => "▼ " + product.ChangeText,
        _ => "unchanged",
    };

    private static int Direction(ProductView product) =>
        product is { Former: { } former, Price: { } price } ? price.CompareTo(former) : 0;
}
