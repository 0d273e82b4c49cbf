using SampleWorker.Tasks;
using Xunit;

namespace Samples.Tests.Worker;

public class PricePageTests
{
    [Theory]
    [InlineData("""<meta itemprop="price" content="12.50"><meta itemprop="priceCurrency" content="EUR">""", "12.50", "EUR")]
    [InlineData("""<meta content='12.50' itemprop='price'/><span itemprop=priceCurrency content="eur"></span>""", "12.50", "EUR")]
    [InlineData("""<span class="x" itemprop="price">€ 1.234,56</span>""", "1234.56", null)]
    [InlineData("""<data value="7" itemprop="price">seven</data>""", "7", null)]
    [InlineData("""<meta property="product:price:amount" content="99"><meta property="product:price:currency" content="USD">""", "99", "USD")]
    [InlineData("""<script type="application/ld+json">{"offers":{"price":"42.10","priceCurrency":"CHF"}}</script>""", "42.10", "CHF")]
    [InlineData("""{"price": 42 }""", "42", null)]
    [InlineData("""<meta itemprop="price" content="3"><meta itemprop="priceCurrency" content="Euro!">""", "3", null)]
    public void A_page_states_its_price(string html, string amount, string? currency)
    {
        var price = PricePage.Parse(html);

        Assert.Equal(decimal.Parse(amount, System.Globalization.CultureInfo.InvariantCulture), price?.Amount);
        Assert.Equal(currency, price?.Currency);
    }

    [Theory]
    [InlineData("")]
    [InlineData("<html><p>Sold out</p></html>")]
    [InlineData("""<meta itemprop="price" content="">""")]
    [InlineData("""<meta itemprop="price" content="soon">""")]
    [InlineData("""<meta itemprop="price" content="99999999999999999999999999999999">""")]
    [InlineData("""<meta itemprop="priceValidUntil" content="2026">""")]
    public void A_page_without_a_price_states_none(string html) => Assert.Null(PricePage.Parse(html));

    [Theory]
    [InlineData("1,234.56", "1234.56")]
    [InlineData("1.234,56", "1234.56")]
    [InlineData("1.234", "1234")]
    [InlineData("0.234", "0.234")]
    [InlineData("1.234.567", "1234567")]
    [InlineData("1,234,567.8", "1234567.8")]
    [InlineData("12,5", "12.5")]
    [InlineData("EUR 5.-", "5")]
    public void Amounts_are_read_as_people_write_them(string text, string amount) =>
        Assert.Equal(decimal.Parse(amount, System.Globalization.CultureInfo.InvariantCulture), PricePage.ParseAmount(text));

    [Fact]
    public void A_hostile_page_takes_no_time()
    {
        var html = string.Concat(Enumerable.Repeat("<a itemprop=", ScrapePrice.MaxPageBytes / 12));

        Assert.Null(PricePage.Parse(html));
    }
}
