using System.Globalization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;
using SampleWeb.Data;
using SampleWeb.Pricing;

namespace SampleWeb.Pages;

/// <summary>One product with its price history; can be refreshed and bought.</summary>
internal sealed class DetailsModel(Catalog catalog, Checkout checkout) : PageModel
{
    private const int Observations = 120;

    public ProductView Product { get; private set; } = null!;

    public string? Customer { get; private set; }

    public string? Quantity { get; private set; }

    public string? BuyError { get; private set; }

    public async Task<IActionResult> OnGetAsync(long id, CancellationToken cancellationToken)
    {
        if (await catalog.FindAsync(id, Observations, cancellationToken) is not { } product)
            return NotFound();
        Product = product;
        return Page();
    }

    public async Task<IActionResult> OnPostRefreshAsync(long id, CancellationToken cancellationToken)
    {
        if (!await catalog.ExistsAsync(id, cancellationToken))
            return NotFound();
        await this.RefreshAsync(catalog, id, "The worker has been asked to look at the price.");
        return LocalRedirect($"/products/{id}");
    }

    public async Task<IActionResult> OnPostBuyAsync(
        long id, [FromForm] string? customer, [FromForm] string? quantity, CancellationToken cancellationToken)
    {
        (Customer, Quantity) = (customer?.Trim(), quantity);
        if (!int.TryParse(quantity, NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            || count is < 1 or > Checkout.MaximumQuantity)
        {
            BuyError = $"A quantity is a number from 1 to {Checkout.MaximumQuantity}.";
        }
        else if (string.IsNullOrEmpty(Customer) || Customer.Length > 200 || !StoredText.IsStorable(Customer))
        {
            BuyError = "Enter your name.";
        }
        else
        {
            var result = await checkout.BuyAsync(Customer, [new CheckoutItem(id, count)], cancellationToken);
            if (result.Order is { } order)
            {
                this.Notice($"Thank you, {Customer}: {count} for {PriceText.Format(order.Total, order.Currency)}.");
                return LocalRedirect($"/products/{id}");
            }

            BuyError = result.Refusal;
        }

        var answer = await OnGetAsync(id, cancellationToken);
        if (answer is PageResult page)
            page.StatusCode = StatusCodes.Status400BadRequest;
        return answer;
    }
}
