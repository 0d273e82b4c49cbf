using System.Net;
using LocalRun.Provisioning;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using SampleWeb.Data;
using SampleWeb.Hosting;
using ServiceDefaults.Configuration;
using Xunit;

namespace Samples.Tests.Web;

public sealed class StartTests(ShopServers servers)
{
    private const string NoRedis = "127.0.0.1:1,connectTimeout=200";

    [Fact]
    public async Task Instances_that_start_at_once_without_a_database_make_one_shop_together()
    {
        // One connection for each: those who wait for their turn may hold all that a pool has, so the one whose turn it
        // is must not need a second.
        var database = (await servers.PostgresAsync()).ConnectionString(WebSite.NewDatabase()) + ";Maximum Pool Size=1";
        var redis = (await servers.RedisAsync()).ConnectionString;

        var sites = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => WebSite.StartUnreadyAsync(database, redis))));
        try
        {
            await Task.WhenAll(sites.Select(site => site.BecomesReadyAsync()));

            Assert.Equal(6L, await sites[0].QueryAsync("SELECT count(*) FROM products"));
            Assert.Equal(2L, await sites[0].QueryAsync("SELECT count(*) FROM invitations"));
            Assert.Equal(1L, await sites[0].QueryAsync("SELECT count(*) FROM \"__EFMigrationsHistory\""));
            Assert.Equal(1L, await sites[0].QueryAsync("SELECT count(*) FROM data_protection_keys"));
            // Of this database only: other tests start shops on the same server.
            Assert.Equal(0L, await sites[0].QueryAsync(
                """
                SELECT count(*) FROM pg_locks
                WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """));
        }
        finally
        {
            foreach (var site in sites)
                await site.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_form_of_one_instance_can_be_posted_to_another()
    {
        await using var first = await WebSite.StartAsync(servers);
        await using var second = await WebSite.StartUnreadyAsync(first.ConnectionString, (await servers.RedisAsync()).ConnectionString);
        await second.BecomesReadyAsync();

        using var page = await first.Client.GetAsync("/");
        using var request = new HttpRequestMessage(HttpMethod.Post, "/?handler=Refresh")
        {
            Content = new FormUrlEncodedContent(
            [
                KeyValuePair.Create("id", "1"),
                KeyValuePair.Create("__RequestVerificationToken", WebSite.TokenOf(await page.TextAsync())),
            ]),
        };
        request.Headers.Add("Cookie", page.Headers.GetValues("Set-Cookie").Select(cookie => cookie.Split(';')[0]));
        using var answer = await second.Client.SendAsync(request);

        Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
    }

    [Fact]
    public async Task The_web_waits_for_a_database_that_comes_later_and_survives_its_restart()
    {
        await using var postgres = await PostgresServer.StartAsync(cancellationToken: TestContext.Current.CancellationToken);
        var database = postgres.ConnectionString("shop");
        await postgres.StopAsync();
        await using var site = await WebSite.StartUnreadyAsync(database, (await servers.RedisAsync()).ConnectionString);

        using (var waiting = await site.Client.GetAsync("/"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, waiting.StatusCode);
            Assert.Contains("waiting for its database", await waiting.TextAsync());
        }

        await AnswersAsync(site, "/health", HttpStatusCode.ServiceUnavailable);
        await AnswersAsync(site, "/alive", HttpStatusCode.OK);
        await AnswersAsync(site, "/api/products", HttpStatusCode.ServiceUnavailable);

        await postgres.StartAgainAsync(TestContext.Current.CancellationToken);
        await site.BecomesReadyAsync();
        await AnswersAsync(site, "/products/1", HttpStatusCode.OK);

        await postgres.StopAsync();
        await AnswersAsync(site, "/products/1", HttpStatusCode.ServiceUnavailable);
        await AnswersAsync(site, "/api/products", HttpStatusCode.ServiceUnavailable);
        await AnswersAsync(site, "/health", HttpStatusCode.ServiceUnavailable);

        await postgres.StartAgainAsync(TestContext.Current.CancellationToken);
        await site.BecomesReadyAsync();
        await AnswersAsync(site, "/products/1", HttpStatusCode.OK);
    }

    [Fact]
    public async Task Without_redis_the_shop_is_unhealthy_but_shows_its_products()
    {
        var postgres = await servers.PostgresAsync();
        await using var site = await WebSite.StartUnreadyAsync(postgres.ConnectionString(WebSite.NewDatabase()), NoRedis);
        await Eventually.Is(async () => (await site.Client.GetAsync("/")).StatusCode == HttpStatusCode.OK, "the products are shown");

        await AnswersAsync(site, "/health", HttpStatusCode.ServiceUnavailable);
        await AnswersAsync(site, "/tasks", HttpStatusCode.ServiceUnavailable);
        using var refresh = await site.PostFormAsync("/", "/?handler=Refresh", ("id", "1"));
        Assert.Equal(HttpStatusCode.Found, refresh.StatusCode);
        Assert.Contains("The task queue can't be reached", await site.PageAsync("/"));
        using var api = await site.Client.PostAsync("/api/products/1/refresh", null);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, api.StatusCode);
    }

    [Fact]
    public async Task The_migrated_tables_are_the_models()
    {
        await using var site = await WebSite.StartAsync(servers);
        await using var scope = site.Services.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<ShopContext>();

        Assert.False(context.Database.HasPendingModelChanges(), "the snapshot of the migrations is the model");

        var expected = context.Model.GetEntityTypes()
            .SelectMany(type => type.GetProperties().Select(property =>
                $"{type.GetTableName()}.{property.GetColumnName()} {property.GetColumnType()}{(property.IsNullable ? "" : " not null")}"))
            .Order(StringComparer.Ordinal);
        var actual = new List<string>();
        await using var source = NpgsqlDataSource.Create(site.ConnectionString);
        await using var command = source.CreateCommand("""
            SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND c.relname <> '__EFMigrationsHistory'
            """);
        await using var reader = await command.ExecuteReaderAsync(TestContext.Current.CancellationToken);
        while (await reader.ReadAsync(TestContext.Current.CancellationToken))
            actual.Add(reader.GetString(0));

        Assert.Equal(expected, actual.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_worker_can_write_prices_with_plain_sql()
    {
        await using var site = await WebSite.StartAsync(servers);

        await site.QueryAsync("UPDATE products SET price = 12.34, updated_at = now() WHERE id = 1");
        await site.QueryAsync("INSERT INTO price_history (product_id, price) VALUES (1, 12.34)");

        Assert.Contains("€12.34", await site.PageAsync("/products/1"));
    }

    [Fact]
    public async Task The_web_presents_itself_to_postgresql()
    {
        await using var site = await WebSite.StartAsync(servers);

        Assert.Equal("web", await site.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("SHOW application_name")
            .ExecuteScalarAsync(TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("ConnectionStrings__shop")]
    [InlineData("ConnectionStrings__redis")]
    public void A_missing_connection_string_is_named_at_start(string missing)
    {
        string[] settings = ["ConnectionStrings__shop", "ConnectionStrings__redis"];
        var args = settings.Where(key => key != missing).Select(key => $"--{key.Replace("__", ":")}=somewhere").ToArray();

        var error = Assert.Throws<MissingSettingException>(() => WebShop.Create(args));

        Assert.Equal(missing, error.Key);
    }

    private static async Task AnswersAsync(WebSite site, string path, HttpStatusCode expected)
    {
        using var answer = await site.Client.GetAsync(path);
        Assert.Equal(expected, answer.StatusCode);
    }
}
