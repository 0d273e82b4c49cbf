using System.Net;
using Xunit;

namespace Samples.Tests.Web;

public sealed class PageTests(ShopServers servers) : IAsyncLifetime
{
    private WebSite _site = null!;

    public async ValueTask InitializeAsync() => _site = await WebSite.StartAsync(servers);

    public ValueTask DisposeAsync() => _site.DisposeAsync();

    [Fact]
    public async Task The_list_shows_products_with_price_and_history()
    {
        var page = await _site.PageAsync("/");

        Assert.Contains("Espresso machine, lever", page);
        Assert.Contains("€", page);
        Assert.Contains("aria-label=\"Price history of Espresso machine, lever\"", page);
    }

    [Fact]
    public async Task A_product_has_its_page_and_one_that_is_not_there_has_none()
    {
        Assert.Contains("Espresso machine, lever", await _site.PageAsync("/products/1"));

        using var missing = await _site.Client.GetAsync("/products/999");
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        Assert.Contains("There is nothing here", await missing.TextAsync());
    }

    [Fact]
    public async Task The_shop_window_tells_a_price_to_programs()
    {
        Assert.Matches("""<meta itemprop="price" content="\d+\.\d\d">""", await _site.PageAsync("/shop-window/1"));
    }

    [Fact]
    public async Task An_added_product_is_on_the_list_in_the_window_and_in_the_scrapers_queue()
    {
        using var answer = await _site.PostFormAsync("/", "/?handler=Add", ("name", "  Kettle <b>  "), ("url", ""), ("currency", "GBP"));

        Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
        var id = await _site.QueryAsync("SELECT id FROM products WHERE name = 'Kettle <b>' AND currency = 'GBP' AND price IS NULL");
        Assert.NotNull(id);
        Assert.Equal($"/products/{id}", answer.Headers.Location?.ToString());
        Assert.Equal($"/shop-window/{id}", await _site.QueryAsync("SELECT url FROM products WHERE id = $1", id));
        var queue = Assert.Single(await _site.Monitor.ReadQueuesAsync());
        Assert.Equal(("webscraper", 1L), (queue.Name, queue.Waiting));

        var page = await _site.Client.GetStringAsync(answer.Headers.Location);
        Assert.Contains("Kettle &lt;b&gt;", page);
        Assert.DoesNotContain("Kettle <b>", page);
        Assert.Contains("its price will be here in a moment", page);
    }

    [Theory]
    [InlineData("", "", "EUR", "Enter a name.")]
    [InlineData("Kettle", "not an address", "EUR", "Enter an http or https address")]
    [InlineData("Kettle", "file:///etc/passwd", "EUR", "Enter an http or https address")]
    [InlineData("Kettle", "http://169.254.169.254/latest", "EUR", "aren't watched here")]
    [InlineData("Kettle", "/shop-window/../admin", "EUR", "Enter an http or https address")]
    [InlineData("Kettle", "", "doubloons", "Choose one of")]
    public async Task A_product_with_a_mistake_is_refused_with_the_reason_and_keeps_what_was_entered(
        string name, string url, string currency, string reason)
    {
        using var answer = await _site.PostFormAsync("/", "/?handler=Add", ("name", name), ("url", url), ("currency", currency));

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        var page = WebUtility.HtmlDecode(await answer.TextAsync());
        Assert.Contains(reason, page);
        if (url.Length > 0)
            Assert.Contains($"value=\"{url}\"", page);
        Assert.Equal(6L, await _site.QueryAsync("SELECT count(*) FROM products"));
    }

    [Fact]
    public async Task Pages_of_hosts_that_are_named_may_be_watched()
    {
        await using var site = await WebSite.StartAsync(servers, ("PriceWatch:AllowedHosts", "shop.example, other.example"));

        using var answer = await site.PostFormAsync(
            "/", "/?handler=Add", ("name", "Kettle"), ("url", "https://other.example/kettle"), ("currency", "EUR"));

        Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
        Assert.Equal("https://other.example/kettle", await site.QueryAsync("SELECT url FROM products WHERE name = 'Kettle'"));
    }

    [Fact]
    public async Task Refreshing_twice_in_a_row_enqueues_one_task()
    {
        for (var i = 0; i < 2; i++)
        {
            using var answer = await _site.PostFormAsync("/", "/?handler=Refresh", ("id", "2"));
            Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
        }

        var queue = Assert.Single(await _site.Monitor.ReadQueuesAsync());
        Assert.Equal(("webscraper", 1L), (queue.Name, queue.Waiting));
        Assert.Contains("The worker has been asked", await _site.PageAsync("/"));
    }

    [Theory]
    [InlineData("/?handler=Add")]
    [InlineData("/?handler=Refresh")]
    [InlineData("/products/1?handler=Buy")]
    [InlineData("/tasks?handler=RefreshAll")]
    public async Task A_form_without_its_token_is_refused(string action)
    {
        using var answer = await _site.PostWithTokenAsync(action, token: null, ("name", "Kettle"), ("currency", "EUR"), ("id", "1"));

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains("reload the page", await answer.TextAsync());
    }

    [Theory]
    [InlineData("/products/1")]
    [InlineData("/products/abc")]
    public async Task A_refresh_of_a_product_that_is_not_there_is_not_found(string path)
    {
        var token = WebSite.TokenOf(await _site.PageAsync("/"));
        using var answer = await _site.PostWithTokenAsync(path.Replace("1", "999") + "?handler=Refresh", token);

        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
    }

    [Fact]
    public async Task Buying_takes_the_stock_down()
    {
        using var answer = await _site.PostFormAsync(
            "/products/1", "/products/1?handler=Buy", ("customer", "Ada"), ("quantity", "2"));

        Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
        Assert.Equal(10, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 1"));
        Assert.Contains("Thank you, Ada", await _site.PageAsync("/products/1"));
    }

    [Theory]
    [InlineData("Ada", "0")]
    [InlineData("Ada", "many")]
    [InlineData("Ada", "99999999999")]
    [InlineData("Ada", "100")]
    [InlineData("", "1")]
    public async Task Buying_with_a_mistake_is_refused(string customer, string quantity)
    {
        using var answer = await _site.PostFormAsync(
            "/products/1", "/products/1?handler=Buy", ("customer", customer), ("quantity", quantity));

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal(12, await _site.QueryAsync("SELECT quantity FROM stock WHERE product_id = 1"));
        Assert.Equal(0L, await _site.QueryAsync("SELECT count(*) FROM orders"));
    }
}
