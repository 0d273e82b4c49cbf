using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Samples.Tests.Web;

/// <summary>A collector that speaks OTLP over HTTP and keeps what it is sent.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<Export> _exports = [];

    private OtlpReceiver(WebApplication app) => _app = app;

    public string Address => _app.Urls.First();

    public static async Task<OtlpReceiver> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        var app = builder.Build();
        app.Urls.Add("http://127.0.0.1:0");
        var receiver = new OtlpReceiver(app);
        app.MapPost("/v1/{signal}", receiver.ReceiveAsync);
        await app.StartAsync();
        return receiver;
    }

    /// <summary>
    /// What came for one signal (traces, metrics or logs). Protobuf keeps strings as plain UTF-8, so that looking for
    /// a name in the bytes needs no generated parser.
    /// </summary>
    public IReadOnlyList<Export> Received(string signal) => [.. _exports.Where(export => export.Signal == signal)];

    public bool Has(string signal, string text) => Received(signal).Any(export => export.Contains(text));

    /// <summary>Whether a span of this trace came: OTLP carries the id as its 16 bytes.</summary>
    public bool HasTrace(ActivityTraceId trace)
    {
        var bytes = Convert.FromHexString(trace.ToHexString());
        return Received("traces").Any(export => export.Body.AsSpan().IndexOf(bytes) >= 0);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task ReceiveAsync(HttpContext context, string signal)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        _exports.Enqueue(new Export(
            signal,
            context.Request.ContentType ?? "",
            context.Request.Headers["x-api-key"].ToString(),
            body.ToArray()));
        context.Response.ContentType = "application/x-protobuf";
    }

    internal sealed record Export(string Signal, string ContentType, string ApiKey, byte[] Body)
    {
        public bool Contains(string text) => Body.AsSpan().IndexOf(Encoding.UTF8.GetBytes(text)) >= 0;
    }
}
