using System.Globalization;
using Npgsql;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>Users whom only the server knows: auth_user asks it with auth_query.</summary>
public sealed class AuthQueryTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const string Password = "geheim, 'wirklich'";
    private static int _roles;

    public static readonly TheoryData<AuthType> WithPassword = [AuthType.Plain, AuthType.Md5, AuthType.ScramSha256];

    [Theory, MemberData(nameof(WithPassword))]
    public async Task Users_whom_only_the_server_knows_log_in_by_the_secrets_it_stores(AuthType type)
    {
        var scram = await NewRoleAsync();
        foreach (var variant in Backends.Select(row => row.Data))
        {
            await using var pooler = Start(variant, s => s with { AuthType = type });
            var users = new List<(string Name, string Password)> { (scram, Password) };
            // An md5 secret cannot serve for SCRAM; what only takes a password in clear text must be told one.
            if (type != AuthType.ScramSha256) users.Add((PostgresForPooler.Md5User, PostgresForPooler.Password));
            if (type == AuthType.Plain) users.Add((PostgresForPooler.PlainUser, PostgresForPooler.Password));
            foreach (var (user, password) in users)
            {
                Assert.Equal((true, user), await Psql.AskAsync(pooler, "postgres", user, password));
                await using (var connection = await ConnectAsync(pooler, user, password))
                    Assert.Equal(user, await ScalarAsync(connection, "SELECT current_user::text"));
                var (let, complaint) = await Psql.AskAsync(pooler, "postgres", user, "wrong");
                Assert.False(let);
                Assert.Matches("(password|SASL) authentication failed", complaint);
            }
        }
    }

    [Fact]
    public async Task A_user_whom_the_server_does_not_know_either_is_told_so()
    {
        var disabled = await NewRoleAsync("NOLOGIN");
        await using var pooler = Start(AnyVariant);

        foreach (var name in new[] { "nobody", disabled })
        {
            var refusal = await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync(pooler, name, Password));
            Assert.Equal(("08P01", "no such user"), (refusal.SqlState, refusal.MessageText));
        }
    }

    [Fact]
    public async Task A_secret_is_asked_for_anew_at_each_login()
    {
        var role = await NewRoleAsync();
        await using var pooler = Start(AnyVariant);
        await AssertLoginAsync(pooler, role, Password);

        await OnServerAsync($"ALTER ROLE {role} PASSWORD 'another'");
        await AssertRefusedAsync("28P01", pooler, role, Password);
        await AssertLoginAsync(pooler, role, "another");
        // New server connections use what that login revealed.
        pooler.Engine.Reconnect(null);
        await AssertLoginAsync(pooler, role, "another");

        await OnServerAsync($"ALTER ROLE {role} VALID UNTIL '1999-01-01'");
        await AssertRefusedAsync("28P01", pooler, role, "another");
        await OnServerAsync($"ALTER ROLE {role} VALID UNTIL 'infinity'");
        await AssertLoginAsync(pooler, role, "another");

        await OnServerAsync($"ALTER ROLE {role} PASSWORD NULL");
        await AssertRefusedAsync("28P01", pooler, role, "another");
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Server_connections_can_be_opened_again_while_the_client_stays(Variant variant)
    {
        var role = await NewRoleAsync();
        await using var pooler = Start(variant);
        await using var connection = await ConnectAsync(pooler, role, Password);
        var first = await ScalarAsync(connection, "SELECT pg_backend_pid()");

        pooler.Engine.Reconnect(null);

        Assert.NotEqual(first, await ScalarAsync(connection, "SELECT pg_backend_pid()"));
    }

    [Fact]
    public async Task A_user_in_auth_file_is_not_asked_for_and_one_with_settings_only_is()
    {
        var (listed, configured) = (await NewRoleAsync(), await NewRoleAsync());
        await using var pooler = Start(AnyVariant, users:
        [
            new UserSettings { Name = listed, Secret = "" },
            new UserSettings { Name = configured, PoolMode = PoolMode.Statement },
        ]);

        await AssertRefusedAsync("28P01", pooler, listed, Password);
        await using var connection = await ConnectAsync(pooler, configured, Password);
        var refusal = await Assert.ThrowsAsync<PostgresException>(() => ExecuteAsync(connection, "BEGIN"));
        Assert.Contains("statement", refusal.MessageText);
    }

    [Fact]
    public async Task Each_database_may_have_its_own_user_query_and_place_to_ask()
    {
        var role = await NewRoleAsync();
        var place = await NewDatabaseAsync();
        await OnServerAsync("CREATE TABLE secrets (name text, secret text)", place);
        await OnServerAsync($"INSERT INTO secrets SELECT rolname, rolpassword FROM pg_authid WHERE rolname = '{role}'", place);
        var configuration = Configuration(AnyVariant, s => s with { AuthUser = null, AuthQuery = "SELECT nonsense" });
        var database = configuration.Databases["*"];
        await using var pooler = RunningPooler.Start(configuration with
        {
            Databases = new Dictionary<string, DatabaseSettings>
            {
                ["place"] = database with { Name = "place", DbName = place },
                ["app"] = database with
                {
                    Name = "app", DbName = "postgres", AuthUser = Postgres.Server.User, AuthDbName = "place",
                    AuthQuery = "SELECT name, secret FROM secrets WHERE name = $1",
                },
                ["other"] = database with { Name = "other", DbName = "postgres" },
            },
        });

        await AssertLoginAsync(pooler, role, Password, "app");
        // Without an auth_user an unknown name fails as a wrong password does.
        await AssertRefusedAsync("28P01", pooler, role, Password, "other");
    }

    [Theory]
    [InlineData("pgbouncer", "cannot use the reserved \"pgbouncer\" database as an auth_dbname")]
    [InlineData("nowhere", "authentication database \"nowhere\" is not configured")]
    public async Task A_place_to_ask_that_does_not_exist_is_the_administrators_to_hear_of(string place, string logged)
    {
        using var log = new RecordingLog();
        var configuration = Configuration(AnyVariant);
        await using var pooler = RunningPooler.Start(configuration with
        {
            Databases = new Dictionary<string, DatabaseSettings>
            {
                ["app"] = configuration.Databases["*"] with { Name = "app", DbName = "postgres", AuthDbName = place },
            },
        }, log);

        await AssertRefusedAsync("08P01", pooler, "somebody", Password, "app", "bouncer config error");
        Assert.Contains(log.Lines, line => line.Contains(logged));
    }

    [Fact]
    public async Task A_disabled_place_to_ask_is_named()
    {
        await using var pooler = Start(AnyVariant, s => s with { AuthDbName = "template1" });
        await AssertRefusedAsync("08P01", pooler, "nobody", Password, message: "no such user");

        await using (var console = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password, "pgbouncer"))
            await ExecuteAsync(console, "DISABLE template1");

        await AssertRefusedAsync("08P01", pooler, "nobody", Password, message: "authentication database \"template1\" is disabled");
    }

    [Theory]
    [InlineData("SELECT rolpassword FROM pg_authid WHERE rolname = $1", "expected 2 columns from auth_query, not 1")]
    [InlineData("SELECT rolname, rolpassword, 1 FROM pg_authid WHERE rolname = $1", "expected 2 columns from auth_query, not 3")]
    [InlineData("SELECT NULL, rolpassword FROM pg_authid WHERE rolname = $1", "auth_query response contained null user name")]
    [InlineData("SELECT rolname, rolpassword FROM no_such_table WHERE rolname = $1", "\"no_such_table\" does not exist")]
    [InlineData("SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1 AND 1 / (length($1) - length($1)) = 1", "division by zero")]
    [InlineData("SELECT rolname, rolpassword FROM pg_authid", "error in auth_query")]
    [InlineData("SELECT 'a', 'b', $1; SELECT 1", "error in auth_query")]
    [InlineData("SET search_path TO $1", "error in auth_query")]
    [InlineData("COPY (SELECT 1, 2) TO STDOUT", "error in auth_query")]
    [InlineData("SELECT g::text, $1::text FROM generate_series(1, 5000) g", "more than 1000 rows")]
    [InlineData("", "error in auth_query")]
    public async Task A_query_that_cannot_serve_lets_nobody_in_and_says_why_in_the_log(string query, string logged)
    {
        using var log = new RecordingLog();
        var role = await NewRoleAsync();
        await using var pooler = RunningPooler.Start(Configuration(AnyVariant, s => s with { AuthQuery = query, DefaultPoolSize = 1 }), log);

        for (var i = 0; i < 2; i++) await AssertRefusedAsync("08P01", pooler, role, Password, message: "bouncer config error");
        Assert.Contains(log.Lines, line => line.Contains(logged));
        // The server connection is fit for use, or has been replaced.
        await AssertLoginAsync(pooler, Postgres.Server.User, Postgres.Server.Password);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Nothing_that_a_client_sets_reaches_the_query(Variant variant)
    {
        // CVE-2025-12819: a search_path from an unauthenticated startup packet reached auth_query.
        var (role, database) = (await NewRoleAsync(), await NewDatabaseAsync());
        await OnServerAsync("CREATE SCHEMA evil", database);
        await OnServerAsync(
            """
            CREATE FUNCTION secret_of(wanted text, OUT name text, OUT secret text) AS $$
            BEGIN
              IF current_setting('search_path') LIKE '%evil%' OR current_setting('extra_float_digits') = '-3' THEN
                RAISE EXCEPTION 'reached: %', current_setting('search_path');
              END IF;
              SELECT rolname, rolpassword INTO name, secret FROM pg_authid WHERE rolname = wanted;
            END $$ LANGUAGE plpgsql
            """, database);
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(Configuration(variant, s => s with
        {
            AuthQuery = "SELECT name, secret FROM secret_of($1)",
            TrackExtraParameters = "search_path",
            DefaultPoolSize = 1,
        }), log);
        const string Evil = "options='-c search_path=evil,public -c extra_float_digits=-3'";

        Assert.Equal((true, "evil,public"), await Psql.AskAsync(pooler, database, role, Password, "SHOW search_path", Evil));
        // Not even what auth_user itself has left on the one server connection that the next query runs on.
        Assert.Equal((true, "evil,public"), await Psql.AskAsync(
            pooler, database, Postgres.Server.User, Postgres.Server.Password, "SHOW search_path", Evil));
        Assert.Equal((true, role), await Psql.AskAsync(pooler, database, role, Password));
        Assert.DoesNotContain(log.Lines, line => line.Contains("reached"));
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Many_logins_share_one_server_connection_without_locking_each_other_out(Variant variant)
    {
        var role = await NewRoleAsync();
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with { DefaultPoolSize = 1, MaxDbConnections = 1 });

        var logins = Enumerable.Range(0, 40).Select(async i =>
        {
            await using var connection = await ConnectAsync(pooler, role, Password, database);
            return (int)(await ScalarAsync(connection, $"SELECT {i}"))!;
        }).ToArray();

        Assert.Equal(Enumerable.Range(0, 40), await Task.WhenAll(logins));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_login_waits_for_an_exhausted_pool_no_longer_than_query_wait_timeout(Variant variant)
    {
        var role = await NewRoleAsync();
        await using var pooler = Start(variant, s => s with { DefaultPoolSize = 1 });
        await using var holder = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password);
        await ExecuteAsync(holder, "BEGIN");
        pooler.Change(s => s with { QueryWaitTimeout = TimeSpan.FromMilliseconds(300) });

        await AssertRefusedAsync("08P01", pooler, role, Password, message: "query_wait_timeout");

        pooler.Change(s => s with { QueryWaitTimeout = TimeSpan.FromMinutes(1) });
        await ExecuteAsync(holder, "COMMIT");
        await AssertLoginAsync(pooler, role, Password);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_leaves_takes_its_query_with_it(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, s => s with
        {
            DefaultPoolSize = 1, AuthQuery = "SELECT $1::text, pg_sleep(600)::text",
        });
        var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, "somebody").SendAsync();
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "query LIKE '%pg_sleep%' AND state = 'active'") == 1, cancellationToken: Cancelled);
        // One that waits behind it leaves as well.
        using (var waiting = await RawClient.ConnectAsync(pooler.EndPoint))
        {
            await waiting.Startup(database, "somebody").SendAsync();
            await Eventually.TrueAsync(() => pooler.Pool(database, Postgres.Server.User).ClientsWaiting == 1, cancellationToken: Cancelled);
        }
        await Eventually.TrueAsync(() => pooler.Pool(database, Postgres.Server.User).ClientsWaiting == 0, cancellationToken: Cancelled);

        client.Abort();
        client.Dispose();

        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 0, cancellationToken: Cancelled);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_second_startup_packet_while_the_server_is_asked_ends_the_login(Variant variant)
    {
        // CVE-2026-107350 in PgBouncer: the second could name another user than the one who was asked about.
        var (role, other) = (await NewRoleAsync(), await NewRoleAsync());
        await using var pooler = Start(variant, s => s with { AuthType = AuthType.Plain });
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);

        await client.Startup("postgres", role).Startup("postgres", other).SendAsync();

        var messages = await client.ReadToEndAsync();
        Assert.Equal(['R', 'E'], messages.Select(m => m.Type));
        Assert.Equal("FATAL 08P01", $"{messages[1].Field('S')} {messages[1].Field('C')}");
    }

    [Theory]
    [InlineData("SCRAM-SHA-256$4096:c2FsdA==$")]
    [InlineData("SCRAM-SHA-256$999999999999:c2FsdA==$AAAA:AAAA")]
    [InlineData("md5")]
    [InlineData("md5zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")]
    [InlineData("")]
    public async Task A_secret_that_is_none_lets_nobody_in(string secret)
    {
        foreach (var type in new[] { AuthType.Plain, AuthType.Md5, AuthType.ScramSha256 })
        {
            await using var pooler = Start(AnyVariant, s => s with { AuthType = type, AuthQuery = $"SELECT $1::text, '{secret}'" });
            await AssertRefusedAsync("28P01", pooler, "somebody", Password);
        }
    }

    [Fact]
    public async Task A_server_that_does_not_let_auth_user_in_is_named_to_clients()
    {
        var configuration = Configuration(AnyVariant);
        await using var pooler = RunningPooler.Start(configuration with
        {
            Users = new Dictionary<string, UserSettings> { [Postgres.Server.User] = new() { Name = Postgres.Server.User, Secret = "wrong" } },
        });

        for (var i = 0; i < 2; i++)
        {
            var refusal = await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync(pooler, "somebody", Password));
            Assert.Contains($"password authentication failed for user \"{Postgres.Server.User}\"", refusal.MessageText);
        }
    }

    [Fact]
    public async Task Console_users_may_be_known_to_the_server_only()
    {
        var role = await NewRoleAsync();
        await using var pooler = Start(AnyVariant, s => s with { AuthDbName = "postgres", StatsUsers = role });

        Assert.True((await Psql.AskAsync(pooler, "pgbouncer", role, Password, "SHOW POOLS")).Succeeded);
        Assert.False((await Psql.AskAsync(pooler, "pgbouncer", role, "wrong", "SHOW POOLS")).Succeeded);
    }

    [Fact]
    public async Task Trust_asks_the_server_whether_there_is_such_a_user()
    {
        await using var pooler = Start(AnyVariant, s => s with { AuthType = AuthType.Trust, AuthUser = PostgresForPooler.Trusted }, users: []);

        Assert.Equal((true, PostgresForPooler.Trusted), await Psql.AskAsync(pooler, "postgres", PostgresForPooler.Trusted, null));
        await AssertRefusedAsync("08P01", pooler, "nobody", null, message: "no such user");
    }

    [Fact]
    public async Task A_pooler_that_knows_nobody_but_auth_user_is_healthy()
    {
        await using var pooler = Start(AnyVariant, s => s with { AuthUser = PostgresForPooler.Trusted }, users: []);
        await AssertRefusedAsync("08P01", pooler, "nobody", null, message: "no such user");
        pooler.Engine.Reconnect(null);

        Assert.True((await pooler.Engine.CheckHealthAsync(Cancelled)).IsHealthy);
    }

    [Fact]
    public async Task A_query_may_answer_with_another_name()
    {
        var role = await NewRoleAsync();
        await using var pooler = Start(AnyVariant, s => s with
        {
            AuthType = AuthType.Plain,
            AuthQuery = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = lower($1)",
        });

        Assert.Equal((true, role), await Psql.AskAsync(pooler, "postgres", role.ToUpperInvariant(), Password));
    }

    private async Task<string> NewRoleAsync(string options = "LOGIN")
    {
        var name = $"queried{Interlocked.Increment(ref _roles).ToString(CultureInfo.InvariantCulture)}";
        await OnServerAsync($"CREATE ROLE {name} {options} PASSWORD '{Password.Replace("'", "''")}'");
        return name;
    }

    private Task OnServerAsync(string sql, string database = "postgres") => Postgres.Server.ExecuteAsync(sql, database, Cancelled);

    private PoolerConfiguration Configuration(Variant variant, Func<PoolerSettings, PoolerSettings>? change = null)
    {
        var configuration = RunningPooler.Configuration(Postgres, variant, s =>
        {
            var settings = s with { AuthType = AuthType.ScramSha256, AuthUser = Postgres.Server.User, AdminUsers = Postgres.Server.User };
            return change?.Invoke(settings) ?? settings;
        });
        return configuration with
        {
            Users = new Dictionary<string, UserSettings> { [Postgres.Server.User] = new() { Name = Postgres.Server.User, Secret = Postgres.Server.Password } },
        };
    }

    private RunningPooler Start(Variant variant, Func<PoolerSettings, PoolerSettings>? change = null, UserSettings[]? users = null)
    {
        var configuration = Configuration(variant, change);
        if (users is not null)
        {
            var known = users.Length == 0 ? [] : configuration.Users.Values;
            configuration = configuration with { Users = known.Concat(users).ToDictionary(u => u.Name) };
        }
        return RunningPooler.Start(configuration);
    }

    private static async Task<NpgsqlConnection> ConnectAsync(RunningPooler pooler, string user, string? password, string database = "postgres")
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(pooler.ConnectionString(database))
        {
            Username = user, Password = password,
        }.ConnectionString);
        await connection.OpenAsync(Cancelled);
        return connection;
    }

    private static async Task AssertLoginAsync(RunningPooler pooler, string user, string? password, string database = "postgres")
    {
        await using var connection = await ConnectAsync(pooler, user, password, database);
        Assert.Equal(user, await ScalarAsync(connection, "SELECT current_user::text"));
    }

    private static async Task AssertRefusedAsync(
        string sqlState, RunningPooler pooler, string user, string? password, string database = "postgres", string? message = null)
    {
        var refusal = await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync(pooler, user, password, database));
        Assert.Equal(sqlState, refusal.SqlState);
        if (message is not null) Assert.Contains(message, refusal.MessageText);
    }
}
