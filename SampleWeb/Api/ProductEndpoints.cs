using SampleWeb.Pricing;

namespace SampleWeb.Api;

/// <summary>Products as JSON.</summary>
internal static class ProductEndpoints
{
    private const int Observations = 30;

    public static void MapProducts(this IEndpointRouteBuilder endpoints)
    {
        var products = endpoints.MapGroup("/api/products");
        products.MapGet("/", (Catalog catalog, CancellationToken cancellationToken) => catalog.ListAsync(Observations, cancellationToken));
        products.MapGet("/{id:long}", FindAsync);
        products.MapPost("/", AddAsync);
        products.MapPost("/{id:long}/refresh", RefreshAsync);
    }

    private static async Task<IResult> FindAsync(long id, Catalog catalog, CancellationToken cancellationToken) =>
        await catalog.FindAsync(id, Observations, cancellationToken) is { } product ? TypedResults.Ok(product) : NoSuchProduct(id);

    private static async Task<IResult> AddAsync(NewProduct product, Catalog catalog, CancellationToken cancellationToken)
    {
        product = product with { Currency = product.Currency ?? PriceText.Currencies[0] };
        if (catalog.Validate(product) is { Count: > 0 } errors)
            return TypedResults.ValidationProblem(errors);

        var id = await catalog.AddAsync(product, cancellationToken);
        var task = await catalog.RefreshAsync(id);
        return TypedResults.Created($"/api/products/{id}", new { Id = id, TaskId = task });
    }

    private static async Task<IResult> RefreshAsync(long id, Catalog catalog, CancellationToken cancellationToken)
    {
        if (!await catalog.ExistsAsync(id, cancellationToken))
            return NoSuchProduct(id);

        return await catalog.RefreshAsync(id) is { } task
            ? TypedResults.Accepted("/tasks", new { TaskId = task })
            : TypedResults.Problem("The task queue can't be reached.", statusCode: StatusCodes.Status503ServiceUnavailable);
    }

    private static IResult NoSuchProduct(long id) =>
        TypedResults.Problem($"There is no product {id}.", statusCode: StatusCodes.Status404NotFound);
}
