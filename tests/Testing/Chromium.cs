using LocalRun.Provisioning;
using Microsoft.Playwright;
using Xunit;

namespace Testing;

/// <summary>One headless Chromium for all tests of a class: an <see cref="IClassFixture{TFixture}"/>.</summary>
public sealed class Chromium : IAsyncLifetime
{
    private IPlaywright _playwright = null!;

    /// <summary>The browser; a test opens contexts of its own in it.</summary>
    public IBrowser Browser { get; private set; } = null!;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        Assertions.SetDefaultExpectTimeout(30_000);
        _playwright = await Playwright.CreateAsync();
        Browser = await _playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = await Tools.ChromiumAsync(),
            Args =
            [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
            ],
        });
    }

    /// <summary>Opens a page in a browsing context and waits until it has loaded.</summary>
    /// <param name="context">Where.</param>
    /// <param name="address">What.</param>
    /// <param name="complaints">Gets what the page writes to the console as a warning or an error, and its uncaught exceptions.</param>
    public static async Task<IPage> OpenAsync(IBrowserContext context, string address, List<string>? complaints = null)
    {
        var page = await context.NewPageAsync();
        page.SetDefaultTimeout(30_000);
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
                complaints?.Add(message.Text);
        };
        page.PageError += (_, error) => complaints?.Add(error);
        await page.GotoAsync(address);
        return page;
    }

    /// <summary>Keeps a picture of a page in the directory that the environment variable SCREENSHOTS names, if it does.</summary>
    public static async Task PictureAsync(IPage page, string name)
    {
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { Length: > 0 } directory)
            await page.ScreenshotAsync(new() { Path = Path.Combine(directory, $"{name}.png"), FullPage = true });
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Browser.DisposeAsync();
        _playwright.Dispose();
    }
}
