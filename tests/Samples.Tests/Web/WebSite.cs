using System.Net;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using SampleQueue;
using SampleWeb.Hosting;
using Xunit;

namespace Samples.Tests.Web;

/// <summary>An instance of the web, listening on a free port.</summary>
internal sealed partial class WebSite : IAsyncDisposable
{
    private readonly WebApplication _app;

    private WebSite(WebApplication app, string connectionString)
    {
        _app = app;
        ConnectionString = connectionString;
        Client = new TestClient(Address);
    }

    public string ConnectionString { get; }

    public TestClient Client { get; }

    public Uri Address => new(_app.Urls.First());

    public IServiceProvider Services => _app.Services;

    public TaskMonitor Monitor => Services.GetRequiredService<TaskMonitor>();

    /// <summary>A web of its own: its own database and its own queues. Returns when it is healthy.</summary>
    public static async Task<WebSite> StartAsync(ShopServers servers, params (string Key, string Value)[] settings)
    {
        var postgres = await servers.PostgresAsync();
        var site = await StartUnreadyAsync(
            postgres.ConnectionString(NewDatabase()), (await servers.RedisAsync()).ConnectionString, settings);
        await site.BecomesReadyAsync();
        return site;
    }

    /// <summary>Returns as soon as it listens, whatever the state of what is behind it.</summary>
    public static async Task<WebSite> StartUnreadyAsync(string database, string redis, params (string Key, string Value)[] settings)
    {
        var app = WebShop.Create([], builder =>
        {
            builder.Logging.ClearProviders();
            builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
            {
                ["ConnectionStrings:shop"] = database,
                ["ConnectionStrings:redis"] = redis,
                ["TaskQueue:KeyPrefix"] = $"{{{Guid.NewGuid():N}}}:",
            });
            builder.Configuration.AddInMemoryCollection(settings.ToDictionary(pair => pair.Key, pair => (string?)pair.Value));
        });
        app.Urls.Clear();
        app.Urls.Add("http://127.0.0.1:0");
        await app.StartAsync();
        return new WebSite(app, database);
    }

    /// <summary>The name of a database that isn't there yet: the web makes it.</summary>
    public static string NewDatabase() => "shop_" + Guid.NewGuid().ToString("N");

    public Task BecomesReadyAsync() => Eventually.Is(
        async () => (await Client.GetAsync("/health")).StatusCode == HttpStatusCode.OK, "the web becomes healthy");

    public async Task<string> PageAsync(string path)
    {
        using var response = await Client.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return WebUtility.HtmlDecode(await response.TextAsync());
    }

    /// <summary>Fills in a form as a browser would: gets the page with its token and posts the fields with it.</summary>
    public async Task<HttpResponseMessage> PostFormAsync(string page, string action, params (string Name, string Value)[] fields)
    {
        var token = TokenOf(await PageAsync(page));
        return await PostWithTokenAsync(action, token, fields);
    }

    public Task<HttpResponseMessage> PostWithTokenAsync(string action, string? token, params (string Name, string Value)[] fields)
    {
        var content = fields.Select(field => KeyValuePair.Create(field.Name, field.Value));
        if (token is not null)
            content = content.Append(KeyValuePair.Create("__RequestVerificationToken", token));
        return Client.PostAsync(action, new FormUrlEncodedContent(content));
    }

    public static string TokenOf(string page) => Token().Match(page) is { Success: true } match
        ? match.Groups[1].Value
        : throw new InvalidOperationException("The page has no form with a token.");

    public async Task<object?> QueryAsync(string sql, params object[] parameters)
    {
        await using var connection = new NpgsqlConnection(ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters)
            command.Parameters.AddWithValue(parameter);
        return await command.ExecuteScalarAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        NpgsqlConnection.ClearAllPools();
    }

    [GeneratedRegex("""name="__RequestVerificationToken" type="hidden" value="([^"]+)""")]
    private static partial Regex Token();
}
