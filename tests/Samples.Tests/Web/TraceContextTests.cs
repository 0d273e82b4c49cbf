using System.Diagnostics;
using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using ServiceDefaults.Database;
using Testing;
using Xunit;

namespace Samples.Tests.Web;

/// <summary>What a data source that sends its trace context sends, as PostgreSQL sees it.</summary>
// Listeners hear the whole process: one test at a time.
[Collection("listeners")]
public sealed partial class TraceContextTests(PostgresFixture postgres) : IDisposable
{
    // The text of the statement that is being run, as it arrived.
    private const string OwnText = "SELECT current_query()";

    private readonly List<Activity> _spans = [];
    private ActivityListener? _listener;
    private Activity? _request;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _request?.Dispose();
        _listener?.Dispose();
    }

    [Fact]
    public async Task A_command_names_its_own_span_in_a_trailing_comment()
    {
        await using var source = await SourceAsync();
        var request = Request();

        var text = (string)(await source.CreateCommand(OwnText).ExecuteScalarAsync(Cancelled))!;

        var span = Assert.Single(_spans);
        Assert.Equal((request.SpanId, request.TraceId), (span.ParentSpanId, span.TraceId));
        Assert.Equal($"{OwnText} /*traceparent='00-{span.TraceId}-{span.SpanId}-01'*/", text);
        Assert.Equal(OwnText, span.GetTagItem("db.query.text"));
    }

    [Fact]
    public async Task The_state_of_the_trace_goes_along_encoded()
    {
        await using var source = await SourceAsync();
        Request().TraceStateString = "vendor=it's*/,other=1";

        var text = (string)(await source.CreateCommand(OwnText).ExecuteScalarAsync(Cancelled))!;

        Assert.EndsWith("',tracestate='vendor%3Dit%27s%2A%2F%2Cother%3D1'*/", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_recorded_span_nothing_is_sent()
    {
        await using var source = await SourceAsync();

        Assert.Equal(OwnText, await source.CreateCommand(OwnText).ExecuteScalarAsync(Cancelled));
        Request(isRecorded: false);
        Assert.Equal(OwnText, await source.CreateCommand(OwnText).ExecuteScalarAsync(Cancelled));

        Request();
        await using var connection = await source.OpenConnectionAsync(Cancelled);
        await using var command = new NpgsqlCommand(OwnText, connection);
        Assert.Contains("traceparent", (string)(await command.ExecuteScalarAsync(Cancelled))!, StringComparison.Ordinal);

        // The same connection and the same command, when the trace is over.
        _request!.Stop();
        Assert.Equal(OwnText, await command.ExecuteScalarAsync(Cancelled));
        Assert.Single(_spans);
    }

    [Theory]
    [InlineData("SELECT @p + 1 -- the price")]
    [InlineData("SELECT @p + 1;")]
    [InlineData("SELECT 0; SELECT @p + 1 /* and /* nested */ */ ; ")]
    [InlineData("SELECT '--', @p + 1")]
    public async Task Every_way_to_end_a_text_still_works(string text)
    {
        await using var source = await SourceAsync();
        Request();
        await using var command = source.CreateCommand(text);
        command.Parameters.AddWithValue("p", 41);

        await using var reader = await command.ExecuteReaderAsync(Cancelled);
        int last;
        do
        {
            Assert.True(await reader.ReadAsync(Cancelled));
            last = reader.GetFieldValue<int>(reader.FieldCount - 1);
        }
        while (await reader.NextResultAsync(Cancelled));

        Assert.Equal(42, last);
    }

    [Fact]
    public async Task Each_statement_of_a_batch_is_marked()
    {
        await using var source = await SourceAsync();
        Request();
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(new NpgsqlBatchCommand(OwnText));
        batch.BatchCommands.Add(new NpgsqlBatchCommand(OwnText + " WHERE $1 = 1") { Parameters = { new() { Value = 1 } } });

        var texts = new List<string>();
        await using var reader = await batch.ExecuteReaderAsync(Cancelled);
        do
        {
            while (await reader.ReadAsync(Cancelled))
                texts.Add(reader.GetString(0));
        }
        while (await reader.NextResultAsync(Cancelled));

        var id = Assert.Single(_spans).Id;
        Assert.Equal([$"{OwnText} /*traceparent='{id}'*/", $"{OwnText} WHERE $1 = 1 /*traceparent='{id}'*/"], texts);
    }

    [Fact]
    public async Task Entity_Framework_counts_and_maps_what_it_saves_as_ever()
    {
        await using var source = await SourceAsync();
        var options = new DbContextOptionsBuilder<Shelf>().UseNpgsql(source).Options;
        await using var context = new Shelf(options);
        await context.Database.EnsureCreatedAsync(Cancelled);
        await context.Database.ExecuteSqlRawAsync(Shelf.NotingWhatIsSent, Cancelled);
        Request();

        // More than one statement in one batch: inserts whose numbers come back, updates that count rows.
        var books = Enumerable.Range(1, 50).Select(n => new Book { Title = $"Book {n}" }).ToList();
        context.AddRange(books);
        Assert.Equal(50, await context.SaveChangesAsync(Cancelled));
        Assert.Equal(50, books.Select(book => book.Id).Distinct().Count());
        books.ForEach(book => book.Title += ", second edition");
        context.Remove(books[49]);
        Assert.Equal(50, await context.SaveChangesAsync(Cancelled));

        await using (var other = new Shelf(options))
        {
            Assert.Equal(49, await other.Books.CountAsync(book => book.Title.EndsWith("edition"), Cancelled));
            Assert.Equal("Book 7, second edition", (await other.Books.SingleAsync(book => book.Id == books[6].Id, Cancelled)).Title);
            (await other.Books.SingleAsync(book => book.Id == books[1].Id, Cancelled)).Title = "taken";
            await other.SaveChangesAsync(Cancelled);
        }

        // The second of three in a batch was changed by somebody else, and exactly that one is reported.
        foreach (var book in books[..3])
            book.Title += "!";
        var conflict = await Assert.ThrowsAsync<DbUpdateConcurrencyException>(() => context.SaveChangesAsync(Cancelled));
        Assert.Same(books[1], Assert.Single(conflict.Entries).Entity);

        // Each text is one that a trigger has noted while it ran.
        var texts = await context.Database.SqlQueryRaw<string>("SELECT DISTINCT text AS \"Value\" FROM sent").ToListAsync(Cancelled);
        Assert.All(texts, text => Assert.Matches(Comment(), text));
        var ids = _spans.Select(span => span.Id!).ToHashSet();
        Assert.All(texts, text => Assert.Contains(Comment().Match(text).Groups[1].Value, ids));
        Assert.All(_spans, span => Assert.Equal(_request!.SpanId, span.ParentSpanId));
    }

    [Theory]
    [InlineData("")]
    [InlineData(";Max Auto Prepare=10;Auto Prepare Min Usages=2")]
    public async Task The_text_of_a_prepared_statement_stays_as_it_is(string settings)
    {
        await using var source = await SourceAsync(settings);
        Request();
        await using var connection = await source.OpenConnectionAsync(Cancelled);
        await using var command = new NpgsqlCommand("SELECT $1 + 1", connection) { Parameters = { new() { Value = 41 } } };
        if (settings.Length == 0)
            await command.PrepareAsync(Cancelled);

        for (var i = 0; i < 4; i++)
            Assert.Equal(42, await command.ExecuteScalarAsync(Cancelled));

        await using var prepared = new NpgsqlCommand("SELECT statement FROM pg_prepared_statements", connection);
        Assert.Equal("SELECT $1 + 1", await prepared.ExecuteScalarAsync(Cancelled));
    }

    [Fact]
    public async Task A_connection_can_share_its_trace_with_prepared_statements_and_keeps_nothing_of_it()
    {
        const string Setting = "SELECT current_setting('pooler.traceparent', true)";
        await using var source = await SourceAsync();
        await using var connection = await source.OpenConnectionAsync(Cancelled);
        await using var command = new NpgsqlCommand(Setting, connection);
        await command.PrepareAsync(Cancelled);

        await using (await connection.ShareTraceContextAsync(Cancelled))
            Assert.Equal(DBNull.Value, await command.ExecuteScalarAsync(Cancelled));

        var request = Request();
        await using (await connection.ShareTraceContextAsync(Cancelled))
            Assert.Equal(request.Id, await command.ExecuteScalarAsync(Cancelled));
        Assert.Equal("", await command.ExecuteScalarAsync(Cancelled));

        // Telling it is no span of its own.
        Assert.All(_spans, span => Assert.Equal(Setting, span.GetTagItem("db.query.text")));

        // Within a transaction that has failed it can't be taken back by a statement, and need not be.
        await using (var transaction = await connection.BeginTransactionAsync(Cancelled))
        {
            await using (await connection.ShareTraceContextAsync(Cancelled))
            {
                await using var failing = new NpgsqlCommand("SELECT 1 / 0", connection);
                await Assert.ThrowsAsync<PostgresException>(() => failing.ExecuteNonQueryAsync(Cancelled));
            }

            await transaction.RollbackAsync(Cancelled);
        }

        Assert.Equal("", await command.ExecuteScalarAsync(Cancelled));
    }

    private async Task<NpgsqlDataSource> SourceAsync(string settings = "")
    {
        var database = await postgres.NewDatabaseAsync(Cancelled);
        return new NpgsqlDataSourceBuilder(postgres.Server.ConnectionString(database) + settings).SendTraceContext().Build();
    }

    /// <summary>Becomes the current span, whose children are recorded when it is: only those of this test.</summary>
    private Activity Request(bool isRecorded = true)
    {
        _request?.Stop();
        _request = new Activity("request") { ActivityTraceFlags = isRecorded ? ActivityTraceFlags.Recorded : ActivityTraceFlags.None };
        _request.SetIdFormat(ActivityIdFormat.W3C).Start();
        _listener ??= new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Npgsql",
            Sample = (ref ActivityCreationOptions<ActivityContext> span) => span.TraceId == _request.TraceId && span.Parent.TraceFlags == ActivityTraceFlags.Recorded
                ? ActivitySamplingResult.AllDataAndRecorded
                : ActivitySamplingResult.PropagationData,
            ActivityStarted = span =>
            {
                // A new physical connection has a span too.
                if (span.TraceId == _request.TraceId && span.Recorded && !span.DisplayName.StartsWith("CONNECT", StringComparison.Ordinal))
                    _spans.Add(span);
            },
        };
        ActivitySource.AddActivityListener(_listener);
        return _request;
    }

    [GeneratedRegex(@"/\*traceparent='(00-[0-9a-f]{32}-[0-9a-f]{16}-01)'\*/$")]
    private static partial Regex Comment();

    /// <summary>Books, and the texts of the statements that changed them.</summary>
    private sealed class Shelf(DbContextOptions<Shelf> options) : DbContext(options)
    {
        public const string NotingWhatIsSent =
            """
            CREATE TABLE sent (text text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO sent VALUES (current_query()); RETURN NULL; END';
            CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON books EXECUTE FUNCTION note();
            """;

        public DbSet<Book> Books => Set<Book>();

        protected override void OnModelCreating(ModelBuilder model)
        {
            model.Entity<Book>().ToTable("books");
            model.Entity<Book>().Property(book => book.Version).IsRowVersion();
        }
    }

    private sealed class Book
    {
        public long Id { get; set; }

        public required string Title { get; set; }

        public uint Version { get; set; }
    }
}
