using Pooler.Engine;

namespace Pooler.Server.Http;

/// <summary>
/// <c>POST /admin/{pause,resume,reload,reconnect}</c>, on the admin port only, with <c>?database=name</c> for one database;
/// and <c>POST /admin/kill_client?id=</c> with the number in column id of SHOW CLIENTS.
/// </summary>
internal static class AdminEndpoints
{
    private const string Prefix = "/admin";

    public static void Map(WebApplication app, PoolerEngine engine)
    {
        var log = new AdminLog(app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("Pooler.Http"), TimeProvider.System);
        app.Use((context, next) => GuardAsync(context, next, engine, log));
        app.MapPost($"{Prefix}/pause", (string? database, CancellationToken aborted) => RunAsync("paused", database, async () => await engine.PauseAsync(database, aborted)));
        app.MapPost($"{Prefix}/resume", (string? database) => RunAsync("resumed", database, () => Run(() => engine.Resume(database))));
        app.MapPost($"{Prefix}/reconnect", (string? database) => RunAsync("reconnecting", database, () => Run(() => engine.Reconnect(database))));
        app.MapPost($"{Prefix}/kill_client", (long id) => RunAsync("killed", null, () => engine.KillClientAsync(id)));
        app.MapPost($"{Prefix}/reload", () => Reload(engine));
    }

    private static async Task GuardAsync(HttpContext context, RequestDelegate next, PoolerEngine engine, AdminLog log)
    {
        if (!context.Request.Path.StartsWithSegments(Prefix, StringComparison.OrdinalIgnoreCase))
        {
            await next(context);
            return;
        }

        // The settings in force: the key can change with a reload, the port cannot.
        var settings = engine.Configuration.Settings;
        // The route's end: what is not a command has none and is not worth a line.
        var command = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText?[(Prefix.Length + 1)..];
        var address = context.Connection.RemoteIpAddress;
        if (!AdminGuard.IsAdminPort(context, settings))
        {
            await Results.Problem(statusCode: StatusCodes.Status404NotFound).ExecuteAsync(context);
        }
        else if (settings.HttpAdminKey.Length > 0 && !AdminGuard.HasKey(context.Request, settings.HttpAdminKey))
        {
            log.Refused(command ?? "(unknown)", address, HasAnyKey(context.Request) ? "wrong key" : "no key");
            context.Response.Headers.WWWAuthenticate = "Bearer";
            await Results.Problem("the header X-Admin-Key or a bearer token must hold http_admin_key", statusCode: StatusCodes.Status401Unauthorized).ExecuteAsync(context);
        }
        else if (settings.HttpAdminKey.Length == 0 && AdminGuard.ObjectionWithoutKey(context.Request) is { } objection)
        {
            log.Refused(command ?? "(unknown)", address, objection);
            await Results.Problem(objection, statusCode: StatusCodes.Status403Forbidden).ExecuteAsync(context);
        }
        else
        {
            if (command is not null) log.Command(command, address);
            await next(context);
        }
    }

    private static bool HasAnyKey(HttpRequest request) => request.Headers.ContainsKey("X-Admin-Key") || request.Headers.Authorization.Count > 0;

    private static Task Run(Action action)
    {
        action();
        return Task.CompletedTask;
    }

    private static async Task<IResult> RunAsync(string result, string? database, Func<Task> action)
    {
        try
        {
            await action();
            return Results.Json(new { result, database });
        }
        catch (UnknownDatabaseException e)
        {
            return Results.Problem(e.Message, statusCode: StatusCodes.Status404NotFound);
        }
        catch (AdministrationException e)
        {
            return Results.Problem(e.Message, statusCode: StatusCodes.Status409Conflict);
        }
    }

    private static IResult Reload(PoolerEngine engine)
    {
        var result = engine.Reload();
        return result.Errors.Count == 0
            ? Results.Json(new { result = "reloaded", warnings = result.Warnings.Select(w => w.ToString()) })
            : Results.Problem(
                "the configuration has mistakes; everything stays as it was",
                statusCode: StatusCodes.Status422UnprocessableEntity,
                extensions: new Dictionary<string, object?> { ["errors"] = result.Errors.Select(e => e.ToString()).ToArray() });
    }
}
