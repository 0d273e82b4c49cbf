using System.Net;
using System.Text.RegularExpressions;
using Testing;
using Testing.Otlp;
using Xunit;

namespace Pooler.IntegrationTests.Process;

public sealed class TelemetryTests
{
    [Theory]
    [InlineData(OtlpReceiver.Http)]
    [InlineData(OtlpReceiver.Grpc)]
    public async Task Metrics_logs_and_traces_go_to_the_collector_that_the_environment_names(string protocol)
    {
        using var directory = new ThrowawayDirectory();
        await using var collector = await OtlpReceiver.StartAsync();
        await using var pooler = PoolerProgram.Start(
            directory.Path, [],
            [
                .. collector.Environment(protocol).Select(variable => (variable.Key, variable.Value!)), ("OTEL_SERVICE_NAME", "pooler-under-test"),
                ("DATABASES_HOST", "127.0.0.1"), ("POOLER_LISTEN_PORT", "0"), ("POOLER_UNIX_SOCKET_DIR", ""),
                // Nobody listens there: an attempt to connect is all that a span needs.
                ("DATABASES_PORT", PoolerProgram.FreePort().ToString()), ("DATABASES_USER", "somebody"), ("DATABASES_PASSWORD", "secret"),
                ("POOLER_AUTH_TYPE", "trust"),
                // A login waits for a server that cannot be reached: the attempt is all that is wanted.
                ("POOLER_CLIENT_LOGIN_TIMEOUT", "1"),
            ]);
        await pooler.UpAsync();
        var listening = Regex.Match(await pooler.LineAsync("listening on 127.0.0.1:"), @"127\.0\.0\.1:(\d+)");
        using (var client = await RawClient.ConnectAsync(IPEndPoint.Parse(listening.Value)))
        {
            await client.Startup("shop", "somebody").SendAsync();
            Assert.Equal('E', (await client.ReadToEndAsync())[^1].Type);
        }

        var cancellation = TestContext.Current.CancellationToken;
        await Eventually.TrueAsync(
            () => collector.Points.Any(p => p is { Name: "pooler.clients.max", Value: > 0, Source.Service: "pooler-under-test" }),
            cancellationToken: cancellation);
        await Eventually.TrueAsync(
            () => collector.Logs.Any(l => l.Body.Contains("process up", StringComparison.Ordinal) && l.Source.Service == "pooler-under-test"),
            cancellationToken: cancellation);
        await Eventually.TrueAsync(
            () => collector.Spans.Any(s => s is { Name: "server connect", Kind: OtlpSpanKind.Client, Status: 2 } && s.Attributes.Text("db.namespace") == "shop"),
            cancellationToken: cancellation);
        Assert.All(collector.Exports, export => Assert.Equal((protocol, "open-sesame"), (export.Protocol, export.Headers["x-otlp-api-key"])));
    }
}
