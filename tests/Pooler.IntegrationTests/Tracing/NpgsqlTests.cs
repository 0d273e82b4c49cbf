using System.Diagnostics;
using Npgsql;
using ServiceDefaults.Database;
using Xunit;

namespace Pooler.IntegrationTests.Tracing;

/// <summary>What ServiceDefaults has Npgsql send is what the pooler understands.</summary>
public sealed class NpgsqlTests : PoolerTest, IDisposable
{
    private readonly RecordedSpans _spans = new();
    private readonly Mark _mark = RecordedSpans.NewMark();
    private readonly Activity _request = new("request");
    private readonly ActivityListener _npgsql;

    public NpgsqlTests(PostgresForPooler postgres)
        : base(postgres)
    {
        _npgsql = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Npgsql",
            Sample = (ref ActivityCreationOptions<ActivityContext> span) =>
                span.TraceId == _mark.TraceId ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
        };
        ActivitySource.AddActivityListener(_npgsql);
    }

    public void Dispose()
    {
        _request.Dispose();
        _npgsql.Dispose();
        _spans.Dispose();
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Commands_batches_and_transactions_are_in_the_trace_of_their_time_only(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await using var source = new NpgsqlDataSourceBuilder(pooler.ConnectionString(database, "No Reset On Close=true;Maximum Pool Size=1")).SendTraceContext().Build();
        await source.CreateCommand("SELECT 'before'").ExecuteNonQueryAsync(Cancelled);

        _request.SetParentId(_mark.TraceId, _mark.SpanId, ActivityTraceFlags.Recorded).Start();
        await source.CreateCommand("SELECT 1 -- a note").ExecuteNonQueryAsync(Cancelled);
        await using (var batch = source.CreateBatch())
        {
            batch.BatchCommands.Add(new NpgsqlBatchCommand("SELECT 2"));
            batch.BatchCommands.Add(new NpgsqlBatchCommand("SELECT $1 + 3") { Parameters = { new() { Value = 1 } } });
            await batch.ExecuteNonQueryAsync(Cancelled);
        }

        await using (var connection = await source.OpenConnectionAsync(Cancelled))
        {
            await using var transaction = await connection.BeginTransactionAsync(Cancelled);
            await new NpgsqlCommand("SELECT 4", connection).ExecuteNonQueryAsync(Cancelled);
            await transaction.CommitAsync(Cancelled);
        }

        _request.Stop();
        await source.CreateCommand("SELECT 'after'").ExecuteNonQueryAsync(Cancelled);

        var spans = (await _spans.OfAsync(_mark, 5)).Where(span => span.OperationName != "pool wait").ToArray();
        Assert.Equal(["query", "query", "transaction", "query", "query"], spans.Select(span => span.OperationName));
        Assert.Equal([null, 2, null, null, null], spans.Select(span => span.GetTagItem("db.operation.batch.size")));
        // Npgsql's spans of the three, and the transaction's.
        Assert.Equal(4, spans.Select(span => span.ParentSpanId).Distinct().Count());
        Assert.DoesNotContain(_request.SpanId, spans.Select(span => span.ParentSpanId));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_shared_trace_context_marks_prepared_statements_which_stay_shared(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        await using var source = new NpgsqlDataSourceBuilder(pooler.ConnectionString(database, "No Reset On Close=true")).SendTraceContext().Build();
        await using var one = await PreparedAsync(source);
        await using var other = await PreparedAsync(source);

        _request.SetParentId(_mark.TraceId, _mark.SpanId, ActivityTraceFlags.Recorded).Start();
        await using (await one.Connection!.ShareTraceContextAsync(Cancelled))
        {
            Assert.Equal(_request.Id, await new NpgsqlCommand("SHOW pooler.traceparent", one.Connection).ExecuteScalarAsync(Cancelled));
            Assert.Equal(42, await one.ExecuteScalarAsync(Cancelled));
            // Another connection's prepared statement has no mark.
            Assert.Equal(42, await other.ExecuteScalarAsync(Cancelled));
        }

        Assert.Equal(42, await one.ExecuteScalarAsync(Cancelled));
        _request.Stop();

        Assert.Equal("", await new NpgsqlCommand("SHOW pooler.traceparent", one.Connection).ExecuteScalarAsync(Cancelled));
        Assert.Equal(1L, await new NpgsqlCommand("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%$1 + 1'", one.Connection).ExecuteScalarAsync(Cancelled));
        Assert.Equal("query", Assert.Single(await _spans.OfAsync(_mark, 1)).OperationName);
        Assert.Equal(_request.SpanId, _spans.Of(_mark)[0].ParentSpanId);
    }

    private static async Task<NpgsqlCommand> PreparedAsync(NpgsqlDataSource source)
    {
        var command = new NpgsqlCommand("SELECT $1 + 1", await source.OpenConnectionAsync(Cancelled)) { Parameters = { new() { Value = 41 } } };
        await command.PrepareAsync(Cancelled);
        return command;
    }
}
