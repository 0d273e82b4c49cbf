using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Process;

public sealed class TelemetryTests
{
    [Fact]
    public async Task Metrics_logs_and_traces_go_to_the_collector_that_the_environment_names()
    {
        using var directory = new ThrowawayDirectory();
        using var collector = new HttpListener();
        var endpoint = $"http://127.0.0.1:{PoolerProgram.FreePort()}/";
        collector.Prefixes.Add(endpoint);
        collector.Start();
        var received = new ConcurrentQueue<(string Path, string Body)>();
        var receiving = ReceiveAsync(collector, received);

        await using var pooler = PoolerProgram.Start(
            directory.Path, [], ("DATABASES_HOST", "127.0.0.1"), ("POOLER_LISTEN_PORT", "0"), ("POOLER_UNIX_SOCKET_DIR", ""),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_SERVICE_NAME", "pooler-under-test"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "200"), ("OTEL_BLRP_SCHEDULE_DELAY", "200"), ("OTEL_BSP_SCHEDULE_DELAY", "200"),
            // Nobody listens there: an attempt to connect is all that a span needs.
            ("DATABASES_PORT", PoolerProgram.FreePort().ToString()), ("DATABASES_USER", "somebody"), ("DATABASES_PASSWORD", "secret"),
            ("POOLER_AUTH_TYPE", "trust"));
        await pooler.UpAsync();
        var listening = Regex.Match(await pooler.LineAsync("listening on 127.0.0.1:"), @"127\.0\.0\.1:(\d+)");
        using (var client = await RawClient.ConnectAsync(IPEndPoint.Parse(listening.Value)))
        {
            await client.Startup("shop", "somebody").SendAsync();
            Assert.Equal('E', (await client.ReadToEndAsync())[^1].Type);
        }

        // Names are plain text within protobuf.
        await Eventually.TrueAsync(
            () => received.Any(r => r.Path == "/v1/metrics" && r.Body.Contains("pooler.client.connections.max", StringComparison.Ordinal) && r.Body.Contains("pooler-under-test", StringComparison.Ordinal)),
            cancellationToken: TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(
            () => received.Any(r => r.Path == "/v1/logs" && r.Body.Contains("process up", StringComparison.Ordinal)),
            cancellationToken: TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(
            () => received.Any(r => r.Path == "/v1/traces" && r.Body.Contains("server connect", StringComparison.Ordinal) && r.Body.Contains("db.namespace", StringComparison.Ordinal)),
            cancellationToken: TestContext.Current.CancellationToken);

        collector.Stop();
        await receiving;
    }

    private static async Task ReceiveAsync(HttpListener collector, ConcurrentQueue<(string, string)> received)
    {
        try
        {
            while (true)
            {
                var context = await collector.GetContextAsync();
                using var body = new MemoryStream();
                await context.Request.InputStream.CopyToAsync(body);
                received.Enqueue((context.Request.Url!.AbsolutePath, Encoding.UTF8.GetString(body.ToArray())));
                context.Response.Close();
            }
        }
        catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
        {
            // Stopped.
        }
    }
}
