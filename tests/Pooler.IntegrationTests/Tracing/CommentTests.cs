using System.Diagnostics;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Tracing;

/// <summary>Queries that carry a traceparent in a comment have spans in the client's trace.</summary>
public sealed class CommentTests(PostgresForPooler postgres) : PoolerTest(postgres), IDisposable
{
    private readonly RecordedSpans _spans = new();

    public void Dispose() => _spans.Dispose();

    [Theory, MemberData(nameof(Backends))]
    public async Task A_marked_query_is_a_span_under_the_clients(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, database: d => d with { DbName = database });
        using var client = await pooler.LoginAsync("pooled " + database);
        var mark = RecordedSpans.NewMark();
        var pid = await client.ScalarAsync("SELECT pg_backend_pid()");

        await client.ScalarAsync($"SELECT 1, 'a secret' /*traceparent='{mark.Value}',tracestate='a%3Db'*/");
        var span = Assert.Single(await _spans.OfAsync(mark, 1));

        Assert.Equal("query", span.OperationName);
        Assert.Equal(ActivityKind.Client, span.Kind);
        Assert.Equal(mark.SpanId, span.ParentSpanId);
        Assert.True(span.Recorded);
        Assert.Equal("a=b", span.TraceStateString);
        Assert.Equal("postgresql", span.GetTagItem("db.system.name"));
        Assert.Equal(database, span.GetTagItem("db.namespace"));
        Assert.Equal($"pooled {database}/{PostgresForPooler.Trusted}", span.GetTagItem("db.client.connection.pool.name"));
        Assert.Equal("SELECT", span.GetTagItem("db.operation.name"));
        Assert.StartsWith("SELECT ?, ?", (string?)span.GetTagItem("db.query.text"));
        Assert.Equal("127.0.0.1", span.GetTagItem("server.address"));
        Assert.Equal(Postgres.Server.Port, span.GetTagItem("server.port"));
        Assert.Equal(pid, span.GetTagItem("db.postgresql.backend_pid")?.ToString());
        Assert.Matches("^0xc[0-9a-f]{8}$", (string?)span.GetTagItem("pooler.client.id"));
        Assert.Matches("^0x5[0-9a-f]{8}$", (string?)span.GetTagItem("pooler.server.id"));
        Assert.Equal(ActivityStatusCode.Unset, span.Status);
        Assert.Null(span.GetTagItem("db.response.status_code"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_marked_query_that_fails_tells_the_code(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();

        await client.Query("SELECT 1/0 " + mark.Comment).AskAsync();
        await client.Query("SELECT 1 " + mark.Comment + " ; ").AskAsync();
        var spans = await _spans.OfAsync(mark, 2);

        Assert.Equal([ActivityStatusCode.Error, ActivityStatusCode.Unset], spans.Select(s => s.Status));
        Assert.Equal(["22012", null], spans.Select(s => s.GetTagItem("db.response.status_code")));
        Assert.Equal(["22012", null], spans.Select(s => s.GetTagItem("error.type")));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_batch_is_one_span_whichever_of_its_texts_is_marked(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (first, second) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());

        client.Parse("", "SELECT 1").Bind("").Execute().Parse("", "SELECT 2 " + first.Comment).Bind("").Execute().Sync();
        client.Parse("", "SELECT 3").Bind("").Execute().Sync();
        client.Parse("s", "INSERT INTO pg_temp.t VALUES ($1) " + second.Comment).Sync();
        Assert.Equal("1 2 D(1) C(SELECT 1) 1 2 D(2) C(SELECT 1) Z(I) 1 2 D(3) C(SELECT 1) Z(I) E(42P01) Z(I)", await client.AskAsync(3));

        var span = Assert.Single(await _spans.OfAsync(first, 1));
        Assert.Equal("BATCH SELECT", span.GetTagItem("db.operation.name"));
        Assert.Equal(2, span.GetTagItem("db.operation.batch.size"));
        Assert.Equal("42P01", Assert.Single(await _spans.OfAsync(second, 1)).GetTagItem("error.type"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task What_waits_for_a_server_shows_the_wait_before_the_query(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        using var waiting = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        await holder.Query("BEGIN").AskAsync();

        await waiting.Parse("", "SELECT 1 " + mark.Comment).Bind("").Execute().Sync().SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).MaxWait > 50_000, cancellationToken: Cancelled);
        await holder.Query("COMMIT").AskAsync();
        await waiting.ReadToReadyAsync();

        Assert.Equal("pool wait(client) query(client)", await _spans.TreeAsync(mark, 2));
        var spans = _spans.Of(mark);
        Assert.True(spans[0].Duration > TimeSpan.FromMilliseconds(50));
        Assert.Equal(ActivityKind.Internal, spans[0].Kind);
        Assert.True(spans[0].StartTimeUtc + spans[0].Duration <= spans[1].StartTimeUtc);
        Assert.Equal(spans[0].GetTagItem("pooler.server.id"), spans[1].GetTagItem("pooler.server.id"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_transaction_that_is_opened_ahead_of_its_first_marked_statement_shows_its_wait(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        using var waiting = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        await holder.Query("BEGIN").AskAsync();

        // As Npgsql does.
        await waiting.Query("BEGIN").Parse("", "SELECT 1 " + mark.Comment).Bind("").Execute().Sync().SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).MaxWait > 0, cancellationToken: Cancelled);
        await holder.Query("COMMIT").AskAsync();
        await waiting.ReadToReadyAsync(2);
        await waiting.Query("COMMIT").AskAsync();

        Assert.Equal("pool wait(client) transaction(client) query(transaction) query(transaction)", await _spans.TreeAsync(mark, 4));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_wait_in_vain_tells_why(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        using var waiting = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        pooler.Reload(c => c with { Settings = c.Settings with { QueryWaitTimeout = TimeSpan.FromMilliseconds(50) } });
        await holder.Query("BEGIN").AskAsync();

        await waiting.Query("SELECT 1 " + mark.Comment).SendAsync();
        await waiting.ReadToEndAsync();

        var span = Assert.Single(await _spans.OfAsync(mark, 1));
        Assert.Equal("pool wait", span.OperationName);
        Assert.Equal(ActivityStatusCode.Error, span.Status);
        Assert.Equal("query_wait_timeout", span.StatusDescription);
        Assert.Equal("08P01", span.GetTagItem("error.type"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_transaction_of_several_queries_is_their_parent(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        var later = mark with { SpanId = ActivitySpanId.CreateRandom() };
        var other = RecordedSpans.NewMark();

        await client.Query("BEGIN " + mark.Comment).AskAsync();
        await client.Query("SELECT 1 " + later.Comment).AskAsync();
        await client.Query("SELECT 2").AskAsync();
        await client.Query("SELECT 3 " + other.Comment).AskAsync();
        await client.Query("COMMIT").AskAsync();
        await client.Query("SELECT 4").AskAsync();

        Assert.Equal("transaction(client) query(transaction) query(transaction) query(transaction) query(transaction)", await _spans.TreeAsync(mark, 5));
        var spans = _spans.Of(mark);
        Assert.Equal(["BEGIN", "SELECT", "SELECT", "COMMIT"], spans[1..].Select(s => s.GetTagItem("db.operation.name")));
        Assert.Equal([later.SpanId], spans.SelectMany(s => s.Links).Select(l => l.Context.SpanId));
        Assert.All(spans[1..], s => Assert.True(s.StartTimeUtc >= spans[0].StartTimeUtc && s.StartTimeUtc + s.Duration <= spans[0].StartTimeUtc + spans[0].Duration));
        var elsewhere = Assert.Single(await _spans.OfAsync(other, 1));
        Assert.Equal(other.SpanId, elsewhere.ParentSpanId);
        Assert.Equal(spans[0].SpanId, Assert.Single(elsewhere.Links).Context.SpanId);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_transaction_that_was_begun_unmarked_is_a_span_from_its_beginning(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var connection = await pooler.ConnectAsync(database);
        var mark = RecordedSpans.NewMark();

        await using (var transaction = await connection.BeginTransactionAsync(Cancelled))
        {
            await ScalarAsync(connection, "SELECT 1 " + mark.Comment);
            await transaction.RollbackAsync(Cancelled);
        }

        Assert.Equal("transaction(client) query(transaction) query(transaction)", await _spans.TreeAsync(mark, 3));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_opened_for_a_marked_request_is_in_its_trace(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var holder = await pooler.LoginAsync(database);
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        await holder.Query("BEGIN").AskAsync();

        await client.ScalarAsync("SELECT 1 " + mark.Comment);
        var tree = await _spans.TreeAsync(mark, 3);

        Assert.Contains("server connect(client)", tree);
        Assert.Contains("pool wait(client)", tree);
        Assert.EndsWith("query(client)", tree);
        Assert.Single(_spans.Of(mark).Select(s => s.GetTagItem("pooler.server.id")).Distinct());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Nothing_is_told_of_what_is_not_sampled_or_not_readable(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (unsampled, marked) = (RecordedSpans.NewMark(isSampled: false), RecordedSpans.NewMark());

        foreach (var sql in new[] { unsampled.Comment, "/*traceparent='nonsense'*/", "/*", "*/", "/**/", "/* a hint */", "'" + unsampled.Comment + "'" })
            await client.Query("SELECT 1 " + sql).AskAsync();
        await client.ScalarAsync("SELECT 1 " + marked.Comment);

        Assert.Single(await _spans.OfAsync(marked, 1));
        Assert.Empty(_spans.Of(unsampled));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_text_longer_than_the_buffer_goes_on_untraced_and_whole(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (mark, after) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());
        var text = new string('x', 200_000);

        Assert.Equal(text, await client.ScalarAsync($"SELECT '{text}' {mark.Comment}"));
        await client.ScalarAsync("SELECT 1 " + after.Comment);

        Assert.Single(await _spans.OfAsync(after, 1));
        Assert.Empty(_spans.Of(mark));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task An_unmarked_query_that_takes_long_is_a_trace_of_its_own(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { SlowQueryTime = TimeSpan.FromMilliseconds(50) });
        using var client = await pooler.LoginAsync(database);

        await client.Query("SELECT pg_sleep(0.1)").AskAsync();
        await client.Query("SELECT 1").AskAsync();
        await client.Query("DO $$ BEGIN PERFORM pg_sleep(0.1); RAISE EXCEPTION 'no' USING ERRCODE = 'ABCDE'; END $$").AskAsync();

        Activity[] Queries() => [.. _spans.RootsOf(database).Where(s => s.OperationName == "query")];
        await Eventually.TrueAsync(() => Queries().Any(s => (string?)s.GetTagItem("error.type") == "ABCDE"), cancellationToken: Cancelled);
        Assert.Contains(Queries(), s => (string?)s.GetTagItem("db.query.text") == "SELECT pg_sleep(?)");
        // On a busy machine the third may be slow as well.
        Assert.All(Queries(), s => Assert.True(s.Duration >= TimeSpan.FromMilliseconds(50)));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_query_whose_server_or_client_goes_is_a_span_with_the_reason(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var (killed, left) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());
        using (var client = await pooler.LoginAsync(database))
        {
            await client.Query("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10) " + killed.Comment).SendAsync();
            await client.ReadToEndAsync();
        }
        using (var client = await pooler.LoginAsync(database))
        {
            await client.Query("SELECT 1").AskAsync();
            await client.Query("BEGIN " + left.Comment).AskAsync();
            await client.Query("SELECT pg_sleep(30) " + left.Comment).SendAsync();
            await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "query LIKE 'SELECT pg_sleep(30)%'") == 1, cancellationToken: Cancelled);
            client.Abort();
        }

        Assert.Equal(ActivityStatusCode.Error, Assert.Single(await _spans.OfAsync(killed, 1)).Status);
        Assert.Equal("transaction(client) query(transaction) query(transaction)", await _spans.TreeAsync(left, 3));
        Assert.Equal([ActivityStatusCode.Error, ActivityStatusCode.Unset, ActivityStatusCode.Error], _spans.Of(left).Select(s => s.Status));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_copy_is_a_span_with_its_data(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (simple, extended) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());
        await client.ScalarAsync("CREATE TABLE t (a int)");

        await client.Query("COPY t FROM STDIN " + simple.Comment).CopyData("1\n").CopyDone().AskAsync();
        client.Parse("", "COPY t FROM STDIN " + extended.Comment).Bind("").Execute().Sync();
        await client.SendAsync();
        await client.ReadToAsync('G');
        await client.CopyData("2\n").CopyDone().Sync().AskAsync();

        Assert.Equal("COPY", Assert.Single(await _spans.OfAsync(simple, 1)).GetTagItem("db.operation.name"));
        Assert.Equal("COPY", Assert.Single(await _spans.OfAsync(extended, 1)).GetTagItem("db.operation.name"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Where_all_is_slow_few_unmarked_queries_are_spans_and_all_marked_ones(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { SlowQueryTime = TimeSpan.FromMicroseconds(1) });
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        for (var i = 0; i < 1000; i++) await client.Query("SELECT 1").AskAsync();
        for (var i = 0; i < 100; i++) await client.Query("SELECT 2 " + mark.Comment).AskAsync();

        await _spans.OfAsync(mark, 100);

        // A thousand would take 50 seconds.
        Assert.InRange(_spans.RootsOf(database).Count(s => s.OperationName == "query"), 1, 800);
    }
}
