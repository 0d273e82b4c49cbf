using Npgsql;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>Session parameters belong to the client, whatever server works for it.</summary>
public sealed class ParameterTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static readonly (string Name, string Value)[] Startup =
    [
        ("application_name", "the client's"), ("TimeZone", "Asia/Tokyo"), ("DateStyle", "German"), ("IntervalStyle", "iso_8601"),
        ("client_encoding", "LATIN1"), ("extra_float_digits", "-3"), ("search_path", "pg_temp, \"odd 'name\""),
        ("statement_timeout", "12345"), ("options", "-c lock_timeout=54321 --geqo=off"),
    ];

    private static readonly string Show =
        "SELECT concat_ws('|', " + string.Join(", ", new[]
        {
            "application_name", "TimeZone", "DateStyle", "IntervalStyle", "client_encoding", "extra_float_digits",
            "search_path", "statement_timeout", "lock_timeout", "geqo",
        }.Select(name => $"current_setting('{name}')")) + ")";

    private const string Wanted =
        "the client's|Asia/Tokyo|German, DMY|iso_8601|LATIN1|-3|pg_temp, \"odd 'name\"|12345ms|54321ms|off";

    [Theory, MemberData(nameof(Backends))]
    public async Task What_a_client_sets_follows_it_and_does_not_leak(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 2 });
        using var setting = await pooler.LoginAsync(database);
        using var plain = await pooler.LoginAsync(database);
        using var holder = await pooler.LoginAsync(database);
        var before = await plain.ScalarAsync("SHOW TimeZone");

        await setting.ScalarAsync("SET TimeZone TO 'Pacific/Chatham'");
        Assert.Equal("Pacific/Chatham", setting.Parameters["TimeZone"]);
        for (var i = 0; i < 3; i++)
        {
            // Whichever server comes first is held in every other round, so both are met.
            if (i % 2 == 0) await holder.Query("BEGIN").AskAsync();
            Assert.Equal("Pacific/Chatham", await setting.ScalarAsync("SHOW TimeZone"));
            Assert.Equal(before, await plain.ScalarAsync("SHOW TimeZone"));
            Assert.Equal("Pacific/Chatham", await setting.ScalarAsync("SHOW TimeZone"));
            if (i % 2 == 0) await holder.Query("COMMIT").AskAsync();
        }

        Assert.Equal(before, plain.Parameters["TimeZone"]);
        Assert.Equal("Pacific/Chatham", setting.Parameters["TimeZone"]);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_setting_that_is_rolled_back_is_rolled_back_everywhere(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var client = await pooler.LoginAsync(database, ("TimeZone", "Asia/Tokyo"));

        await client.Query("BEGIN").Query("SET TimeZone TO 'Europe/Rome'").AskAsync(2);
        Assert.Equal("Europe/Rome", await client.ScalarAsync("SHOW TimeZone"));
        await client.Query("ROLLBACK").AskAsync();

        Assert.Equal("Asia/Tokyo", await client.ScalarAsync("SHOW TimeZone"));
        Assert.Equal("Asia/Tokyo", client.Parameters["TimeZone"]);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Startup_parameters_hold_on_every_server_and_for_their_client_only(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var plain = await pooler.LoginAsync(database);
        var defaults = await plain.ScalarAsync(Show);
        using var client = await pooler.LoginAsync(database, Startup);
        using var second = await pooler.LoginAsync(database, Startup);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(Wanted, await client.ScalarAsync(Show));
            Assert.Equal(Wanted, await second.ScalarAsync(Show));
            Assert.Equal(defaults, await plain.ScalarAsync(Show));
            if (i == 1) pooler.Engine.Reconnect(null);
        }
        Assert.StartsWith("pooler|", defaults);
        Assert.Equal("LATIN1", client.Parameters["client_encoding"]);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_reset_goes_back_to_what_the_client_asked_for_at_its_start(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var client = await pooler.LoginAsync(database, Startup);
        using var second = await pooler.LoginAsync(database, Startup);
        using var plain = await pooler.LoginAsync(database);
        var defaults = await plain.ScalarAsync(Show);

        foreach (var reset in new[] { "DISCARD ALL", "RESET ALL", "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL" })
        {
            await client.ScalarAsync("SET TimeZone TO 'Europe/Rome'");
            // In one go, as Npgsql puts its reset in front of the first command.
            await client.Query(reset).Query(Show).SendAsync();
            await client.ReadToReadyAsync();
            Assert.Equal(Wanted, Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'D').Cells()[0]);
            Assert.Equal("Asia/Tokyo", client.Parameters["TimeZone"]);
            Assert.Equal(defaults, await plain.ScalarAsync(Show));
            Assert.Equal(Wanted, await second.ScalarAsync(Show));
            await plain.ScalarAsync(reset);
            Assert.Equal(Wanted, await client.ScalarAsync(Show));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Session_mode_resets_a_server_and_sets_the_next_clients_parameters(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 1, PoolMode = PoolMode.Session });

        for (var i = 0; i < 3; i++)
        {
            using (var client = await pooler.LoginAsync(database, Startup))
            {
                Assert.Equal(Wanted, await client.ScalarAsync(Show));
                await client.ScalarAsync("CREATE TEMP TABLE mine (a int); SET work_mem TO '1MB'");
                await client.Parse("s", "SELECT 1").Sync().AskAsync();
                Assert.Equal("1MB", await client.ScalarAsync("SHOW work_mem"));
            }
            using var next = await pooler.LoginAsync(database);
            Assert.Equal("4MB", await next.ScalarAsync("SHOW work_mem"));
            Assert.Equal("0", await next.ScalarAsync("SELECT count(*) FROM pg_prepared_statements"));
            Assert.Equal("0", await next.ScalarAsync("SELECT count(*) FROM pg_class WHERE relname = 'mine'"));
            Assert.StartsWith("pooler|", await next.ScalarAsync(Show));
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_startup_parameter_that_PostgreSQL_refuses_is_an_error_for_its_client_only(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var wrong = await pooler.LoginAsync(database, ("TimeZone", "Nowhere/Land"));
        using var client = await pooler.LoginAsync(database);

        await wrong.Query("SELECT 1").SendAsync();

        Assert.Equal("22023", Assert.Single(await wrong.ReadToEndAsync()).Field('C'));
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_that_differ_in_parameters_leave_their_servers_open(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var witness = await pooler.LoginAsync(database);
        var backend = await witness.ScalarAsync("SELECT pg_backend_pid()");

        for (var i = 0; i < 5; i++)
        {
            using var client = await pooler.LoginAsync(database, ("application_name", $"client {i}"));
            if (i % 2 == 0) await client.Bytes((byte)'Q', 0, 0).SendAsync();
            else await client.Terminate().SendAsync();
            if (i % 2 == 0) client.HalfClose();
            await client.ReadToEndAsync();
        }

        Assert.Equal(backend, await witness.ScalarAsync("SELECT pg_backend_pid()"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Npgsqls_pool_gets_its_parameters_after_its_own_reset(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 2 });
        await using var source = NpgsqlDataSource.Create(pooler.ConnectionString(
            database, "Pooling=true;Maximum Pool Size=1;Timezone=Asia/Tokyo;Search Path=pg_temp;Application Name=shop;Max Auto Prepare=5;Auto Prepare Min Usages=1"));

        for (var i = 0; i < 5; i++)
        {
            await using var connection = await source.OpenConnectionAsync(Cancelled);
            Assert.Equal("Asia/Tokyo|pg_temp|shop", await ScalarAsync(
                connection, "SELECT concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name'))"));
            await ExecuteAsync(connection, "SET TimeZone TO 'Europe/Rome'");
        }
    }
}
