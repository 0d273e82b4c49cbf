using System.Net;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Samples.Tests.Web;

public sealed class ProductApiTests(ShopServers servers) : IAsyncLifetime
{
    private WebSite _site = null!;

    public async ValueTask InitializeAsync() => _site = await WebSite.StartAsync(servers);

    public ValueTask DisposeAsync() => _site.DisposeAsync();

    [Fact]
    public async Task Products_are_listed_with_their_history_oldest_first()
    {
        using var json = JsonDocument.Parse(await _site.Client.GetStringAsync("/api/products"));

        Assert.Equal(6, json.RootElement.GetArrayLength());
        var moments = json.RootElement[0].GetProperty("history").EnumerateArray()
            .Select(point => point.GetProperty("observed_at").GetDateTimeOffset()).ToArray();
        Assert.Equal(30, moments.Length);
        Assert.Equal(moments.Order(), moments);
    }

    [Fact]
    public async Task A_product_can_be_added_read_and_refreshed()
    {
        using var added = await _site.Client.PostAsJsonAsync("/api/products", new { name = "Kettle" });
        Assert.Equal(HttpStatusCode.Created, added.StatusCode);

        using var json = JsonDocument.Parse(await _site.Client.GetStringAsync(added.Headers.Location));
        Assert.Equal("Kettle", json.RootElement.GetProperty("name").GetString());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("price").ValueKind);

        using var refreshed = await _site.Client.PostAsync(added.Headers.Location + "/refresh", null);
        Assert.Equal(HttpStatusCode.Accepted, refreshed.StatusCode);
        Assert.Contains("task_id", await refreshed.TextAsync());
    }

    [Fact]
    public async Task A_wrong_product_is_refused_with_its_fields()
    {
        using var answer = await _site.Client.PostAsJsonAsync("/api/products", new { name = " ", url = "gopher://x", currency = "XXX" });

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        using var json = JsonDocument.Parse(await answer.TextAsync());
        Assert.Equal(["currency", "name", "url"], json.RootElement.GetProperty("errors").EnumerateObject().Select(field => field.Name).Order());
    }

    [Theory]
    [InlineData("""{"name": "Kettle\u0000"}""")]
    [InlineData("""{"name": "Kettle\ud800"}""")]
    public async Task A_name_that_postgresql_can_not_store_is_refused(string body)
    {
        using var answer = await _site.Client.PostAsync("/api/products", new StringContent(body, Encoding.UTF8, "application/json"));

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Theory]
    [InlineData("GET", "/api/products/999")]
    [InlineData("POST", "/api/products/999/refresh")]
    [InlineData("GET", "/api/products/abc")]
    [InlineData("GET", "/api/nothing")]
    public async Task What_is_not_there_is_a_problem_of_404(string method, string path)
    {
        using var answer = await _site.Client.SendAsync(new HttpRequestMessage(new HttpMethod(method), path));

        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
    }
}
