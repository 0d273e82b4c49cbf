using System.Net;
using System.Security.Cryptography;
using System.Text;
using Pooler.Engine;

namespace Pooler.Server.Http;

/// <summary>
/// <c>POST /admin/{pause,resume,reload,reconnect}</c>, on the admin port only, with <c>?database=name</c> for one database.
/// </summary>
internal static class AdminEndpoints
{
    private const string Prefix = "/admin";

    public static void Map(WebApplication app, PoolerEngine engine)
    {
        app.Use((context, next) => GuardAsync(context, next, engine));
        app.MapPost($"{Prefix}/pause", (string? database, CancellationToken aborted) => RunAsync("paused", database, async () => await engine.PauseAsync(database, aborted)));
        app.MapPost($"{Prefix}/resume", (string? database) => RunAsync("resumed", database, () => Run(() => engine.Resume(database))));
        app.MapPost($"{Prefix}/reconnect", (string? database) => RunAsync("reconnecting", database, () => Run(() => engine.Reconnect(database))));
        app.MapPost($"{Prefix}/reload", () => Reload(engine));
    }

    private static async Task GuardAsync(HttpContext context, RequestDelegate next, PoolerEngine engine)
    {
        if (!context.Request.Path.StartsWithSegments(Prefix, StringComparison.OrdinalIgnoreCase))
        {
            await next(context);
            return;
        }

        // The settings in force: the key can change with a reload, the port cannot.
        var settings = engine.Configuration.Settings;
        if (settings.HttpAdminPort == 0 || context.Connection.LocalPort != settings.HttpAdminPort)
        {
            await Results.Problem(statusCode: StatusCodes.Status404NotFound).ExecuteAsync(context);
        }
        else if (settings.HttpAdminKey.Length > 0 && !HasKey(context.Request, settings.HttpAdminKey))
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            await Results.Problem("the header X-Admin-Key or a bearer token must hold http_admin_key", statusCode: StatusCodes.Status401Unauthorized).ExecuteAsync(context);
        }
        else if (settings.HttpAdminKey.Length == 0 && ObjectionWithoutKey(context.Request) is { } objection)
        {
            await Results.Problem(objection, statusCode: StatusCodes.Status403Forbidden).ExecuteAsync(context);
        }
        else
        {
            await next(context);
        }
    }

    private static bool HasKey(HttpRequest request, string key)
    {
        const string Scheme = "Bearer ";
        var authorization = request.Headers.Authorization.ToString();
        var given = request.Headers["X-Admin-Key"].ToString();
        if (given.Length == 0 && authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) given = authorization[Scheme.Length..].Trim();

        // Hashes have one length, so the time of comparing tells nothing about the key.
        return CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(given)), SHA256.HashData(Encoding.UTF8.GetBytes(key)));
    }

    // A browser on this machine would carry out a POST that any page it visits asks for. The page's origin proves nothing:
    // its owner can let its name mean this machine (DNS rebinding), and page and request are then of one origin.
    private static string? ObjectionWithoutKey(HttpRequest request)
    {
        if (request.Headers.Origin.Count > 0) return "without http_admin_key web pages may not use this: the request has an Origin header";
        var host = request.Host.Host;
        return IPAddress.TryParse(host, out _) || host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? null
            : "without http_admin_key the Host header must be an IP address or localhost: other names may have been made to mean this machine";
    }

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
