using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using NpgsqlTypes;
using Xunit;

namespace Pooler.IntegrationTests.Console;

/// <summary>The console as drivers see it: both protocols, text and binary.</summary>
public sealed class ProtocolTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    [Theory]
    [InlineData("Pooling=true")]
    [InlineData("Pooling=true;Server Compatibility Mode=NoTypeLoading")]
    [InlineData("Pooling=true;Max Auto Prepare=10;Auto Prepare Min Usages=1")]
    public async Task Npgsql_opens_asks_and_reuses(string more)
    {
        await using var pooler = Start();
        var database = await NewDatabaseAsync();
        await using var client = await pooler.ConnectAsync(database);
        await using var source = NpgsqlDataSource.Create(pooler.ConnectionString("pgbouncer", more));
        for (var use = 0; use < 3; use++)
        {
            await using var connection = await source.OpenConnectionAsync(Cancelled);
            Assert.Equal(1L, await ScalarAsync(connection, $"SELECT count(*) FROM SHOW POOLS WHERE database = '{database}'"));
            Assert.Equal(1, await ScalarAsync(connection, "SELECT 1"));
            await using var command = new NpgsqlCommand("SHOW STATS", connection);
            await using var reader = await command.ExecuteReaderAsync(Cancelled);
            Assert.True(await reader.ReadAsync(Cancelled));
            Assert.IsType<string>(reader.GetValue(0));
            Assert.IsType<decimal>(reader.GetValue(1));
        }
    }

    [Fact]
    public async Task Npgsql_passes_parameters_prepares_and_gets_errors_with_positions()
    {
        await using var pooler = Start();
        await using var connection = await pooler.ConnectAsync("pgbouncer");
        await using var command = new NpgsqlCommand("SELECT name, pool_size FROM SHOW DATABASES WHERE pool_size < $1 AND name = $2 AND $3", connection)
        {
            Parameters =
            {
                new() { Value = 3, NpgsqlDbType = NpgsqlDbType.Integer },
                new() { Value = "pgbouncer" },
                new() { Value = true },
            },
        };
        await command.PrepareAsync(Cancelled);
        for (var i = 0; i < 3; i++)
        {
            await using var reader = await command.ExecuteReaderAsync(Cancelled);
            Assert.True(await reader.ReadAsync(Cancelled));
            Assert.Equal(("pgbouncer", 2), (reader.GetString(0), reader.GetInt32(1)));
            Assert.False(await reader.ReadAsync(Cancelled));
        }
        await command.UnprepareAsync(Cancelled);

        await ExecuteAsync(connection, "PAUSE");
        var error = await Assert.ThrowsAsync<PostgresException>(() => ScalarAsync(connection, "SELECT nosuch FROM SHOW POOLS"));
        Assert.Equal(("42703", 8), (error.SqlState, error.Position));
        await ExecuteAsync(connection, "RESUME");
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Portals_suspend_at_the_row_limit_and_go_on(Variant variant)
    {
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("1 2 D(active) s D(paused) s D(suspended) C(SELECT 1) Z(I)", await console
            .Parse("", "SELECT key FROM SHOW STATE ORDER BY key").BindPortal("p", "")
            .Execute("p", 1).Execute("p", 1).Execute("p", 5).Sync().AskAsync());
        // Sync ends the implicit transaction, and the portal with it.
        Assert.Equal("E(34000) Z(I)", await console.Execute("p").Sync().AskAsync());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Statements_keep_their_names_until_closed(Variant variant)
    {
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("1 t T Z(I)", await console.Parse("s", "SHOW VERSION").Describe("s").Sync().AskAsync());
        Assert.Equal("E(42P05) Z(I)", await console.Parse("s", "SHOW VERSION").Sync().AskAsync());
        Assert.StartsWith("2 T D(PgBouncer ", await console.Bind("s").DescribePortal().Execute().Sync().AskAsync());
        Assert.Equal("3 Z(I)", await console.Close("s").Sync().AskAsync());
        Assert.Equal("E(26000) Z(I)", await console.Bind("s").Execute().Sync().AskAsync());
        Assert.Equal("1 2 t n Z(I)", await console.Parse("c", "RECONNECT").Bind("c").Describe("c").Sync().AskAsync());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task After_an_error_everything_up_to_sync_is_skipped(Variant variant)
    {
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        Assert.Equal("E(08P01) Z(I) 1 2 C(RECONNECT) Z(I)", await console
            .Parse("", "NONSENSE").Bind("").Execute().Query("SHOW POOLS").Sync()
            .Parse("", "RECONNECT").Bind("").Execute().Sync().AskAsync(2));
        Assert.Equal("1 2 I Z(I)", await console.Parse("", "").Bind("").Execute().Sync().AskAsync());
        Assert.Equal("E(0A000) Z(I)", await console.FunctionCall(1).AskAsync());
        Assert.Equal("1 E(08P01) Z(I)", await console.Parse("", "SELECT $1").Bind("").Execute().Sync().AskAsync());
        Assert.Equal("I Z(I)", await console.Query(" ; ").AskAsync());
        Assert.Equal("E(42601) Z(I)", await console.Parse("", "SELECT 1; SELECT 2").Sync().AskAsync());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Requests_sent_ahead_are_answered_in_order(Variant variant)
    {
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        for (var i = 0; i < 50; i++) console.Query("SHOW STATE").Query("SELECT 1");
        await console.SendAsync();
        Assert.Equal(
            string.Join(' ', Enumerable.Repeat("T D(active|yes) D(paused|no) D(suspended|no) C(SHOW) Z(I) T D(1) C(SELECT 1) Z(I)", 50)),
            RawClient.Transcript(await console.ReadToReadyAsync(100)));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task More_answers_than_fit_into_the_socket_all_arrive(Variant variant)
    {
        await using var pooler = Start(variant);
        using var console = await ConsoleAsync(pooler);
        for (var i = 0; i < 400; i++) console.Query("SHOW CONFIG");
        // All is asked for before anything is read: some 4 MB.
        await console.SendAsync();
        var answers = await console.ReadToReadyAsync(400);
        Assert.Equal(400, answers.Count(m => m.Type == 'Z'));
        Assert.Equal(0, answers.Count(m => m.Type == 'D') % 400);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Malformed_messages_end_their_connection_and_nothing_else(Variant variant)
    {
        await using var pooler = Start(variant);
        byte[][] malformed =
        [
            [(byte)'Q', 0, 0, 0, 3],
            [(byte)'Q', 0x7f, 0xff, 0xff, 0xff],
            [(byte)'Q', 0, 0, 0, 6, (byte)'a', (byte)'b'],
            [(byte)'!', 0, 0, 0, 4],
            [0, 0, 0, 8, 0, 3, 0, 0, 0],
        ];
        foreach (var bytes in malformed)
        {
            using var console = await ConsoleAsync(pooler);
            await console.Bytes(bytes).SendAsync();
            Assert.Equal("08P01", Assert.Single(await console.ReadToEndAsync(), m => m.Type == 'E').Field('C'));
        }
        using var next = await ConsoleAsync(pooler);
        // The frame is intact, so an error will do.
        Assert.Equal("E(26000) Z(I)", await next.Bytes((byte)'B', 0, 0, 0, 6, 0, 0).Sync().AskAsync());
        Assert.Equal("E(08P01) Z(I)", await next.Bytes((byte)'P', 0, 0, 0, 5, 1).Sync().AskAsync());
        Assert.Equal("1", await next.ScalarAsync("SELECT count(*) FROM SHOW CLIENTS WHERE database = 'pgbouncer'"));
    }

    [Fact]
    public async Task The_login_reports_what_pgbouncer_reports()
    {
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler, ("application_name", "it's me"));
        Assert.Equal(
            "DateStyle=ISO TimeZone=GMT client_encoding=UTF8 is_superuser=on server_encoding=UTF8 server_version=1.26.1/bouncer "
            + "standard_conforming_strings=on",
            string.Join(' ', console.Parameters.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{p.Key}={p.Value}")));
        Assert.Equal("1", await console.ScalarAsync(
            "SELECT count(*) FROM SHOW CLIENTS WHERE application_name = 'it''s me' AND database = 'pgbouncer' AND type = 'C' AND state = 'idle'"));
    }

    [Fact]
    public async Task Psycopg2_works_with_its_implicit_transactions()
    {
        await using var pooler = Start();
        var python = new Command(await Tools.PythonWithPsycopg2Async(cancellationToken: Cancelled), "-c", """
            import psycopg2
            connection = psycopg2.connect("")
            cursor = connection.cursor()
            cursor.execute("SHOW POOLS")
            print(cursor.description[0].name, cursor.fetchone()[0])
            connection.commit()
            cursor.execute("SELECT count(*) FROM SHOW CLIENTS WHERE database = %s", ("pgbouncer",))
            print(cursor.fetchone()[0])
            connection.rollback()
            """);
        foreach (var (name, value) in pooler.Environment("pgbouncer")) python.Environment[name] = value;
        Assert.Equal(["database pgbouncer", "1"], (await python.RunCheckedAsync(Cancelled)).Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task The_figures_are_those_of_the_clients_and_servers()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var busy = await pooler.LoginAsync(database);
        using var idle = await pooler.LoginAsync(database);
        await busy.Query("BEGIN").AskAsync();
        await idle.Parse("named", "SELECT 1").Sync().AskAsync();

        Assert.Equal($"T D({database}|2|1|transaction) C(SELECT 1) Z(I)", await console.Query(
            $"SELECT database, cl_active, sv_active, pool_mode FROM SHOW POOLS WHERE database = '{database}'").AskAsync());
        Assert.Equal("T D(active|1) D(idle|1) C(SELECT 2) Z(I)", await console.Query(
            $"SELECT state, count(*) FROM SHOW CLIENTS WHERE database = '{database}' GROUP BY state ORDER BY 1").AskAsync());
        var link = await console.ScalarAsync($"SELECT link FROM SHOW CLIENTS WHERE database = '{database}' AND state = 'active'");
        Assert.Equal("1", await console.ScalarAsync($"SELECT count(*) FROM SHOW SERVERS WHERE ptr = '{link}' AND state = 'active'"));
        Assert.Equal("2", await console.ScalarAsync($"SELECT total_client_login_count FROM SHOW STATS WHERE database = '{database}'"));
        Assert.Equal("1", await console.ScalarAsync(
            $"SELECT prepared_statements FROM SHOW CLIENTS WHERE database = '{database}' AND state = 'idle'"));
        await busy.Query("COMMIT").AskAsync();
        Assert.Equal("0", await console.ScalarAsync($"SELECT sv_active FROM SHOW POOLS WHERE database = '{database}'"));
    }
}
