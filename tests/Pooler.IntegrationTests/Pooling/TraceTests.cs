using System.Collections.Concurrent;
using System.Diagnostics;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>Spans tell of what takes long: opening servers, and waiting for them.</summary>
public sealed class TraceTests : PoolerTest, IDisposable
{
    private readonly ConcurrentQueue<Activity> _spans = new();
    private readonly ActivityListener _listener;

    public TraceTests(PostgresForPooler postgres) : base(postgres)
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Pooler",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _spans.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public void Dispose() => _listener.Dispose();

    [Theory, MemberData(nameof(Backends))]
    public async Task Opening_a_server_is_a_span_that_says_where(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, database: d => d with { DbName = database });
        using var client = await pooler.LoginAsync("pooled " + database);

        var span = await SpanAsync("server connect", "pooled " + database);

        Assert.Equal("postgresql", span.GetTagItem("db.system.name"));
        Assert.Equal(database, span.GetTagItem("db.namespace"));
        Assert.Equal(Postgres.Server.Port, span.GetTagItem("server.port"));
        Assert.Equal("127.0.0.1", span.GetTagItem("server.address"));
        Assert.Equal(ActivityKind.Client, span.Kind);
        Assert.Null(span.Parent);
        Assert.NotEqual(ActivityStatusCode.Error, span.Status);
        Assert.Null(span.GetTagItem("error.type"));
        Assert.True(span.Duration > TimeSpan.Zero);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_cannot_be_opened_is_a_span_with_the_error(Variant variant)
    {
        var database = "missing " + Guid.NewGuid();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, PostgresForPooler.Trusted).SendAsync();
        var refusal = Assert.Single(await client.ReadToEndAsync());

        var span = await SpanAsync("server connect", database);

        Assert.Equal("3D000", refusal.Field('C'));
        Assert.Equal(ActivityStatusCode.Error, span.Status);
        Assert.Contains(database, span.StatusDescription);
        Assert.Equal("3D000", span.GetTagItem("error.type"));
        Assert.Equal("3D000", span.GetTagItem("db.response.status_code"));
        Assert.Equal(database, span.GetTagItem("db.namespace"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_waits_long_is_a_span(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        using var waiting = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        await waiting.Query("SELECT 1").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).MaxWait > 150_000, cancellationToken: Cancelled);
        await holder.Query("COMMIT").AskAsync();
        await waiting.ReadToReadyAsync();

        var span = await SpanAsync("pool wait", database);

        Assert.Equal("postgresql", span.GetTagItem("db.system.name"));
        Assert.Equal(database, span.GetTagItem("db.namespace"));
        Assert.True(span.Duration >= TimeSpan.FromMilliseconds(150), span.Duration.ToString());
    }

    /// <summary>The only span of that name and that database; other tests' spans come by as well.</summary>
    private async Task<Activity> SpanAsync(string name, string database)
    {
        Activity[] Found() =>
            [.. _spans.Where(s => s.OperationName == name && s.GetTagItem("db.client.connection.pool.name") is string pool && pool == $"{database}/{PostgresForPooler.Trusted}")];

        await Eventually.TrueAsync(() => Found().Length > 0, cancellationToken: Cancelled);
        return Assert.Single(Found());
    }
}
