using Npgsql;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>Named statements of the extended protocol, while clients share servers.</summary>
public sealed class PreparedStatementTests(PostgresForPooler postgres) : Conversations(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public Task Named_statements_get_PostgreSQLs_own_answers(Variant variant) => SameAsPostgresAsync(variant, async client =>
        await client.Parse("s", "SELECT $1::int * 2").Describe("s").Bind("s", "21").Execute().Sync().AskAsync()
        + await client.Bind("s", "4").DescribePortal().Execute().Sync().AskAsync()
        + await client.Parse("s", "SELECT 'again'").Sync().AskAsync()
        + await client.Bind("unknown").Execute().Sync().AskAsync()
        + await client.Describe("unknown").Sync().AskAsync()
        + await client.Close("unknown").Sync().AskAsync()
        + await client.Parse("wrong", "SELEC").Sync().AskAsync()
        + await client.Bind("wrong").Sync().AskAsync()
        + await client.Close("s").Sync().AskAsync()
        + await client.Bind("s", "1").Execute().Sync().AskAsync()
        + await client.Parse("s", "SELECT 'new'").Bind("s").Execute().Sync().AskAsync()
        + await client.Query("DEALLOCATE ALL").AskAsync()
        + await client.Bind("s").Execute().Sync().AskAsync()
        + await client.Parse("s", "SELECT 'newer'").Bind("s").Execute().Sync().AskAsync()
        + await client.Query("DISCARD ALL").Parse("s", "SELECT 'newest'").Bind("s").Execute().Sync().AskAsync(2)
        + await client.Query("BEGIN").AskAsync()
        + await client.Parse("end", "ROLLBACK").Sync().AskAsync()
        + await client.Query("SELECT 1/0").AskAsync()
        + await client.Bind("s").Execute().Sync().AskAsync()
        + await client.Bind("end").Execute().Sync().AskAsync()
        + await client.Bind("s").Execute().Sync().AskAsync(),
        mustContain: "E(42P05)");

    [Theory, MemberData(nameof(Backends))]
    public async Task A_name_longer_than_one_read_is_understood_in_every_message(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var client = await pooler.LoginAsync(database);
        // PostgreSQL itself takes no Describe or Close this long, but the name is only known to the pooler.
        var name = new string('n', 40_000);

        await client.Parse(name, "SELECT 'long'").Sync().AskAsync();
        Assert.EndsWith("D(long) C(SELECT 1) Z(I)", await client.Describe(name).Bind(name).Execute().Sync().AskAsync());
        Assert.Equal("3 Z(I)", await client.Close(name).Sync().AskAsync());
        Assert.Equal("1 2 D(new) C(SELECT 1) Z(I)", await client.Parse(name, "SELECT 'new'").Bind(name).Execute().Sync().AskAsync());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_have_their_own_names_and_share_what_is_equal(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var first = await pooler.LoginAsync(database);
        using var second = await pooler.LoginAsync(database);
        using var third = await pooler.LoginAsync(database);

        await first.Parse("s", "SELECT 'first'").Sync().AskAsync();
        await second.Parse("s", "SELECT 'second'").Sync().AskAsync();
        await third.Parse("another name", "SELECT 'first'").Sync().AskAsync();

        Assert.Equal("2 D(first) C(SELECT 1) Z(I)", await first.Bind("s").Execute().Sync().AskAsync());
        Assert.Equal("2 D(second) C(SELECT 1) Z(I)", await second.Bind("s").Execute().Sync().AskAsync());
        Assert.Equal("2 D(first) C(SELECT 1) Z(I)", await third.Bind("another name").Execute().Sync().AskAsync());
        Assert.Equal("2", await first.ScalarAsync("SELECT count(*) FROM pg_prepared_statements"));
        await first.Close("s").Sync().AskAsync();
        Assert.Equal("2 D(first) C(SELECT 1) Z(I)", await third.Bind("another name").Execute().Sync().AskAsync());
        Assert.Equal("E(26000) Z(I)", await first.Bind("s").Execute().Sync().AskAsync());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Statements_follow_their_client_to_new_servers(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 3 });
        using var client = await pooler.LoginAsync(database);
        using var holder = await pooler.LoginAsync(database);
        await client.Parse("s", "SELECT pg_backend_pid()").Sync().AskAsync();
        var seen = new HashSet<string>();

        for (var i = 0; i < 3; i++)
        {
            // Somebody holds the server that has it.
            await holder.Query("BEGIN").AskAsync();
            seen.Add(await client.Bind("s").Execute().Sync().AskAsync());
            await holder.Query("COMMIT").AskAsync();
            pooler.Engine.Reconnect(null);
            await Eventually.TrueAsync(() => pooler.Pool(database).ServersIdle == 0, cancellationToken: Cancelled);
        }

        Assert.Equal(3, seen.Count);
        Assert.All(seen, s => Assert.EndsWith("C(SELECT 1) Z(I)", s));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task The_least_recently_used_statement_makes_room(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 1, MaxPreparedStatements = 2 });
        using var client = await pooler.LoginAsync(database);
        var names = new[] { "a", "b", "c", "d" };
        foreach (var name in names) await client.Parse(name, $"SELECT '{name}'").Sync().AskAsync();

        for (var round = 0; round < 3; round++)
        {
            foreach (var name in names)
                Assert.Equal($"2 D({name}) C(SELECT 1) Z(I)", await client.Bind(name).Execute().Sync().AskAsync());
            Assert.Equal("2", await client.ScalarAsync("SELECT count(*) FROM pg_prepared_statements"));
        }
        // All of them in one batch, and with an error in the middle.
        foreach (var name in names) client.Bind(name).Execute();
        var together = await client.Sync().AskAsync();
        client.Bind("a").Execute().Parse("", "SELECT 1/0").Bind("").Execute();
        foreach (var name in names) client.Bind(name).Execute();
        client.Sync();
        foreach (var name in names) client.Bind(name).Execute().Sync();
        await client.SendAsync();
        var failed = RawClient.Transcript(await client.ReadToReadyAsync());
        var after = RawClient.Transcript(await client.ReadToReadyAsync(4));

        Assert.Equal("2 D(a) C(SELECT 1) 2 D(b) C(SELECT 1) 2 D(c) C(SELECT 1) 2 D(d) C(SELECT 1) Z(I)", together);
        Assert.Equal("2 D(a) C(SELECT 1) 1 E(22012) Z(I)", failed);
        Assert.Equal("2 D(a) C(SELECT 1) Z(I) 2 D(b) C(SELECT 1) Z(I) 2 D(c) C(SELECT 1) Z(I) 2 D(d) C(SELECT 1) Z(I)", after);
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Npgsql_prepares_by_itself_and_on_demand(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 3, MaxPreparedStatements = 4 });

        await Task.WhenAll(Enumerable.Range(0, 12).Select(async number =>
        {
            await using var source = NpgsqlDataSource.Create(
                pooler.ConnectionString(database, "Max Auto Prepare=3;Auto Prepare Min Usages=2;Pooling=true;Maximum Pool Size=1"));
            for (var round = 0; round < 15; round++)
            {
                // Opening it again sends Npgsql's reset in front of the first command.
                await using var connection = await source.OpenConnectionAsync(Cancelled);
                for (var query = 0; query < 5; query++)
                {
                    await using var command = new NpgsqlCommand($"SELECT $1 + {query}", connection) { Parameters = { new() { Value = number } } };
                    Assert.Equal(number + query, await command.ExecuteScalarAsync(Cancelled));
                }
                await using var prepared = new NpgsqlCommand("SELECT $1 || 'x'", connection) { Parameters = { new() { Value = $"{number}-" } } };
                await prepared.PrepareAsync(Cancelled);
                Assert.Equal($"{number}-x", await prepared.ExecuteScalarAsync(Cancelled));
                await using var batch = new NpgsqlBatch(connection)
                {
                    BatchCommands = { new("SELECT 1"), new("SELECT 1/0"), new("SELECT 2") },
                };
                var error = await Assert.ThrowsAsync<PostgresException>(() => batch.ExecuteNonQueryAsync(Cancelled));
                Assert.Equal("22012", error.SqlState);
            }
        }));
    }
}
