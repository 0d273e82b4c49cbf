using System.Globalization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;
using Microsoft.EntityFrameworkCore;
using SampleWeb.Data;
using SampleWeb.Pricing;

namespace SampleWeb.Pages;

/// <summary>
/// The page the scraper looks at: a product's price of this moment, for people and, as schema.org microdata
/// (<c>itemprop="price"</c>, <c>itemprop="priceCurrency"</c>), for programs.
/// </summary>
[ResponseCache(NoStore = true, Location = ResponseCacheLocation.None)]
internal sealed class ShopWindowModel(ShopContext context, TimeProvider time) : PageModel
{
    public string Name { get; private set; } = "";

    public string Currency { get; private set; } = "";

    public decimal Price { get; private set; }

    public string MachinePrice => Price.ToString("0.00", CultureInfo.InvariantCulture);

    public async Task<IActionResult> OnGetAsync(long id, CancellationToken cancellationToken)
    {
        var product = await context.Products.AsNoTracking()
            .Where(row => row.Id == id)
            .Select(row => new { row.Name, row.Currency })
            .SingleOrDefaultAsync(cancellationToken);
        if (product is null)
            return NotFound();

        (Name, Currency) = (product.Name, product.Currency);
        Price = ShopWindow.PriceAt(id, time.GetUtcNow());
        return Page();
    }
}
