using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace ServiceDefaults.Telemetry;

/// <summary>
/// Completes a request's span with what is known at its end. ASP.NET Core gives it the attributes of the start only, and
/// the name of an operation that is the same for all requests; the rest is in a package of OpenTelemetry's. Names are
/// those of the semantic conventions for HTTP server spans.
/// </summary>
internal sealed class RequestSpans : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        app.Use(async (context, following) =>
        {
            if (context.Features.Get<IHttpActivityFeature>()?.Activity is not { IsAllDataRequested: true } span)
            {
                await following(context);
                return;
            }

            var endpoint = new EndpointAskedFor(context);
            context.Features.Set<IEndpointFeature>(endpoint);
            try
            {
                await following(context);
                Complete(span, context, endpoint.First, context.Response.StatusCode, context.Features.Get<IExceptionHandlerFeature>()?.Error);
            }
            catch (Exception error)
            {
                // Nobody else answers for it: the server does, with 500.
                Complete(span, context, endpoint.First, StatusCodes.Status500InternalServerError, error);
                throw;
            }
        });
        next(app);
    };

    private static void Complete(Activity span, HttpContext context, Endpoint? endpoint, int status, Exception? error)
    {
        if ((endpoint as RouteEndpoint)?.RoutePattern.RawText is { } pattern)
        {
            var route = pattern.StartsWith('/') ? pattern : "/" + pattern;
            span.DisplayName = $"{context.Request.Method} {route}";
            span.SetTag("http.route", route);
        }
        else
        {
            span.DisplayName = context.Request.Method;
        }

        span.SetTag("http.response.status_code", status);
        if (status < StatusCodes.Status500InternalServerError)
            return;
        span.SetTag("error.type", error?.GetType().FullName ?? $"{status}");
        span.SetStatus(ActivityStatusCode.Error);
    }

    /// <summary>
    /// Remembers the endpoint of the request itself: when it fails, the page that tells of it takes its place, or there
    /// was none.
    /// </summary>
    private sealed class EndpointAskedFor(HttpContext context) : IEndpointFeature
    {
        private Endpoint? _endpoint;

        public Endpoint? First { get; private set; }

        public Endpoint? Endpoint
        {
            get => _endpoint;
            set
            {
                _endpoint = value;
                if (context.Features.Get<IExceptionHandlerFeature>() is null && context.Features.Get<IStatusCodeReExecuteFeature>() is null)
                    First ??= value;
            }
        }
    }
}
