using System.Data.Common;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Storage;
using StackExchange.Redis;

namespace SampleWeb.Hosting;

/// <summary>
/// Turns exceptions into answers: 503 when the database, the pool or Redis is the trouble, 500 for faults of this program.
/// The API answers with problem details, everything else with a page.
/// </summary>
internal static class Failures
{
    private const string ApiPath = "/api";

    public static void UseFailureAnswers(this WebApplication app)
    {
        app.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandlingPath = "/error", StatusCodeSelector = StatusOf });
        app.UseWhen(IsApi, api => api.UseStatusCodePages());
        app.UseWhen(context => !IsApi(context), pages => pages.UseStatusCodePagesWithReExecute("/error"));
    }

    public static bool IsApi(HttpContext context) => context.Request.Path.StartsWithSegments(ApiPath);

    private static int StatusOf(Exception exception) => exception switch
    {
        BadHttpRequestException bad => bad.StatusCode,
        _ when IsOutage(exception) => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    };

    private static bool IsOutage(Exception exception) => exception switch
    {
        RetryLimitExceededException or RedisException => true,
        DbException database => database.IsTransient || database.SqlState is not { } state || IsServerCondition(state),
        _ => exception.InnerException is { } inner && IsOutage(inner),
    };

    /// <summary>
    /// Classes of SQLSTATE that say something of the server's condition and nothing of our statement: connection failure
    /// (08), authorisation (28), missing database (3D), out of resources (53), stopped by the operator (57).
    /// </summary>
    private static bool IsServerCondition(string sqlState) => sqlState[..2] is "08" or "28" or "3D" or "53" or "57";

    /// <summary>Answers the API's failures; a page's are left to <c>/error</c>.</summary>
    internal sealed class ApiHandler(IProblemDetailsService problems) : IExceptionHandler
    {
        public async ValueTask<bool> TryHandleAsync(HttpContext context, Exception exception, CancellationToken cancellationToken)
        {
            if (!IsApi(context))
                return false;

            var status = context.Response.StatusCode = StatusOf(exception);
            if (status == StatusCodes.Status503ServiceUnavailable)
                context.Response.Headers.RetryAfter = "2";
            var detail = status switch
            {
                StatusCodes.Status503ServiceUnavailable => "A service behind this one can't be reached; try again.",
                < 500 => exception.Message,
                _ => null,
            };
            return await problems.TryWriteAsync(new ProblemDetailsContext
            {
                HttpContext = context,
                ProblemDetails = { Status = status, Detail = detail },
            });
        }
    }
}
