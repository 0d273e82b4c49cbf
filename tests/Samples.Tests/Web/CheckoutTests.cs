using System.Net;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Samples.Tests.Web;

public sealed class CheckoutTests(ShopServers servers) : IAsyncLifetime
{
    private WebSite _site = null!;

    public async ValueTask InitializeAsync() => _site = await WebSite.StartAsync(servers);

    public ValueTask DisposeAsync() => _site.DisposeAsync();

    [Fact]
    public async Task An_order_takes_stock_and_writes_its_lines()
    {
        using var answer = await BuyAsync("Ada", (1, 2), (3, 1), (1, 1));

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        using var json = JsonDocument.Parse(await answer.TextAsync());
        var order = json.RootElement.GetProperty("order_id").GetGuid();
        Assert.Equal(9, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 1"));
        Assert.Equal(39, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 3"));
        Assert.Equal(
            json.RootElement.GetProperty("total").GetDecimal(),
            await _site.QueryAsync(
                "SELECT sum(l.quantity * l.unit_price) FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.id = $1 AND o.customer = 'Ada'",
                order));
    }

    [Fact]
    public async Task An_order_that_can_not_be_filled_changes_nothing()
    {
        using var answer = await BuyAsync("Ada", (1, 1), (2, 6));

        Assert.Equal(HttpStatusCode.Conflict, answer.StatusCode);
        Assert.Contains("Only 5 of Folding bicycle, 16 inch are left.", await answer.TextAsync());
        Assert.Equal(12, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 1"));
        Assert.Equal(0L, await _site.QueryAsync("SELECT count(*) FROM orders"));
        Assert.Equal(0L, await _site.QueryAsync("SELECT count(*) FROM order_lines"));
    }

    [Fact]
    public async Task Thirty_customers_for_five_bicycles_get_five()
    {
        var statuses = await Task.WhenAll(Enumerable.Range(0, 30).Select(async i =>
        {
            // In opposite orders, which would be a deadlock if the rows were locked as asked for.
            using var answer = i % 2 == 0 ? await BuyAsync($"Guest {i}", (2, 1), (3, 1)) : await BuyAsync($"Guest {i}", (3, 1), (2, 1));
            return answer.StatusCode;
        }));

        Assert.Equal(5, statuses.Count(status => status == HttpStatusCode.Created));
        Assert.Equal(25, statuses.Count(status => status == HttpStatusCode.Conflict));
        Assert.Equal(0, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 2"));
        Assert.Equal(35, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 3"));
    }

    [Theory]
    [InlineData("""{"customer": "Ada", "items": [{"product_id": 1, "quantity": 1}, {"product_id": 4, "quantity": 1}]}""")]
    [InlineData("""{"customer": "Ada", "items": [{"product_id": 999, "quantity": 1}]}""")]
    public async Task What_the_shop_does_not_sell_is_a_conflict(string body)
    {
        using var answer = await PostAsync(body);

        Assert.Equal(HttpStatusCode.Conflict, answer.StatusCode);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"customer": "", "items": [{"product_id": 1, "quantity": 1}]}""")]
    [InlineData("""{"customer": "\u0000", "items": [{"product_id": 1, "quantity": 1}]}""")]
    [InlineData("""{"customer": "Ada", "items": []}""")]
    [InlineData("""{"customer": "Ada", "items": [null]}""")]
    [InlineData("""{"customer": "Ada", "items": [{"product_id": 1, "quantity": 0}]}""")]
    [InlineData("""{"customer": "Ada", "items": [{"product_id": 1, "quantity": -1}]}""")]
    [InlineData("""{"customer": "Ada", "items": [{"product_id": 1, "quantity": 2147483647}]}""")]
    [InlineData("""{"customer": "Ada", "items": [{"product_id": "one", "quantity": 1}]}""")]
    public async Task A_wrong_request_is_a_bad_request(string body)
    {
        using var answer = await PostAsync(body);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
    }

    private Task<HttpResponseMessage> PostAsync(string body) =>
        _site.Client.PostAsync("/api/checkout", new StringContent(body, Encoding.UTF8, "application/json"));

    private Task<HttpResponseMessage> BuyAsync(string customer, params (long Product, int Quantity)[] items) =>
        _site.Client.PostAsJsonAsync("/api/checkout", new
        {
            customer,
            items = items.Select(item => new { product_id = item.Product, quantity = item.Quantity }),
        });
}
