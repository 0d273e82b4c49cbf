using SampleWeb.Data;
using SampleWeb.Pricing;

namespace SampleWeb.Api;

/// <summary><c>POST /api/checkout</c>: 201 with the order, 400 for a wrong request, 409 when it can't be sold.</summary>
internal static class CheckoutEndpoint
{
    public static void MapCheckout(this IEndpointRouteBuilder endpoints) => endpoints.MapPost("/api/checkout", BuyAsync);

    private static async Task<IResult> BuyAsync(Request request, Checkout checkout, CancellationToken cancellationToken)
    {
        if (Validate(request) is { Count: > 0 } errors)
            return TypedResults.ValidationProblem(errors);

        var result = await checkout.BuyAsync(request.Customer!.Trim(), request.Items!, cancellationToken);
        return result.Order is { } order
            ? TypedResults.Json(new Receipt(order.Id, order.Total, order.Currency), statusCode: StatusCodes.Status201Created)
            : TypedResults.Problem(result.Refusal, statusCode: StatusCodes.Status409Conflict);
    }

    private static Dictionary<string, string[]> Validate(Request request)
    {
        var errors = new Dictionary<string, string[]>();
        var customer = request.Customer?.Trim();
        if (string.IsNullOrEmpty(customer) || customer.Length > 200 || !StoredText.IsStorable(customer))
            errors["customer"] = ["A customer has 1 to 200 ordinary characters."];
        if (request.Items is not { Count: >= 1 and <= Checkout.MaximumItems })
            errors["items"] = [$"An order has 1 to {Checkout.MaximumItems} items."];
        else if (request.Items.Any(item => item is not { Quantity: >= 1 and <= Checkout.MaximumQuantity }))
            errors["items"] = [$"A quantity is 1 to {Checkout.MaximumQuantity}."];
        return errors;
    }

    internal sealed record Request(string? Customer, IReadOnlyList<CheckoutItem>? Items);

    internal sealed record Receipt(Guid OrderId, decimal Total, string Currency);
}
