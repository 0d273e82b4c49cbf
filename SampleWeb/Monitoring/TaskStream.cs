using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;

namespace SampleWeb.Monitoring;

/// <summary><c>GET /tasks/stream</c>: the task board as server-sent events, one with the whole board per change.</summary>
internal static class TaskStream
{
    public static void MapTaskStream(this IEndpointRouteBuilder endpoints) => endpoints.MapGet(
        "/tasks/stream",
        (HttpContext context, TaskBoardFeed feed, IHostApplicationLifetime lifetime) =>
        {
            // Proxies that collect a response before passing it on would hold the events back.
            context.Response.Headers["X-Accel-Buffering"] = "no";
            return TypedResults.ServerSentEvents(EventsAsync(feed, lifetime.ApplicationStopping, context.RequestAborted));
        });

    private static async IAsyncEnumerable<SseItem<string>> EventsAsync(
        TaskBoardFeed feed, CancellationToken stopping, [EnumeratorCancellation] CancellationToken aborted)
    {
        // Without the first token, open pages would hold up the end of the process.
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping, aborted);
        using var viewer = feed.Join();
        while (await viewer.NextAsync(ended.Token) is { } board)
            yield return new SseItem<string>(board, "board");
    }
}
