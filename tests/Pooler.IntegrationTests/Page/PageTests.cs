using System.Net;
using Microsoft.Playwright;
using Npgsql;
using Testing;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Pooler.IntegrationTests.Page;

/// <summary>The web page in a real browser. Set SCREENSHOTS to a directory to keep pictures of it.</summary>
public sealed class PageTests(PostgresForPooler postgres, Chromium chromium, PageTests.SharedPooler shared)
    : PoolerTest(postgres), IClassFixture<Chromium>, IClassFixture<PageTests.SharedPooler>
{
    private const string Hostile = "<script>document.title=1</script><img src=x onerror=alert()>\"'&";

    private PagePooler Pooler => shared.Pooler;

    [Fact]
    public async Task A_new_client_and_what_it_holds_show_without_a_reload()
    {
        var database = await NewDatabaseAsync();
        await using var context = await chromium.Browser.NewContextAsync();
        var complaints = new List<string>();
        var page = await Chromium.OpenAsync(context, Pooler.PublicPage, complaints);
        await ExpectLiveAsync(page);
        await page.EvaluateAsync("window.sameDocument = true");

        await using var client = await Pooler.ConnectAsync(database, Hostile);
        await using var transaction = await client.BeginTransactionAsync(Cancelled);
        await ExecuteAsync(client, "SELECT 4711 AS \"<script>alert()</script>\"");

        var held = page.Locator("#held-table tbody tr", new() { HasText = database });
        await Expect(held.Locator(".app")).ToHaveTextAsync(Hostile);
        await Expect(held).ToContainTextAsync("idle in transaction");
        await Expect(held.Locator("[data-label=Query]")).ToHaveTextAsync("SELECT ? AS \"<script>alert()</script>\"");
        await Expect(Pool(page, database).Locator(".places")).ToContainTextAsync("1 / 20");
        await Expect(page.Locator("#held button")).ToHaveCountAsync(0);
        await Expect(page.Locator("#held")).ToContainTextAsync($"The same page on port {Pooler.AdminPort}");

        await transaction.RollbackAsync(Cancelled);
        await Expect(held).ToHaveCountAsync(0);
        Assert.True(await page.EvaluateAsync<bool>("window.sameDocument"));
        Assert.Equal("Pooler", await page.TitleAsync());
        Assert.Empty(complaints);
    }

    [Fact]
    public async Task A_client_is_killed_with_the_keyboard_and_updates_leave_the_focus_and_what_is_open_alone()
    {
        var database = await NewDatabaseAsync();
        await using var client = await Pooler.ConnectAsync(database, "holder");
        await using var transaction = await client.BeginTransactionAsync(Cancelled);
        await ExecuteAsync(client, "SELECT 1");
        await using var context = await chromium.Browser.NewContextAsync();
        var complaints = new List<string>();
        var page = await Chromium.OpenAsync(context, Pooler.AdminPage, complaints);
        var row = page.Locator("#held-table tbody tr", new() { HasText = database });
        var kill = row.GetByRole(AriaRole.Button);
        await page.Locator("#set > summary").ClickAsync();
        await kill.FocusAsync();
        for (var i = 0; i < 2; i++) await NextFrameAsync(page);
        await Expect(kill).ToBeFocusedAsync();
        await Expect(page.Locator("#set-table")).ToBeVisibleAsync();

        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#confirm-text")).ToContainTextAsync("Kill client holder");
        await page.Keyboard.PressAsync("Escape");
        await Expect(kill).ToBeFocusedAsync();
        await Expect(row).ToHaveCountAsync(1);

        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#confirm")).ToBeVisibleAsync();
        await page.Keyboard.PressAsync("Tab");
        await page.Keyboard.PressAsync("Enter");
        await Expect(row).ToHaveCountAsync(0);
        await Expect(page.Locator("#status")).ToContainTextAsync("killed");
        await Expect(page.Locator("#held-h")).ToBeFocusedAsync();
        var killed = await Assert.ThrowsAnyAsync<NpgsqlException>(() => ExecuteAsync(client, "SELECT 1"));
        Assert.Equal("57P01", (killed as PostgresException)?.SqlState);
        Assert.Empty(complaints);
    }

    [Fact]
    public async Task With_a_key_the_page_asks_for_it_once_and_a_reload_shows_what_it_changed()
    {
        const string Key = "http_admin_key = open sesame\n";
        await using var pooler = await PagePooler.StartAsync(Postgres, Key);
        await using var context = await chromium.Browser.NewContextAsync();
        var page = await Chromium.OpenAsync(context, pooler.AdminPage);
        await Expect(page.Locator("#pools")).ToContainTextAsync("No client has connected yet.");
        pooler.Write(Key + "default_pool_size = 7");

        await page.GetByRole(AriaRole.Button, new() { Name = "Reload the configuration" }).ClickAsync();
        await page.Locator("#key-input").FillAsync("wrong");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByText("That was not the key.")).ToBeVisibleAsync();
        await page.Locator("#key-input").FillAsync("open sesame");
        await page.GetByRole(AriaRole.Button, new() { Name = "Use the key" }).ClickAsync();
        await Expect(page.Locator("#status")).ToHaveTextAsync("Reload the configuration: reloaded");
        var change = page.Locator("#changes-table tbody tr");
        await Expect(change).ToContainTextAsync("default_pool_size");
        await Expect(change.Locator("[data-label=From]")).ToHaveTextAsync("20");
        await Expect(change.Locator("[data-label=To]")).ToHaveTextAsync("7");

        await page.GetByRole(AriaRole.Button, new() { Name = "Pause all" }).ClickAsync();
        await page.Locator("#confirm [value=yes]").ClickAsync();
        await Expect(page.Locator(".state")).ToContainTextAsync("paused");
        Assert.DoesNotContain("open sesame", await page.ContentAsync());

        await pooler.EndAsync();
        await Expect(page.Locator("#live")).ToHaveTextAsync("Connection lost; trying again");
    }

    [Theory]
    [InlineData("desktop", 1280, ColorScheme.Light)]
    [InlineData("tablet-dark", 768, ColorScheme.Dark)]
    [InlineData("phone", 360, ColorScheme.Light)]
    public async Task No_name_however_long_makes_it_wider_than_the_screen_and_it_follows_the_color_scheme(string name, int width, ColorScheme scheme)
    {
        var database = await NewDatabaseAsync();
        await using var client = await Pooler.ConnectAsync(database, new string('x', 60));
        await using var transaction = await client.BeginTransactionAsync(Cancelled);
        await ExecuteAsync(client, $"SELECT 1 AS {new string('y', 60)}, 2 AS {new string('z', 60)}, 3 AS {new string('a', 60)}");
        await using var context = await chromium.Browser.NewContextAsync(new() { ViewportSize = new() { Width = width, Height = 900 }, ColorScheme = scheme });
        var complaints = new List<string>();
        var page = await Chromium.OpenAsync(context, Pooler.AdminPage, complaints);
        await ExpectLiveAsync(page);
        await page.EvaluateAsync("document.querySelectorAll('details').forEach(d => d.open = true)");

        Assert.Equal(width, await page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
        var isDark = await page.EvaluateAsync<bool>("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every(c => c < 64)");
        Assert.Equal(scheme == ColorScheme.Dark, isDark);
        Assert.Empty(complaints);
        await Chromium.PictureAsync(page, $"pooler-{name}");
    }

    [Fact]
    public async Task The_keyboard_skips_to_the_content_and_opens_a_pool()
    {
        var database = await NewDatabaseAsync();
        await using var client = await Pooler.ConnectAsync(database, "keyboard");
        await using var context = await chromium.Browser.NewContextAsync();
        var page = await Chromium.OpenAsync(context, Pooler.PublicPage);
        await page.Keyboard.PressAsync("Tab");
        await Expect(page.GetByText("Skip to the content")).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#main")).ToBeFocusedAsync();

        var pool = Pool(page, database);
        await pool.EvaluateAsync("pool => pool.open = false");
        await pool.Locator("> summary").FocusAsync();
        await page.Keyboard.PressAsync("Enter");
        await NextFrameAsync(page);
        await Expect(pool.Locator(".counts")).ToBeVisibleAsync();
        await Expect(pool.Locator("> summary")).ToBeFocusedAsync();
    }

    [Fact]
    public async Task Without_the_script_the_page_is_complete()
    {
        var database = await NewDatabaseAsync();
        await using var client = await Pooler.ConnectAsync(database, "plain");
        await using var transaction = await client.BeginTransactionAsync(Cancelled);
        await ExecuteAsync(client, "SELECT 1");
        await using var context = await chromium.Browser.NewContextAsync(new() { JavaScriptEnabled = false });
        var page = await Chromium.OpenAsync(context, Pooler.AdminPage);
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "load the page again" })).ToBeVisibleAsync();
        await Expect(Pool(page, database).Locator(".places")).ToContainTextAsync("1 / 20");
        await Expect(page.Locator("#held-table tbody tr", new() { HasText = database })).ToHaveCountAsync(1);
        await Expect(page.GetByRole(AriaRole.Button)).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_page_of_another_port_of_this_machine_cannot_give_commands()
    {
        await using var context = await chromium.Browser.NewContextAsync();
        var foreign = await Chromium.OpenAsync(context, $"{Pooler.PublicPage}alive");
        var refused = foreign.WaitForResponseAsync(r => r.Url.EndsWith("/admin/pause", StringComparison.Ordinal));
        await foreign.EvaluateAsync($"fetch('{Pooler.AdminPage}admin/pause', {{ method: 'POST', mode: 'no-cors' }})");
        Assert.Equal((int)HttpStatusCode.Forbidden, (await refused).Status);
    }

    [Fact]
    public async Task The_page_may_load_nothing_but_its_own_files_which_are_kept_and_is_not_shown_to_rebound_names_or_when_off()
    {
        using var http = new HttpClient();
        using var answer = await http.GetAsync(Pooler.PublicPage, Cancelled);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("no-store", answer.Headers.CacheControl!.ToString());
        Assert.Equal("nosniff", Assert.Single(answer.Headers.GetValues("X-Content-Type-Options")));
        var policy = Assert.Single(answer.Headers.GetValues("Content-Security-Policy"));
        Assert.StartsWith("default-src 'none';", policy);
        Assert.DoesNotContain("unsafe", policy);
        var html = await answer.Content.ReadAsStringAsync(Cancelled);
        var style = html.Split("rel=\"stylesheet\" href=\"")[1].Split('"')[0];
        using var file = await http.GetAsync(Pooler.PublicPage.TrimEnd('/') + style, Cancelled);
        Assert.Contains("immutable", file.Headers.CacheControl!.ToString());

        using var head = new HttpRequestMessage(HttpMethod.Head, Pooler.PublicPage) { Headers = { Host = "pooler.dev.localhost" } };
        Assert.Equal(HttpStatusCode.OK, (await http.SendAsync(head, Cancelled)).StatusCode);
        foreach (var url in new[] { Pooler.AdminPage, Pooler.AdminPage + "page/stream", Pooler.PublicPage, Pooler.PublicPage + "page/stream" })
        {
            using var rebound = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { Host = "rebound.example" } };
            Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(rebound, HttpCompletionOption.ResponseHeadersRead, Cancelled)).StatusCode);
        }

        Pooler.Write("http_page = 0");
        await http.PostAsync($"{Pooler.AdminPage}admin/reload", null, Cancelled);
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(Pooler.PublicPage, Cancelled)).StatusCode);
        Pooler.Write("");
        await http.PostAsync($"{Pooler.AdminPage}admin/reload", null, Cancelled);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(Pooler.PublicPage, Cancelled)).StatusCode);
    }

    private static ILocator Pool(IPage page, string database) => page.Locator(".pool", new() { Has = page.Locator(".name bdi", new() { HasTextString = database }) });

    private static Task ExpectLiveAsync(IPage page) => Expect(page.Locator("#live")).ToHaveAttributeAsync("data-state", "live");

    /// <summary>Waits until another frame has come.</summary>
    private static async Task NextFrameAsync(IPage page)
    {
        await ExpectLiveAsync(page);
        var now = await page.Locator("#live").InnerTextAsync();
        await Expect(page.Locator("#live")).Not.ToHaveTextAsync(now);
    }

    /// <summary>One pooler without a key for all tests that look at databases of their own.</summary>
    public sealed class SharedPooler(PostgresForPooler postgres) : IAsyncLifetime
    {
        internal PagePooler Pooler { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Pooler = await PagePooler.StartAsync(postgres);

        public ValueTask DisposeAsync() => Pooler.DisposeAsync();
    }
}
