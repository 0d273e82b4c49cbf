using Microsoft.Extensions.DependencyInjection;
using Microsoft.Playwright;
using SampleQueue;
using Testing;
using Xunit;

namespace Samples.Tests.Web;

/// <summary>
/// The pages in a real browser. Set SCREENSHOTS to a directory to keep pictures of them.
/// </summary>
public sealed class BrowserTests(ShopServers servers, Chromium chromium) : IClassFixture<Chromium>
{
    [Fact]
    public async Task The_task_monitor_shows_a_new_task_without_being_reloaded()
    {
        await using var site = await WebSite.StartAsync(servers);
        await using var context = await chromium.Browser.NewContextAsync();
        var page = await OpenAsync(context, site, "/tasks");
        await Assertions.Expect(page.Locator("#live")).ToHaveTextAsync("Live");
        await page.EvaluateAsync("window.sameDocument = true");

        await site.Services.GetRequiredService<TaskQueue>().EnqueueAsync(TaskQueues.WebScraper, TaskNames.ScrapePrice, new { product_id = 1 });

        await Assertions.Expect(page.Locator("[data-queue=webscraper] [data-of=waiting]")).ToHaveTextAsync("1");
        Assert.True(await page.EvaluateAsync<bool>("window.sameDocument"));
    }

    [Fact]
    public async Task Every_open_monitor_follows_and_the_web_stops_while_they_are_open()
    {
        var site = await WebSite.StartAsync(servers);
        await using var context = await chromium.Browser.NewContextAsync();
        var pages = new[] { await OpenAsync(context, site, "/tasks"), await OpenAsync(context, site, "/tasks") };
        foreach (var page in pages)
            await Assertions.Expect(page.Locator("#live")).ToHaveTextAsync("Live");

        await pages[0].GetByRole(AriaRole.Button, new() { Name = "Refresh all prices" }).ClickAsync();

        await Assertions.Expect(pages[0].GetByRole(AriaRole.Status).First).ToContainTextAsync("enqueued");
        foreach (var page in pages)
            await Assertions.Expect(page.Locator("[data-queue=default] [data-of=waiting]")).ToHaveTextAsync("1");
        await site.DisposeAsync();
        await Assertions.Expect(pages[1].Locator("#live")).ToHaveTextAsync("Connection lost; trying again");
    }

    [Fact]
    public async Task A_product_is_added_with_the_keyboard_alone()
    {
        await using var site = await WebSite.StartAsync(servers);
        await using var context = await chromium.Browser.NewContextAsync();
        var page = await OpenAsync(context, site, "/");

        await page.Keyboard.PressAsync("Tab");
        await Assertions.Expect(page.GetByText("Skip to the content")).ToBeFocusedAsync();
        await page.Locator("#name").FocusAsync();
        await page.Keyboard.TypeAsync("Kettle");
        await page.Keyboard.PressAsync("Enter");

        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Kettle", Exact = true })).ToBeVisibleAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Status)).ToContainTextAsync("Kettle is on the list");
    }

    [Theory]
    [InlineData("desktop", 1280, 900, ColorScheme.Light)]
    [InlineData("desktop-dark", 1280, 900, ColorScheme.Dark)]
    [InlineData("phone", 360, 740, ColorScheme.Light)]
    [InlineData("phone-dark", 360, 740, ColorScheme.Dark)]
    public async Task No_page_is_wider_than_the_screen_or_complains_in_the_console(string name, int width, int height, ColorScheme scheme)
    {
        await using var site = await WebSite.StartAsync(servers);
        await site.Services.GetRequiredService<TaskQueue>().EnqueueAsync(TaskQueues.WebScraper, TaskNames.ScrapePrice, new { product_id = 1 });
        await using var context = await chromium.Browser.NewContextAsync(new()
        {
            ViewportSize = new() { Width = width, Height = height },
            ColorScheme = scheme,
        });

        foreach (var path in (string[])["/", "/products/1", "/tasks", "/shop-window/1"])
        {
            var complaints = new List<string>();
            var page = await OpenAsync(context, site, path, complaints);
            if (path == "/tasks")
                await Assertions.Expect(page.Locator("#live")).ToHaveTextAsync("Live");

            Assert.Equal(width, await page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
            Assert.Empty(complaints);
            await Chromium.PictureAsync(page, $"{name}{path.Replace('/', '-').TrimEnd('-')}");
            await page.CloseAsync();
        }
    }

    private static Task<IPage> OpenAsync(IBrowserContext context, WebSite site, string path, List<string>? complaints = null) =>
        Chromium.OpenAsync(context, new Uri(site.Address, path).ToString(), complaints);
}
