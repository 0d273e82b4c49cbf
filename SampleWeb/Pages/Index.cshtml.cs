using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;
using SampleWeb.Pricing;

namespace SampleWeb.Pages;

/// <summary>All products, and the form that adds one.</summary>
internal sealed class IndexModel(Catalog catalog) : PageModel
{
    private const int Observations = 37;

    public IReadOnlyList<ProductView> Products { get; private set; } = [];

    public NewProduct Added { get; private set; } = new(null, null, null);

    public IReadOnlyDictionary<string, string[]> Errors { get; private set; } = new Dictionary<string, string[]>();

    public string? ErrorOf(string field) => Errors.GetValueOrDefault(field)?.FirstOrDefault();

    public async Task OnGetAsync(CancellationToken cancellationToken) =>
        Products = await catalog.ListAsync(Observations, cancellationToken);

    public async Task<IActionResult> OnPostAddAsync(
        [FromForm] string? name, [FromForm] string? url, [FromForm] string? currency, CancellationToken cancellationToken)
    {
        Added = new NewProduct(name, url, currency);
        Errors = catalog.Validate(Added);
        if (Errors.Count > 0)
        {
            await OnGetAsync(cancellationToken);
            var page = Page();
            page.StatusCode = StatusCodes.Status400BadRequest;
            return page;
        }

        var id = await catalog.AddAsync(Added, cancellationToken);
        await this.RefreshAsync(catalog, id, $"{Added.Name!.Trim()} is on the list; its price will be here in a moment.");
        return LocalRedirect($"/products/{id}");
    }

    public async Task<IActionResult> OnPostRefreshAsync([FromForm] long id, CancellationToken cancellationToken)
    {
        if (!await catalog.ExistsAsync(id, cancellationToken))
            return NotFound();

        await this.RefreshAsync(catalog, id, "The worker has been asked to look at the price.");
        return LocalRedirect("/");
    }
}
