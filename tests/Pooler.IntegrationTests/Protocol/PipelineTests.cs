using System.Globalization;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>Several requests under way at once, as libpq's pipeline mode, Npgsql's batches and JDBC send them.</summary>
public sealed class PipelineTests(PostgresForPooler postgres) : Conversations(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public Task Batches_in_flight_are_answered_one_by_one(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        for (var i = 0; i < 200; i++) client.Parse("", $"SELECT {i}").Bind("").Execute().Sync();
        return await client.AskAsync(200);
    }, mustContain: "D(199)");

    [Theory, MemberData(nameof(Backends))]
    public Task An_error_passes_over_the_rest_of_its_batch_only(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        client.Parse("", "SELECT 1").Bind("").Execute().Sync();
        client.Parse("", "INSERT INTO t VALUES (1)").Bind("").Execute()
            .Parse("", "SELECT 1/0").Bind("").Execute()
            .Parse("", "INSERT INTO t VALUES (2)").Bind("").Execute().Sync();
        client.Parse("", "SELECT count(*) FROM t").Bind("").Execute().Sync();
        return await client.AskAsync(3);
    }, mustContain: "E(22012) Z(I) 1 2 D(0)");

    [Theory, MemberData(nameof(Backends))]
    public Task A_transaction_that_fails_in_a_pipeline_stays_failed_until_its_end(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        client.Parse("", "BEGIN").Bind("").Execute().Sync();
        client.Parse("", "SELECT 1/0").Bind("").Execute().Sync();
        client.Parse("", "SELECT 1").Bind("").Execute().Sync();
        client.Parse("", "ROLLBACK").Bind("").Execute().Sync();
        client.Query("SELECT 5");
        return await client.AskAsync(5);
    }, mustContain: "E(25P02) Z(E)");

    [Theory, MemberData(nameof(Backends))]
    public Task Simple_queries_may_be_pipelined(Variant variant) => SameAsPostgresAsync(variant, async client =>
        await client.Query("BEGIN").Query("SELECT 1").Query("SELECT 1/0").Query("COMMIT").Query("SELECT 2").AskAsync(5),
        mustContain: "C(ROLLBACK) Z(I)");

    [Theory, MemberData(nameof(Backends))]
    public Task An_error_before_statement_messages_takes_back_what_they_would_have_done(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        var prepared = await client.Parse("s", "SELECT 'old'").Sync().AskAsync();
        client.Parse("", "SELECT 1/0").Bind("").Execute().Close("s").Parse("s", "SELECT 'new'").Parse("r", "SELECT 'r'").Sync();
        client.Bind("s").Execute().Sync();
        client.Bind("r").Execute().Sync();
        var piped = await client.AskAsync(3);
        return prepared + piped
            + await client.Bind("s").Execute().Sync().AskAsync()
            + await client.Close("s").Parse("s", "SELECT 'newer'").Bind("s").Execute().Sync().AskAsync();
    }, mustContain: "D(old)");

    [Theory, MemberData(nameof(Backends))]
    public Task A_name_whose_parse_failed_can_be_given_again_in_the_next_batch(Variant variant) => SameAsPostgresAsync(variant, async client =>
    {
        client.Parse("s", "SELEC 'wrong'").Sync();
        client.Parse("s", "SELECT 'right'").Bind("s").Execute().Sync();
        return await client.AskAsync(2) + await client.Bind("s").Execute().Sync().AskAsync();
    }, mustContain: "D(right)");

    [Theory, MemberData(nameof(Backends))]
    public async Task An_error_before_a_statement_is_prepared_anew_does_not_hurt_the_next_batch(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1, ServerIdleTimeout = TimeSpan.Zero });
        using var client = await pooler.LoginAsync(database);
        await client.Parse("s", "SELECT 's'").Sync().AskAsync();
        // The next server has not got the statement.
        await pooler.Engine.PauseAsync(null, Cancelled);
        pooler.Engine.Resume(null);

        client.Parse("", "SELECT 1/0").Bind("").Execute().Bind("s").Execute().Sync();
        client.Bind("s").Execute().Sync();
        client.Bind("s").Execute().Sync();

        Assert.Equal("1 E(22012) Z(I)", await client.AskAsync());
        Assert.Equal("2 D(s) C(SELECT 1) Z(I) 2 D(s) C(SELECT 1) Z(I)", RawClient.Transcript(await client.ReadToReadyAsync(2)));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Half_a_batch_keeps_its_server(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var client = await pooler.LoginAsync(database);
        using var other = await pooler.LoginAsync(database);
        await client.Parse("s", "SELECT 's'").Sync().AskAsync();

        // The second batch begins while the first is being answered, and ends later.
        await client.Query("SELECT pg_sleep(0.2)").Bind("s").Execute().SendAsync();
        await client.ReadToReadyAsync();
        await other.Query("SELECT 'other'").SendAsync();
        Assert.Equal("2 D(s) C(SELECT 1) Z(I)", await client.Sync().AskAsync());

        Assert.Equal("T D(other) C(SELECT 1) Z(I)", RawClient.Transcript(await other.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task Pipelines_of_many_clients_on_few_servers_keep_their_own_answers(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 3 });

        await Task.WhenAll(Enumerable.Range(0, 30).Select(async number =>
        {
            using var client = await pooler.LoginAsync(database);
            for (var round = 0; round < 10; round++)
            {
                var expected = "";
                for (var i = 0; i < 5; i++)
                {
                    var value = (number * 1000 + round * 10 + i).ToString(CultureInfo.InvariantCulture);
                    var fails = i == 2 && round % 3 == 0;
                    client.Parse("", fails ? "SELECT 1/0" : "SELECT $1").Bind("", fails ? [] : [value]).Execute().Sync();
                    expected += fails ? "1 E(22012) Z(I) " : $"1 2 D({value}) C(SELECT 1) Z(I) ";
                }
                Assert.Equal(expected.TrimEnd(), await client.AskAsync(5));
            }
        }));
    }
}
