using System.Net;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Tracing;

/// <summary>pooler.traceparent marks what a session does, without a change to its texts, and no server sees it.</summary>
public sealed class SettingTests(PostgresForPooler postgres) : PoolerTest(postgres), IDisposable
{
    private readonly RecordedSpans _spans = new();

    public void Dispose() => _spans.Dispose();

    [Theory, MemberData(nameof(Backends))]
    public async Task A_session_is_marked_from_SET_to_RESET(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (first, second) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());

        Assert.Equal("", await client.ScalarAsync("SHOW pooler.traceparent"));
        Assert.Equal("C(SET) Z(I)", await client.Query($"SET pooler.traceparent = '{first.Value}'").AskAsync());
        Assert.Equal(first.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
        await client.ScalarAsync("SELECT 1");
        await client.Parse("", "SELECT 2").Bind("").Execute().Sync().AskAsync();
        await client.ScalarAsync("SELECT 3 " + second.Comment);
        Assert.Equal("C(RESET) Z(I)", await client.Query("RESET pooler.traceparent").AskAsync());
        await client.ScalarAsync("SELECT 4");

        Assert.Equal("query(client) query(client)", await _spans.TreeAsync(first, 2));
        Assert.Equal("query(client)", await _spans.TreeAsync(second, 1));
        Assert.Equal("1", await client.ScalarAsync("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"));
        Assert.Equal("", await client.ScalarAsync("SELECT coalesce(current_setting('pooler.traceparent', true), '')"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_lone_SET_needs_no_server_and_waits_for_none(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var holder = await pooler.LoginAsync(database);
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        await holder.Query("BEGIN").AskAsync();

        Assert.Equal("C(SET) Z(I)", await client.Query($"SET pooler.traceparent TO '{mark.Value}';").AskAsync());
        Assert.Equal("T D(" + Shown(mark) + ") C(SHOW) Z(I)", await client.Query("SHOW pooler.traceparent").AskAsync());
        Assert.Equal("1 2 n C(SET) Z(I)", await client.Parse("", $"SET pooler.traceparent TO '{mark.Value}'").Bind("").DescribePortal().Execute().Sync().AskAsync());
        Assert.Equal("1 t T 2 D(" + Shown(mark) + ") C(SHOW) Z(I)", await client.Parse("", "SHOW pooler.traceparent").Describe("").Bind("").Execute().Sync().AskAsync());
        Assert.Equal("E(22023) Z(I)", await client.Query("SET pooler.traceparent TO 'x'").AskAsync());
        Assert.Equal("1 2 n E(22023) Z(I)", await client.Parse("", "SET pooler.traceparent TO 'x'").Bind("").DescribePortal().Execute().Sync().AskAsync());
        // Together with something else it waits.
        await client.Query($"RESET pooler.traceparent").Query($"SET pooler.traceparent = '{mark.Value}'").Query("SELECT 1").SendAsync();
        Assert.Equal("C(RESET) Z(I) C(SET) Z(I)", RawClient.Transcript(await client.ReadToReadyAsync(2)));
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 1, cancellationToken: Cancelled);
        await holder.Query("COMMIT").AskAsync();
        await client.ReadToReadyAsync();

        Assert.Equal("pool wait(client) query(client)", await _spans.TreeAsync(mark, 2));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_login_may_bring_its_trace_which_a_reset_goes_back_to(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var (mark, other) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());
        foreach (var parameter in new[] { ("pooler.traceparent", mark.Value), ("options", "-c pooler.traceparent=" + mark.Value) })
        {
            using var client = await pooler.LoginAsync(database, parameter);
            foreach (var reset in new[] { "RESET pooler.traceparent", "SET pooler.traceparent TO DEFAULT", "RESET ALL", "DISCARD ALL" })
            {
                await client.Query($"SET pooler.traceparent = '{other.Value}'").Query(reset).AskAsync(2);
                Assert.Equal(mark.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
                await client.Query($"SET pooler.traceparent = '{other.Value}'").AskAsync();
                Assert.Equal("", (await client.Parse("", reset).Bind("").Execute().Sync().AskAsync()).Replace("1 2 C(RESET) Z(I)", "").Replace("1 2 C(SET) Z(I)", "").Replace("1 2 C(DISCARD ALL) Z(I)", ""));
                Assert.Equal(mark.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
            }
            Assert.Equal("", await client.ScalarAsync("SELECT coalesce(current_setting('pooler.traceparent', true), '')"));
        }

        Assert.Contains(_spans.Of(mark), s => s.OperationName == "query");
        Assert.Contains(_spans.Of(mark), s => s.OperationName == "server connect");
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_login_with_a_malformed_trace_is_warned_and_let_in(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);

        await client.Startup(database, PostgresForPooler.Trusted, ("pooler.traceparent", "nonsense")).SendAsync();
        var answer = await client.ReadToReadyAsync();

        Assert.Equal("22023", Assert.Single(answer, m => m.Type == 'N').Field('C'));
        Assert.Equal("", await client.ScalarAsync("SHOW pooler.traceparent"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task It_ends_with_the_transaction_as_PostgreSQLs_own_parameters_do(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (session, transaction) = (RecordedSpans.NewMark().Value, RecordedSpans.NewMark().Value);
        Task<string?> Show() => client.ScalarAsync("SHOW pooler.traceparent");
        async Task Ask(params string[] queries)
        {
            foreach (var query in queries) await client.Query(query).AskAsync();
        }
        await Ask($"SET pooler.traceparent = '{session}'");

        await Ask("BEGIN", $"SET LOCAL pooler.traceparent = '{transaction}'");
        Assert.Equal(transaction, await Show());
        await Ask("COMMIT");
        Assert.Equal(session, await Show());

        await Ask("BEGIN", $"SET pooler.traceparent = '{transaction}'");
        Assert.Equal(transaction, await Show());
        await Ask("ROLLBACK");
        Assert.Equal(session, await Show());

        await Ask("BEGIN", $"SET pooler.traceparent = '{transaction}'", "SELECT 1/0", "COMMIT");
        Assert.Equal(session, await Show());

        // A batch is a transaction of its own.
        await client.Parse("", $"SET pooler.traceparent = '{transaction}'").Bind("").Execute().Parse("", "SELECT 1/0").Bind("").Execute().Sync().AskAsync();
        Assert.Equal(session, await Show());
        await client.Query($"SET pooler.traceparent = '{transaction}'; SELECT 1/0").AskAsync();
        Assert.Equal(session, await Show());
        await client.Query($"SET LOCAL pooler.traceparent = '{transaction}'; SELECT 1").AskAsync();
        Assert.Equal(session, await Show());

        await Ask("BEGIN", $"SET pooler.traceparent = '{transaction}'", "COMMIT");
        Assert.Equal(transaction, await Show());
        await Ask("BEGIN", "RESET ALL", "ROLLBACK");
        Assert.Equal(transaction, await Show());
        await Ask("BEGIN", "RESET ALL", "COMMIT");
        Assert.Equal("", await Show());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task What_one_batch_sets_marks_its_other_statements_and_those_that_follow(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var (first, second) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());

        client.Parse("", $"SET pooler.traceparent = '{first.Value}'").Bind("").Execute().Parse("", "SELECT 1").Bind("").Execute().Sync();
        client.Parse("", "SELECT 2").Bind("").Execute().Sync();
        client.Query($"SET pooler.traceparent = '{second.Value}'; SELECT 3");
        client.Query($"SELECT 4");
        client.Query($"RESET pooler.traceparent");
        client.Query($"SELECT 5");
        Assert.Equal(
            "1 2 C(SET) 1 2 D(1) C(SELECT 1) Z(I) 1 2 D(2) C(SELECT 1) Z(I) C(SET) T D(3) C(SELECT 1) Z(I) T D(4) C(SELECT 1) Z(I) C(RESET) Z(I) T D(5) C(SELECT 1) Z(I)",
            await client.AskAsync(6));

        Assert.Equal("query(client) query(client)", await _spans.TreeAsync(first, 2));
        Assert.Equal("query(client) query(client)", await _spans.TreeAsync(second, 2));
        // What is there for the pooler's sake only is not told.
        Assert.All(_spans.Of(first).Concat(_spans.Of(second)), s => Assert.Equal("SELECT", s.GetTagItem("db.operation.name")));
        Assert.Equal("0", await client.ScalarAsync("SELECT count(*) FROM pg_settings WHERE setting LIKE '00-%'"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Prepared_statements_stay_shared_between_clients_of_different_traces(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        var marks = new[] { RecordedSpans.NewMark(), RecordedSpans.NewMark(), RecordedSpans.NewMark() };

        foreach (var mark in marks)
        {
            await using var connection = await pooler.ConnectAsync(database, "Max Auto Prepare=5;Auto Prepare Min Usages=1");
            await using var batch = new NpgsqlBatch(connection)
            {
                BatchCommands =
                {
                    new($"SET pooler.traceparent = '{mark.Value}'"),
                    new("SELECT $1 + 1") { Parameters = { new() { Value = 41 } } },
                },
            };
            await using (var reader = await batch.ExecuteReaderAsync(Cancelled))
            {
                Assert.True(await reader.ReadAsync(Cancelled));
                Assert.Equal(42, reader.GetInt32(0));
            }
            await using var command = new NpgsqlCommand($"SET pooler.traceparent = '{mark.Value}'; SELECT @value + 1", connection) { Parameters = { new("value", 1) } };
            Assert.Equal(2, await command.ExecuteScalarAsync(Cancelled));
            await ExecuteAsync(connection, "SET pooler.traceparent TO DEFAULT");
        }
        using var client = await pooler.LoginAsync(database);

        foreach (var mark in marks) Assert.Equal("query(client) query(client)", (await _spans.TreeAsync(mark, 2)).Replace("server connect(client) ", "").Replace("pool wait(client) ", ""));
        Assert.Equal("1", await client.ScalarAsync("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%+ 1%'"));
        Assert.Equal("0", await client.ScalarAsync("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%00-%'"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Prepared_SETs_take_effect_when_they_are_executed(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();

        Assert.Equal("1 Z(I)", await client.Parse("on", $"SET pooler.traceparent = '{mark.Value}'").Sync().AskAsync());
        Assert.Equal("1 Z(I)", await client.Parse("off", "RESET pooler.traceparent").Sync().AskAsync());
        Assert.Equal("", await client.ScalarAsync("SHOW pooler.traceparent"));
        Assert.Equal("2 C(SET) Z(I)", await client.Bind("on").Execute().Sync().AskAsync());
        Assert.Equal(mark.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
        Assert.Equal("2 C(RESET) Z(I)", await client.BindPortal("p", "off").Execute("p").Sync().AskAsync());
        Assert.Equal("", await client.ScalarAsync("SHOW pooler.traceparent"));
        Assert.Equal("3 Z(I)", await client.Close("on").Sync().AskAsync());
        Assert.Equal("1 2 D(1) C(SELECT 1) Z(I)", await client.Parse("on", "SELECT 1").Bind("on").Execute().Sync().AskAsync());
        Assert.Equal("", await client.ScalarAsync("SHOW pooler.traceparent"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_malformed_value_is_an_error_wherever_it_comes(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        const string Malformed = "SET pooler.traceparent = 'nonsense'";

        async Task<string> AskAsync(int readies = 1)
        {
            await client.SendAsync();
            var answers = await client.ReadToReadyAsync(readies);
            Assert.All(answers.Where(a => a.Type == 'E'), e =>
            {
                Assert.Equal("22023", e.Field('C'));
                Assert.Equal("invalid value for parameter \"pooler.traceparent\": \"nonsense\"", e.Field('M'));
                Assert.StartsWith("A traceparent has the form", e.Field('H'));
            });
            return RawClient.Transcript(answers);
        }

        client.Query(Malformed);
        Assert.Equal("E(22023) Z(I)", await AskAsync());
        client.Query("SELECT 1").Query(Malformed).Query("SELECT 2");
        Assert.Equal("T D(1) C(SELECT 1) Z(I) E(22023) Z(I) T D(2) C(SELECT 1) Z(I)", await AskAsync(3));
        client.Query("BEGIN").Query(Malformed).Query("ROLLBACK");
        Assert.Equal("C(BEGIN) Z(T) E(22023) Z(E) C(ROLLBACK) Z(I)", await AskAsync(3));
        client.Parse("", "SELECT 1").Bind("").Execute().Parse("", Malformed).Bind("").Execute().Parse("", "SELECT 2").Bind("").Execute().Sync();
        Assert.Equal("1 2 D(1) C(SELECT 1) 1 2 E(22023) Z(I)", await AskAsync());
        await client.Query("BEGIN").AskAsync();
        client.Query(Malformed);
        Assert.Equal("E(22023) Z(E)", await AskAsync());
        await client.Query("ROLLBACK").AskAsync();
        // An error of the server's own of the same kind stays its own.
        await client.Query("SET pooler.traceparent = ''; SET geqo = 'x'").SendAsync();
        Assert.Contains("geqo", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('M'));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Answers_come_in_the_order_and_form_of_PostgreSQLs_own(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var value = RecordedSpans.NewMark().Value;
        string[] simple =
        [
            "SELECT 1", "SELECT 1/0", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", $"SET pooler.traceparent = '{value}'",
            $"SET LOCAL pooler.traceparent TO '{value}'", "RESET pooler.traceparent", "SET pooler.traceparent TO DEFAULT", "SHOW pooler.traceparent",
            $"SET pooler.traceparent = '{value}'; SELECT 2", $"SET pooler.traceparent = '{value}'; SELECT 1/0", "SET TimeZone = 'UTC'",
            "SET pooler.traceparent = ''", "SET pooler.traceparent = 'a' 'b'", "SET pooler.traceparent", "RESET ALL", "SELECT 'after'; SHOW geqo",
        ];
        for (var seed = 0; seed < 25; seed++)
        {
            var random = new Random(seed);
            var conversation = new List<(int Kind, string Sql)[]>();
            for (var turn = 0; turn < 8; turn++)
                conversation.Add([.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => (random.Next(6), simple[random.Next(simple.Length)]))]);

            var expected = await HoldAsync(new IPEndPoint(IPAddress.Loopback, Postgres.Server.Port), database, conversation);
            var actual = await HoldAsync(pooler.EndPoint, database, conversation);

            Assert.Equal(expected, actual);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_sends_and_never_reads_is_not_read_for_ever(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        const int Count = 200_000;
        for (var i = 0; i < Count; i++) client.Query("SET pooler.traceparent = ''");
        var sending = client.SendAsync();

        var readies = 0;
        while (readies < Count && await client.ReadAsync() is { } answer)
            if (answer.Type == 'Z') readies++;
        await sending;

        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Session_mode_understands_it_too(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { PoolMode = PoolMode.Session });
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();

        await client.Query("SELECT 1").Query($"SET pooler.traceparent = '{mark.Value}'").Query("SELECT 2").AskAsync(3);
        client.Parse("s", $"SET pooler.traceparent = '{mark.Value}'").Bind("s").Execute().Sync();
        Assert.Equal("1 2 C(SET) Z(I)", await client.AskAsync());

        Assert.Equal("query(client)", await _spans.TreeAsync(mark, 1));
        Assert.Equal(mark.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
        Assert.Equal("", await client.ScalarAsync("SELECT coalesce(current_setting('pooler.traceparent', true), '')"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task The_unnamed_statement_of_a_kept_server_is_the_one_that_was_prepared_last(Variant variant)
    {
        var database = await NewDatabaseAsync();
        foreach (var mode in (PoolMode[])[PoolMode.Session, PoolMode.Transaction])
        {
            await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { PoolMode = mode });
            using var client = await pooler.LoginAsync(database);
            var mark = RecordedSpans.NewMark();
            if (mode == PoolMode.Transaction) await client.Query("BEGIN").AskAsync();
            var status = mode == PoolMode.Transaction ? "Z(T)" : "Z(I)";

            Assert.Equal("1 2 D(1) C(SELECT 1) " + status, await client.Parse("", "SELECT 1").Bind("").Execute().Sync().AskAsync());
            Assert.Equal("1 2 C(SET) " + status, await client.Parse("", $"SET pooler.traceparent = '{mark.Value}'").Bind("").Execute().Sync().AskAsync());
            Assert.Equal("2 C(SET) " + status, await client.Bind("").Execute().Sync().AskAsync());
            Assert.Equal(mark.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Names_of_statements_that_are_gone_are_forgotten(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        foreach (var reset in new[] { "DISCARD ALL", "DEALLOCATE ALL" })
        {
            // More than are followed at once.
            for (var i = 0; i < 1000; i++) client.Parse($"s{i}", "SET pooler.traceparent = ''");
            await client.Sync().AskAsync();
            await client.Query(reset).AskAsync();
            await client.Parse("new", $"SET pooler.traceparent = '{mark.Value}'").Bind("new").Execute().Sync().AskAsync();
            Assert.Equal(mark.Value, await client.ScalarAsync("SHOW pooler.traceparent"));
            await client.Query("DEALLOCATE ALL").Query("RESET pooler.traceparent").AskAsync(2);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task In_the_middle_of_a_COPY_it_is_as_wrong_as_anything_else(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var transcripts = new List<string>();
        foreach (var endPoint in (EndPoint[])[new IPEndPoint(IPAddress.Loopback, Postgres.Server.Port), pooler.EndPoint])
        {
            using var client = await RawClient.LoginAsync(endPoint, database, PostgresForPooler.Trusted);
            await client.Query("CREATE TEMP TABLE t (a int); COPY t FROM STDIN").SendAsync();
            await client.ReadToAsync('G');
            await client.Parse("", "SHOW pooler.traceparent").SendAsync();
            transcripts.Add(RawClient.Transcript(await client.ReadToReadyAsync()));
        }
        Assert.Equal(transcripts[0], transcripts[1]);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task What_is_shown_of_a_session_is_the_trace_of_its_request(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { PoolMode = PoolMode.Session });
        using var client = await pooler.LoginAsync(database);
        var mark = RecordedSpans.NewMark();
        string?[] Shown() => [.. pooler.Engine.HeldServers().Select(h => h.TraceId)];

        await client.Query("SELECT pg_sleep(0.3) " + mark.Comment).SendAsync();
        await Eventually.TrueAsync(() => Shown() is [var id] && id == mark.TraceId.ToString(), cancellationToken: Cancelled);
        await client.ReadToReadyAsync();

        await Eventually.TrueAsync(() => Shown() is [null], cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Psql_may_mark_its_session_by_its_environment_or_by_SET(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var (login, set) = (RecordedSpans.NewMark(), RecordedSpans.NewMark());
        var psql = new Command(await Tools.PsqlAsync(cancellationToken: Cancelled), "-X", "-t", "-A", "-c", "SELECT 1",
            "-c", $"SET pooler.traceparent = '{set.Value}'", "-c", "SELECT 2; SELECT 3", "-c", "SHOW pooler.traceparent");
        foreach (var (name, value) in pooler.Environment(database)) psql.Environment[name] = value;
        psql.Environment["PGOPTIONS"] = "-c pooler.traceparent=" + login.Value;

        var output = await psql.RunCheckedAsync(Cancelled);

        Assert.Equal(["1", "SET", "2", "3", set.Value], output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal("BATCH SELECT", Assert.Single(await _spans.OfAsync(set, 1)).GetTagItem("db.operation.name"));
        Assert.Single(await _spans.OfAsync(login, 1), s => s.OperationName == "query");
    }

    private static string Shown(Mark mark) => $"{mark.Value.Length} characters";

    private static async Task<string> HoldAsync(IPEndPoint endPoint, string database, List<(int Kind, string Sql)[]> conversation)
    {
        using var client = await RawClient.LoginAsync(endPoint, database, PostgresForPooler.Trusted);
        // PostgreSQL knows a parameter of this kind once it has been set.
        await client.Query("SET pooler.traceparent = ''").AskAsync();
        var transcript = "";
        foreach (var turn in conversation)
        {
            var (readies, open) = (0, false);
            foreach (var (kind, sql) in turn)
            {
                // A batch holds one statement per Parse.
                if (kind < 2 || sql.Contains(';'))
                {
                    if (open) client.Sync();
                    readies += open ? 2 : 1;
                    open = false;
                    client.Query(sql);
                    continue;
                }
                // What is asked for in the middle of a batch the server does not know.
                var isAlone = sql.StartsWith("SHOW", StringComparison.Ordinal);
                if (isAlone && open)
                {
                    client.Sync();
                    readies++;
                }
                client.Parse("", sql).Bind("");
                if (kind < 5) client.DescribePortal();
                client.Execute();
                open = true;
                if (kind != 3 && !isAlone) continue;
                client.Sync();
                open = false;
                readies++;
            }
            if (open)
            {
                client.Sync();
                readies++;
            }
            transcript += string.Join(',', turn.Select(t => t.Sql)) + "\n" + await client.AskAsync(readies) + "\n";
        }
        return transcript;
    }
}
