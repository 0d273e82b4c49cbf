using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Telemetry;

/// <summary>Which client holds which server, since when, why, and what it asked.</summary>
public sealed class HeldServerTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static HeldServer Only(RunningPooler pooler) => Assert.Single(pooler.Engine.HeldServers());

    [Theory, MemberData(nameof(Backends))]
    public async Task A_running_query_is_active_with_its_text_and_an_open_transaction_idle(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { AdminUsers = PostgresForPooler.Trusted });
        Assert.Empty(pooler.Engine.HeldServers());
        using var client = await pooler.LoginAsync(database, ("application_name", "shop"));
        Assert.Empty(pooler.Engine.HeldServers());

        await client.Query("BEGIN").AskAsync();
        await client.Query("SELECT pg_sleep(1000), 'secret' /* note */").SendAsync();
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [{ State: "active", Query: "SELECT pg_sleep(?), ?" }], cancellationToken: Cancelled);
        var held = Only(pooler);
        Assert.Equal((database, PostgresForPooler.Trusted, PostgresForPooler.Trusted, "shop"), (held.Database, held.User, held.ClientUser, held.ApplicationName));
        Assert.Equal(client.Cancellation.ProcessId > 0, held.BackendProcess > 0);
        Assert.StartsWith("127.0.0.1:", held.ClientAddress);
        Assert.StartsWith("0xc", held.Client);
        Assert.StartsWith("0x5", held.Server);
        Assert.Null(held.Pin);
        Assert.True(held.HeldFor >= held.StateFor);

        using var console = await pooler.LoginAsync("pgbouncer");
        Assert.Equal(
            $"{held.Client} {held.BackendProcess} active SELECT pg_sleep(?), ?",
            await console.ScalarAsync("SELECT client || ' ' || remote_pid || ' ' || state || ' ' || query FROM SHOW HELD_SERVERS WHERE held_us >= state_us AND pin IS NULL"));

        await client.CancelAsync(pooler.EndPoint);
        await client.ReadToReadyAsync();
        Assert.Equal("idle in transaction", Only(pooler).State);
        await client.Query("ROLLBACK").AskAsync();
        Assert.Empty(pooler.Engine.HeldServers());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Of_a_prepared_statement_the_text_is_shown_however_it_is_named(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        await client.Parse("mine", "SELECT pg_sleep($1::float8), 'x'").Parse("other", "SELECT 2").Sync().AskAsync();

        await client.Bind("mine", "1000").Execute().Sync().SendAsync();
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [{ State: "active", Query: "SELECT pg_sleep($1::float8), ?" }], cancellationToken: Cancelled);
        await client.CancelAsync(pooler.EndPoint);
        await client.ReadToReadyAsync();

        await client.Parse("", "SELECT pg_sleep(1000.5)").Bind("").Execute().Sync().SendAsync();
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [{ State: "active", Query: "SELECT pg_sleep(?)" }], cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task In_session_mode_the_session_is_the_pin_and_statements_are_known_by_name(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { PoolMode = PoolMode.Session });
        using var client = await pooler.LoginAsync(database);
        await client.Parse("one", "SELECT 1, 'a'").Bind("one").Execute().Sync().AskAsync();
        var held = Only(pooler);
        Assert.Equal(("idle", PinReasons.SessionMode, "SELECT ?, ?"), (held.State, held.Pin, held.Query));

        await client.Query("SELECT 'b'").AskAsync();
        Assert.Equal("SELECT ?", Only(pooler).Query);
        await client.Bind("one").Execute().Sync().AskAsync();
        Assert.Equal("(prepared statement one)", Only(pooler).Query);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_leaves_its_batch_open_or_feeds_a_COPY_or_stops_in_a_message_is_told_of(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        await Postgres.Server.ExecuteAsync("CREATE TABLE t (a int)", database, cancellationToken: Cancelled);
        using var batch = await pooler.LoginAsync(database);
        using var copy = await pooler.LoginAsync(database);
        using var half = await pooler.LoginAsync(database);

        await batch.Parse("", "SELECT 1").Bind("").Execute().Flush().SendAsync();
        await batch.ReadToAsync('C');
        await copy.Query("COPY t FROM STDIN").SendAsync();
        await copy.ReadToAsync('G');
        var query = new byte[1000];
        (query[0], query[3], query[4]) = ((byte)'Q', 3, 231);
        query.AsSpan(5).Fill((byte)' ');
        "SELECT a_long_text"u8.CopyTo(query.AsSpan(5));
        await half.SendAsync(query[..400]);

        await Eventually.TrueAsync(() => pooler.Engine.HeldServers().Count == 3, cancellationToken: Cancelled);
        var pins = pooler.Engine.HeldServers().Select(h => (h.Pin, h.Query)).ToHashSet();
        Assert.Equal(
            new HashSet<(string?, string)>
            {
                (PinReasons.OpenBatch, "SELECT ?"), (PinReasons.Copy, "COPY t FROM STDIN"), (PinReasons.UnfinishedMessage, "SELECT a_long_text…"),
            },
            pins);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_text_that_comes_in_pieces_is_put_together_and_a_long_one_is_cut(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var text = "SELECT pg_sleep(1000)" + string.Concat(Enumerable.Range(0, 300).Select(i => $", column_{i}_of_many"));
        var message = client.Query("/* " + new string('x', 400) + " */ SELECT pg_sleep(1000), 'the end'").TakeGathered();
        await client.SendAsync(message[..350]);
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [{ Query: "…" }], cancellationToken: Cancelled);
        await client.SendAsync(message[350..]);
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [{ Query: "SELECT pg_sleep(?), ?" }], cancellationToken: Cancelled);
        await client.CancelAsync(pooler.EndPoint);
        await client.ReadToReadyAsync();

        await client.Query("SELECT pg_sleep(1000) AS a" + text).SendAsync();
        await client.ReadToReadyAsync();
        await client.Query("BEGIN").Query(text.Replace("column_", "1 AS column_", StringComparison.Ordinal)).SendAsync();
        await Eventually.TrueAsync(() => pooler.Engine.HeldServers() is [var h] && h.Query.EndsWith('…') && h.Query.Length < 1030, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task With_log_query_parameters_literals_and_bound_values_are_shown(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { LogQueryParameters = true });
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();
        await client.Query("SELECT 'as it is'").AskAsync();
        Assert.Equal("SELECT 'as it is'", Only(pooler).Query);
        await client.Parse("s", "SELECT $1, $2::int").Bind("s", "it's", null).Execute().Sync().AskAsync();
        Assert.Equal("SELECT $1, $2::int [$1 = 'it''s', $2 = NULL]", Only(pooler).Query);
        Assert.Equal("SELECT $1, $2::int", Assert.Single(pooler.Engine.HeldServers(mayShowValues: false)).Query);
        pooler.Reload(c => c with { Settings = c.Settings with { LogQueryParameters = false } });
        Assert.Equal("SELECT $1, $2::int", Only(pooler).Query);
    }
}
