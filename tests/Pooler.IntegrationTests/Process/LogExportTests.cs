using System.Net;
using System.Text.RegularExpressions;
using Testing;
using Testing.Otlp;
using Xunit;

namespace Pooler.IntegrationTests.Process;

/// <summary>What the program's log looks like to an OpenTelemetry collector.</summary>
public sealed class LogExportTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const string TraceId = "4bf92f3577b34da6a3ce929d0e0e4736";

    [Fact]
    public async Task Log_records_have_their_connections_and_figures_as_attributes()
    {
        var database = await NewDatabaseAsync();
        using var directory = new ThrowawayDirectory();
        await using var collector = await OtlpReceiver.StartAsync();
        await using var pooler = PoolerProgram.Start(
            directory.Path, [],
            [
                .. collector.Environment(OtlpReceiver.Http).Select(variable => (variable.Key, variable.Value!)),
                ("DATABASES_HOST", "127.0.0.1"), ("DATABASES_PORT", Postgres.Server.Port.ToString()), ("DATABASES_USER", PostgresForPooler.Trusted),
                ("DATABASES_PASSWORD", "none"), ("POOLER_LISTEN_PORT", "0"), ("POOLER_UNIX_SOCKET_DIR", ""), ("POOLER_AUTH_TYPE", "trust"),
                ("POOLER_STATS_PERIOD", "1"), ("POOLER_SLOW_QUERY_TIME", "0.02"), ("POOLER_LOG_SLOW_QUERIES", "1"),
            ]);
        await pooler.UpAsync();
        var listening = Regex.Match(await pooler.LineAsync("listening on 127.0.0.1:"), @"127\.0\.0\.1:(\d+)");
        using (var client = await RawClient.LoginAsync(IPEndPoint.Parse(listening.Value), database, PostgresForPooler.Trusted, ("application_name", "shop")))
            await client.Query($"SELECT pg_sleep(0.05), 'secret' /*traceparent='00-{TraceId}-00f067aa0ba902b7-01'*/").AskAsync();

        var login = await RecordAsync(collector, "login_attempt");
        Assert.Equal("Information", login.Severity);
        Assert.Equal((database, PostgresForPooler.Trusted, "127.0.0.1"), (login.Attributes.Text("db.namespace"), login.Attributes.Text("user.name"), login.Attributes.Text("client.address")));
        Assert.IsType<long>(login.Attributes["client.port"]);
        Assert.Equal("no", login.Attributes.Text("pooler.tls"));
        var connected = await RecordAsync(collector, "server_connected");
        Assert.Equal((database, $"{Postgres.Server.Port}"), (connected.Attributes.Text("db.namespace"), connected.Attributes.Text("server.port")));
        Assert.StartsWith("0x5", connected.Attributes.Text("pooler.server.id"));

        var slow = await RecordAsync(collector, "slow_query");
        Assert.Equal(login.Attributes.Text("pooler.client.id"), slow.Attributes.Text("pooler.client.id"));
        Assert.Equal(("SELECT pg_sleep(?), ?", "shop"), (slow.Attributes.Text("db.query.text"), slow.Attributes.Text("pooler.client.application_name")));
        Assert.InRange(Assert.IsType<double>(slow.Attributes["pooler.duration"]), 0.05, 60);
        Assert.Matches(@"^C-0xc\w+: \S+ slow query: \d+\.\d ms: SELECT pg_sleep\(\?\), \?$", slow.Body);
        Assert.Equal(TraceId, slow.TraceId);
        await Eventually.TrueAsync(() => collector.Spans.Any(s => s.Name == "query" && s.TraceId == TraceId), cancellationToken: Cancelled);
        var span = collector.Spans.First(s => s.Name == "query" && s.TraceId == TraceId);
        Assert.Equal((span.Id, span.Attributes.Text("pooler.client.id")), (slow.SpanId, slow.Attributes.Text("pooler.client.id")));
        var closing = await RecordAsync(collector, "client_closing");
        Assert.IsType<string>(closing.Attributes["pooler.reason"]);
        Assert.IsType<long>(closing.Attributes["pooler.age"]);

        var stats = await RecordAsync(collector, "stats");
        Assert.StartsWith("stats: ", stats.Body);
        Assert.IsType<long>(stats.Attributes["pooler.stats.xacts_per_second"]);
        Assert.Contains(collector.Logs, l => l.EventName == "process_up" && l.Attributes.ContainsKey("pooler.version"));
        Assert.All(collector.Logs, l => Assert.DoesNotContain("{OriginalFormat}", l.Attributes.Keys));
        Assert.All(collector.Logs.Where(l => l.Source.Scope.StartsWith("Pooler", StringComparison.Ordinal)), l => Assert.NotEqual("", l.EventName));
        Assert.DoesNotContain(collector.Logs, l => l.Body.Contains("secret", StringComparison.Ordinal) || l.Attributes.Keys.Any(k => l.Attributes.Text(k)?.Contains("secret", StringComparison.Ordinal) == true));
    }

    private static async Task<OtlpLog> RecordAsync(OtlpReceiver collector, string name)
    {
        await Eventually.TrueAsync(() => collector.Logs.Any(l => l.EventName == name), cancellationToken: Cancelled);
        return collector.Logs.First(l => l.EventName == name);
    }
}
