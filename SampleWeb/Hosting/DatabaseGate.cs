using ServiceDefaults;

namespace SampleWeb.Hosting;

/// <summary>Answers 503 to everything but health probes until the database is migrated.</summary>
internal static class DatabaseGate
{
    private const string WaitingPage =
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="refresh" content="2"><title>Starting · Price Watch</title><link rel="stylesheet" href="/site.css">
        </head>
        <body><main class="message"><h1>Opening soon</h1><p>The shop is waiting for its database. This page reloads by itself.</p></main></body>
        </html>
        """;

    public static async Task WaitForDatabaseAsync(HttpContext context, RequestDelegate next)
    {
        if (context.RequestServices.GetRequiredService<DatabaseState>().IsReady
            || context.Request.Path.Value is ServiceDefaultsExtensions.ReadinessPath or ServiceDefaultsExtensions.LivenessPath)
        {
            await next(context);
            return;
        }

        context.Response.Headers.RetryAfter = "2";
        IResult answer = Failures.IsApi(context)
            ? TypedResults.Problem("The database isn't ready yet.", statusCode: StatusCodes.Status503ServiceUnavailable)
            : TypedResults.Content(WaitingPage, "text/html; charset=utf-8", statusCode: StatusCodes.Status503ServiceUnavailable);
        await answer.ExecuteAsync(context);
    }
}
