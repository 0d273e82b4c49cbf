using System.Globalization;

namespace SampleWeb.Pricing;

/// <summary>Prices as people read them.</summary>
internal static class PriceText
{
    /// <summary>Currencies a product may have.</summary>
    public static readonly IReadOnlyList<string> Currencies = ["EUR", "USD", "GBP", "CHF", "CNY"];

    public static string Format(decimal? price, string currency)
    {
        if (price is not { } value)
            return "–";

        var number = value.ToString("N2", CultureInfo.InvariantCulture);
        return currency switch
        {
            "EUR" => "€" + number,
            "USD" => "$" + number,
            "GBP" => "£" + number,
            "CNY" => "¥" + number,
            _ => $"{number} {currency}",
        };
    }

    /// <summary>Change in per cent from one price to the next, as "+2.3 %"; empty without a former price.</summary>
    public static string Change(decimal? former, decimal? current) => former is > 0 && current is { } now
        ? ((now - former.Value) / former.Value * 100).ToString("+0.0' %';−0.0' %';0.0' %'", CultureInfo.InvariantCulture)
        : "";
}
