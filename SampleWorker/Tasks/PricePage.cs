using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;

namespace SampleWorker.Tasks;

/// <summary>
/// The price a product page states, as schema.org microdata (<c>itemprop="price"</c>), Open Graph
/// (<c>product:price:amount</c>) or JSON-LD (<c>"price": …</c>), which is what shops put there for search engines.
/// </summary>
/// <param name="Amount">The price.</param>
/// <param name="Currency">ISO 4217 code; null when the page names none.</param>
internal sealed partial record PricePage(decimal Amount, string? Currency)
{
    // Pages are anyone's: NonBacktracking takes time linear in their length, whatever they contain.
    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.IgnoreCase | RegexOptions.CultureInvariant;

    private static readonly Regex PriceTag = Tag("itemprop", "price");
    private static readonly Regex CurrencyTag = Tag("itemprop", "priceCurrency");
    private static readonly Regex OpenGraphPrice = Tag("property", "product:price:amount");
    private static readonly Regex OpenGraphCurrency = Tag("property", "product:price:currency");
    private static readonly Regex JsonPrice = new("""
        "price"\s*:\s*"?(?<value>[0-9][0-9.,]*)
        """.Trim(), Options);
    private static readonly Regex JsonCurrency = new("""
        "priceCurrency"\s*:\s*"(?<value>[a-z]{3})"
        """.Trim(), Options);
    private static readonly Regex Content = new("""
        \s(content|value)\s*=\s*("(?<value>[^"]*)"|'(?<value>[^']*)')
        """.Trim(), Options);

    /// <summary>Reads a page; null when it states no price.</summary>
    public static PricePage? Parse(string html)
    {
        var amount = TagValue(PriceTag, html) ?? TagValue(OpenGraphPrice, html) ?? Value(JsonPrice, html);
        if (amount is null || ParseAmount(amount) is not { } price)
            return null;

        var currency = TagValue(CurrencyTag, html) ?? TagValue(OpenGraphCurrency, html) ?? Value(JsonCurrency, html);
        currency = currency?.Trim().ToUpperInvariant();
        return new PricePage(price, currency is { Length: 3 } && currency.All(char.IsAsciiLetter) ? currency : null);
    }

    /// <summary>
    /// Reads an amount as people write it: the last point or comma is the decimal separator, unless exactly three
    /// digits follow it and it is not the only kind of separator used once with a leading zero (<c>1.234</c> is
    /// one thousand two hundred thirty-four, <c>0.234</c> is less than one). Null when it is no amount.
    /// </summary>
    internal static decimal? ParseAmount(string text)
    {
        var digits = new string([.. text.Where(c => char.IsAsciiDigit(c) || c is '.' or ',')]).Trim('.', ',');
        var separator = digits.LastIndexOfAny(['.', ',']);
        if (separator >= 0)
        {
            var fraction = digits.Length - separator - 1;
            var mixed = digits.Contains('.') && digits.Contains(',');
            var single = digits.Count(c => c == digits[separator]) == 1;
            var isDecimal = fraction != 3 || mixed && single || single && digits.StartsWith('0');
            var whole = digits[..separator].Replace(".", "").Replace(",", "");
            digits = whole + (isDecimal ? "." : "") + digits[(separator + 1)..];
        }

        return decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var amount)
            && amount < 1_000_000_000
            ? amount
            : null;
    }

    private static Regex Tag(string attribute, string name) =>
        new($"""<[a-z][^<>]*\s{attribute}\s*=\s*["']?{Regex.Escape(name)}["'\s/>][^<>]*>?(?<text>[^<]*)""", Options);

    private static string? TagValue(Regex tag, string html)
    {
        var match = tag.Match(html);
        if (!match.Success)
            return null;
        var content = Content.Match(match.Value);
        return WebUtility.HtmlDecode(content.Success ? content.Groups["value"].Value : match.Groups["text"].Value);
    }

    private static string? Value(Regex regex, string html) =>
        regex.Match(html) is { Success: true } match ? match.Groups["value"].Value : null;
}
