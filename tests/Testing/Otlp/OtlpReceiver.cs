using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Testing.Otlp;

/// <summary>A collector that speaks OTLP over HTTP and over gRPC, and keeps what it is sent.</summary>
public sealed class OtlpReceiver : IAsyncDisposable
{
    /// <summary>Values of OTEL_EXPORTER_OTLP_PROTOCOL.</summary>
    public const string Http = "http/protobuf";

    /// <inheritdoc cref="Http"/>
    public const string Grpc = "grpc";

    // gRPC over HTTP/2: a message has a byte that says whether it is compressed, and four with its length, before it.
    private const int GrpcPrefixLength = 5;

    private readonly WebApplication _app;
    private readonly ConcurrentQueue<OtlpExport> _exports = [];
    private readonly ConcurrentQueue<OtlpSpan> _spans = [];
    private readonly ConcurrentQueue<OtlpPoint> _points = [];
    private readonly ConcurrentQueue<OtlpLog> _logs = [];

    private OtlpReceiver(WebApplication app) => _app = app;

    /// <summary>Every request so far.</summary>
    public IReadOnlyList<OtlpExport> Exports => [.. _exports];

    /// <summary>Every span so far.</summary>
    public IReadOnlyList<OtlpSpan> Spans => [.. _spans];

    /// <summary>Every measurement so far, also of the same metric.</summary>
    public IReadOnlyList<OtlpPoint> Points => [.. _points];

    /// <summary>Every log record so far.</summary>
    public IReadOnlyList<OtlpLog> Logs => [.. _logs];

    /// <summary>Starts it on free ports of the loopback interface.</summary>
    public static async Task<OtlpReceiver> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            // Without TLS nobody can negotiate the version: each has its own port.
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http1);
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2);
        });
        var app = builder.Build();
        var receiver = new OtlpReceiver(app);
        app.MapPost("/v1/{signal}", receiver.ReceiveHttpAsync);
        foreach (var (signal, service) in (ReadOnlySpan<(string, string)>)[("traces", "trace.v1.TraceService"), ("metrics", "metrics.v1.MetricsService"), ("logs", "logs.v1.LogsService")])
            app.MapPost($"/opentelemetry.proto.collector.{service}/Export", context => receiver.ReceiveGrpcAsync(context, signal));
        await app.StartAsync();
        return receiver;
    }

    /// <summary>The environment of a program that exports to here, as Aspire sets it, and without much delay.</summary>
    /// <param name="protocol"><see cref="Http"/> or <see cref="Grpc"/>.</param>
    /// <param name="headers">OTEL_EXPORTER_OTLP_HEADERS.</param>
    public Dictionary<string, string?> Environment(string protocol, string headers = "x-otlp-api-key=open-sesame") => new()
    {
        ["OTEL_EXPORTER_OTLP_ENDPOINT"] = _app.Urls.ElementAt(protocol == Grpc ? 1 : 0),
        ["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol,
        ["OTEL_EXPORTER_OTLP_HEADERS"] = headers,
        ["OTEL_METRIC_EXPORT_INTERVAL"] = "500",
        ["OTEL_BLRP_SCHEDULE_DELAY"] = "200",
        ["OTEL_BSP_SCHEDULE_DELAY"] = "200",
    };

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task ReceiveHttpAsync(HttpContext context, string signal)
    {
        Keep(signal, Http, context.Request, await BodyAsync(context.Request));
        context.Response.ContentType = "application/x-protobuf";
    }

    private async Task ReceiveGrpcAsync(HttpContext context, string signal)
    {
        var body = await BodyAsync(context.Request);
        if (body.Length < GrpcPrefixLength || body[0] != 0 || BinaryPrimitives.ReadInt32BigEndian(body.AsSpan(1)) != body.Length - GrpcPrefixLength)
            throw new InvalidDataException("This is not one uncompressed gRPC message.");
        Keep(signal, Grpc, context.Request, body.AsMemory(GrpcPrefixLength));

        // An empty response message, and the status, which comes after it.
        context.Response.ContentType = "application/grpc";
        await context.Response.Body.WriteAsync(new byte[GrpcPrefixLength]);
        context.Response.AppendTrailer("grpc-status", "0");
    }

    private void Keep(string signal, string protocol, HttpRequest request, ReadOnlyMemory<byte> message)
    {
        switch (signal)
        {
            case "traces":
                OtlpMessages.Spans(message.Span).ForEach(_spans.Enqueue);
                break;
            case "metrics":
                OtlpMessages.Points(message.Span).ForEach(_points.Enqueue);
                break;
            case "logs":
                OtlpMessages.Logs(message.Span).ForEach(_logs.Enqueue);
                break;
        }

        _exports.Enqueue(new OtlpExport(
            signal, protocol, request.ContentType ?? "",
            request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
    }

    private static async Task<byte[]> BodyAsync(HttpRequest request)
    {
        using var body = new MemoryStream();
        await request.Body.CopyToAsync(body);
        return body.ToArray();
    }
}
