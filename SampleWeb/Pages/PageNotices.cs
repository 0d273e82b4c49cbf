using Microsoft.AspNetCore.Mvc.RazorPages;
using SampleWeb.Pricing;

namespace SampleWeb.Pages;

/// <summary>What the next page tells about something done on this one.</summary>
internal static class PageNotices
{
    public static void Notice(this PageModel page, string text) => page.TempData["Notice"] = text;

    public static void Trouble(this PageModel page, string text) => page.TempData["Trouble"] = text;

    /// <summary>Asks for a product's price, and tells how that went.</summary>
    public static async Task RefreshAsync(this PageModel page, Catalog catalog, long id, string notice)
    {
        if (await catalog.RefreshAsync(id) is not null)
            page.Notice(notice);
        else
            page.Trouble("The task queue can't be reached: the price is not refreshed now.");
    }
}
