using System.Diagnostics;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;
using Pooler.Engine;

namespace Pooler.Server.Http.Page;

/// <summary>
/// The web page of the pools: <c>/</c> on all HTTP ports. On the admin port it has buttons for the commands of
/// <see cref="AdminEndpoints"/>; elsewhere it only shows.
/// </summary>
internal sealed class PageEndpoints
{
    public const string StreamPath = "/page/stream";

    // Whoever does not take a frame in this time does not look at it either, or is no longer there.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly PoolerEngine _engine;
    private readonly PageFeed _public;
    private readonly PageFeed _admin;
    private readonly CancellationToken _stopping;

    private PageEndpoints(WebApplication app, PoolerEngine engine)
    {
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("Pooler.Page");
        _engine = engine;
        _public = new PageFeed(engine, isAdmin: false, TimeProvider.System, logger);
        _admin = new PageFeed(engine, isAdmin: true, TimeProvider.System, logger);
        _stopping = app.Lifetime.ApplicationStopping;
    }

    public static void Map(WebApplication app, PoolerEngine engine)
    {
        var page = new PageEndpoints(app, engine);
        // Open pages ask every now and then: they would stand out in the metrics of HTTP without being of any interest.
        var group = app.MapGroup("").AddEndpointFilter(page.GuardAsync).DisableHttpMetrics();
        // As route handlers: filters do not apply to request delegates, and their results are dropped.
        group.MapMethods("/", [HttpMethods.Get, HttpMethods.Head], (Delegate)page.DocumentAsync);
        group.MapGet(StreamPath, (Delegate)page.StreamAsync);
        foreach (var asset in PageAssets.All) group.MapGet(asset.Path, (HttpContext context) => Send(context, asset));
    }

    private async ValueTask<object?> GuardAsync(EndpointFilterInvocationContext invocation, EndpointFilterDelegate next)
    {
        var context = invocation.HttpContext;
        var settings = _engine.Configuration.Settings;
        if (!settings.HttpPage) return Results.Problem("the web page is switched off (http_page)", statusCode: StatusCodes.Status404NotFound);
        if (AdminGuard.ObjectionToReader(context, settings) is { } objection) return Results.Problem(objection, statusCode: StatusCodes.Status403Forbidden);

        // Neither of interest in traces: a stream would be a span of hours.
        if (Activity.Current is { } request)
        {
            request.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            request.IsAllDataRequested = false;
        }
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy =
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers.CacheControl = "no-store";
        return await next(invocation);
    }

    private PageFeed FeedOf(HttpContext context) => AdminGuard.IsAdminPort(context, _engine.Configuration.Settings) ? _admin : _public;

    private async Task<IResult> DocumentAsync(HttpContext context) =>
        Results.Content(await FeedOf(context).DocumentAsync(context.RequestAborted), "text/html; charset=utf-8");

    private static IResult Send(HttpContext context, PageAsset asset)
    {
        // Only the URL of this very content may be kept for ever: a new version of the program may be asked next.
        context.Response.Headers.CacheControl = context.Request.Query["v"] == asset.Version ? "public, max-age=31536000, immutable" : "no-cache";
        return Results.Bytes(asset.Content, asset.ContentType, entityTag: new EntityTagHeaderValue($"\"{asset.Version}\""));
    }

    private async Task<IResult> StreamAsync(HttpContext context)
    {
        using var watcher = FeedOf(context).Watch();
        if (watcher is null)
        {
            context.Response.Headers.RetryAfter = "30";
            return Results.Problem("too many pages are open", statusCode: StatusCodes.Status503ServiceUnavailable);
        }

        var open = context.Request.Query["open"] is [{ } ids] ? ids.Split(',').ToHashSet() : null;
        // Without the first of them, open pages would hold up the end of the process.
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(_stopping, context.RequestAborted);
        context.Response.ContentType = "text/event-stream";
        // Proxies that collect a response before passing it on would hold the events back.
        context.Response.Headers["X-Accel-Buffering"] = "no";
        context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        try
        {
            while (_engine.Configuration.Settings.HttpPage)
            {
                var frame = await watcher.NextAsync(ended.Token);
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(ended.Token);
                patience.CancelAfter(Patience);
                foreach (var part in frame.Since(watcher.Seen, open)) await context.Response.Body.WriteAsync(part, patience.Token);
                await context.Response.Body.FlushAsync(patience.Token);
                watcher.HasSeen(frame);
            }
        }
        catch (OperationCanceledException)
        {
            // The process ends, or the page is closed, or does not read: then what is buffered for it goes with the connection.
            if (!_stopping.IsCancellationRequested) context.Abort();
        }
        return Results.Empty;
    }
}
