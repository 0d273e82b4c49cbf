using System.Diagnostics;
using System.Net;
using LocalRun.Processes;
using Testing;
using Testing.Otlp;
using Xunit;

namespace Samples.Tests.Worker;

/// <summary>What a worker shows of itself.</summary>
public class WorkerEndpointTests(PostgresFixture postgres)
{
    [Fact]
    public async Task Health_follows_Redis_and_life_does_not()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var port = Ports.Take();
        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        stack.StartWorker($"ASPNETCORE_URLS=http://127.0.0.1:{port}");

        await WorkerStack.UntilAsync(async () => await StatusAsync("/health") == HttpStatusCode.OK);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync("/alive"));

        await stack.Server.StopAsync();
        await WorkerStack.UntilAsync(async () => await StatusAsync("/health") == HttpStatusCode.ServiceUnavailable);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync("/alive"));

        await stack.Server.StartAgainAsync(TestContext.Current.CancellationToken);
        await WorkerStack.UntilAsync(async () => await StatusAsync("/health") == HttpStatusCode.OK);

        async Task<HttpStatusCode> StatusAsync(string path)
        {
            using var response = await client.GetAsync(path, TestContext.Current.CancellationToken);
            return response.StatusCode;
        }
    }

    [Fact]
    public async Task A_task_and_its_statements_belong_to_the_trace_of_whoever_enqueued_it()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        await using var collector = await OtlpReceiver.StartAsync();
        stack.StartWorker([.. collector.Environment(OtlpReceiver.Http).Select(variable => $"{variable.Key}={variable.Value}")]);

        ActivityTraceId trace;
        using (var request = new Activity("request") { ActivityTraceFlags = ActivityTraceFlags.Recorded }.Start())
        {
            trace = request.TraceId;
            await stack.ScrapeAsync(1);
        }

        OtlpSpan? task = null;
        await WorkerStack.UntilAsync(() =>
            (task = collector.Spans.FirstOrDefault(span => span.Name == "process webscraper" && span.TraceId == trace.ToHexString())) is not null);
        var ofTask = collector.Spans.Where(span => span.ParentId == task!.Id).ToList();
        Assert.Contains(ofTask, span => span is { Name: "GET", Source.Scope: "System.Net.Http" });
        Assert.Contains(ofTask, span => span.Source.Scope == "Npgsql" && span.Attributes.Text("db.query.text")?.StartsWith("INSERT INTO price_history", StringComparison.Ordinal) is true);
        await WorkerStack.UntilAsync(() => collector.Points.Any(point => point.Name == "messaging.process.duration"));
    }

    [Fact]
    public async Task A_missing_setting_is_named_and_ends_the_worker()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);

        var (_, withoutRedis) = stack.StartWorker("ConnectionStrings__redis=");
        var (_, tooHasty) = stack.StartWorker("Worker__ClaimAfter=00:00:01");

        Assert.Equal(1, await withoutRedis.Exited);
        Assert.Contains(withoutRedis.LastLines, line => line.Contains("ConnectionStrings__redis", StringComparison.Ordinal));
        Assert.Equal(1, await tooHasty.Exited);
        Assert.Contains(tooHasty.LastLines, line => line.Contains("Worker__ClaimAfter", StringComparison.Ordinal));
    }
}
