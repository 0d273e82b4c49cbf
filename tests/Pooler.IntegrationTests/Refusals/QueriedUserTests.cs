using Npgsql;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Authentication;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>PgBouncer's vulnerabilities around auth_query, tried on a real server.</summary>
public sealed class QueriedUserTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    private const string Password = "right";
    private static int _roles;

    public static readonly TheoryData<AuthType> WithPassword = [AuthType.Plain, AuthType.Md5, AuthType.ScramSha256];

    /// <summary>CVE-2025-2291: auth_query did not look at VALID UNTIL, so that expired passwords went on working.</summary>
    [Theory, MemberData(nameof(WithPassword))]
    public async Task CVE_2025_2291_A_password_that_has_expired_lets_nobody_in(AuthType type)
    {
        var (expired, valid) = (await NewRoleAsync("VALID UNTIL '2020-01-01'"), await NewRoleAsync("VALID UNTIL '2999-01-01'"));
        await using var pooler = StartQuerying(AnyVariant, s => s with { AuthType = type }, forced: true);

        Assert.False((await AskAsync(pooler, expired)).Succeeded);
        Assert.Equal((true, PostgresForPooler.Trusted), await AskAsync(pooler, valid));

        // It expires while its owner is known already.
        await Postgres.Server.ExecuteAsync($"ALTER ROLE {valid} VALID UNTIL '2020-01-01'", cancellationToken: Cancelled);
        Assert.False((await AskAsync(pooler, valid)).Succeeded);
        Assert.Equal((true, PostgresForPooler.Trusted), await AskAsync(pooler, await NewRoleAsync("")));

        // It is the query that keeps them out, and with PgBouncer's old one this test would see them get in.
        await using var old = StartQuerying(
            AnyVariant, s => s with { AuthType = type, AuthQuery = "SELECT usename, passwd FROM pg_shadow WHERE usename = $1" }, forced: true);
        Assert.Equal((true, PostgresForPooler.Trusted), await AskAsync(old, expired));
    }

    /// <summary>
    /// CVE-2025-12819: search_path of a startup packet was set on the connection on which auth_query then ran, so that
    /// anybody could have it read a table, or call an operator, of his own.
    /// </summary>
    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2025_12819_A_search_path_from_the_startup_packet_does_not_reach_auth_query(Variant variant)
    {
        var (victim, database) = (await NewRoleAsync(""), await NewDatabaseAsync());
        // Whoever may create a schema could have made it: the victim's secret as the attacker would like it to be.
        foreach (var sql in (string[])
            [
                "CREATE SCHEMA evil",
                "CREATE TABLE evil.pg_authid (rolname name, rolpassword text)",
                $"INSERT INTO evil.pg_authid VALUES ('{victim}', 'forged')",
                "GRANT ALL ON SCHEMA evil TO PUBLIC",
            ])
        {
            await Postgres.Server.ExecuteAsync(sql, database, Cancelled);
        }
        const string EvilPath = "evil, pg_catalog";
        await using var pooler = StartQuerying(variant, s => s with
        {
            AuthType = AuthType.Plain,
            TrackExtraParameters = "search_path",
            DefaultPoolSize = 1,
            AuthQuery = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1",
        });
        // So it would be read: by those who set it for themselves.
        Assert.Equal((true, "forged"), await Psql.AskAsync(
            pooler, database, Postgres.Server.User, Postgres.Server.Password, $"SELECT rolpassword FROM pg_authid WHERE rolname = '{victim}'",
            $"options='-c search_path={EvilPath.Replace(" ", "")}'"));

        foreach (var (name, value) in new[] { ("search_path", EvilPath), ("options", $"-c search_path={EvilPath.Replace(" ", "")}") })
        {
            using var attacker = await RawClient.ConnectAsync(pooler.EndPoint);
            await attacker.Startup(database, victim, (name, value)).SendAsync();
            await attacker.ReadToAsync('R');
            await attacker.Bytes(HostileConnection.Message('p', "forged\0"u8.ToArray())).SendAsync();
            Assert.Contains("password authentication failed", (await RefusalAsync(attacker)).Field('M'));
        }

        Assert.Equal((true, victim), await Psql.AskAsync(pooler, database, victim, Password));
    }

    /// <summary>Clients who work as auth_user share its servers: what they leave in a session could forge others' secrets.</summary>
    [Theory]
    [InlineData("CREATE TEMP TABLE pg_authid AS SELECT 'VICTIM'::name AS rolname, 'forged'::text AS rolpassword")]
    [InlineData("SET search_path = evil, pg_catalog")]
    [InlineData("SET SESSION AUTHORIZATION VICTIM")]
    [InlineData("SET ROLE VICTIM")]
    public async Task What_a_client_leaves_in_a_session_does_not_reach_auth_query(string attack)
    {
        var (victim, database) = (await NewRoleAsync(""), await NewDatabaseAsync());
        await Postgres.Server.ExecuteAsync(
            $"CREATE SCHEMA evil CREATE VIEW pg_authid AS SELECT '{victim}'::name AS rolname, 'forged'::text AS rolpassword", database, Cancelled);
        await using var pooler = Start(
            AnyVariant,
            change: s => s with
            {
                AuthType = AuthType.Plain,
                AuthUser = Postgres.Server.User,
                DefaultPoolSize = 1,
                MaxPreparedStatements = 100,
                AuthQuery = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1",
            },
            configure: c => c with
            {
                Databases = new Dictionary<string, DatabaseSettings>
                {
                    [database] = c.Databases["*"] with { Name = database, User = Postgres.Server.User, ConnectQuery = "SET work_mem = '4711kB'" },
                },
                Users = new Dictionary<string, UserSettings> { [Postgres.Server.User] = new() { Name = Postgres.Server.User, Secret = Postgres.Server.Password } },
            });
        await using var attacker = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(pooler.ConnectionString(database))
        {
            Username = Postgres.Server.User, Password = Postgres.Server.Password,
        }.ConnectionString);
        await attacker.OpenAsync(Cancelled);
        await using var prepared = new NpgsqlCommand("SELECT current_setting('work_mem')", attacker);
        await prepared.PrepareAsync(Cancelled);
        var server = await ScalarAsync(attacker, "SELECT pg_backend_pid()");
        await ExecuteAsync(attacker, attack.Replace("VICTIM", victim));

        var (let, complaint) = await Psql.AskAsync(pooler, database, victim, "forged");
        Assert.False(let);
        Assert.Contains("password authentication failed", complaint);
        Assert.Equal((true, Postgres.Server.User), await Psql.AskAsync(pooler, database, victim, Password));

        // The same server, with what belongs there.
        Assert.Equal(server, await ScalarAsync(attacker, "SELECT pg_backend_pid()"));
        Assert.Equal("4711kB", await prepared.ExecuteScalarAsync(Cancelled));
    }

    private static Task<(bool Succeeded, string Output)> AskAsync(RunningPooler pooler, string user) =>
        Psql.AskAsync(pooler, "postgres", user, Password);

    /// <param name="variant">The kind of loop.</param>
    /// <param name="change">What differs from the settings of the other tests.</param>
    /// <param name="forced">Whoever is let in works as one whom the server lets in: it is all up to the pooler.</param>
    private RunningPooler StartQuerying(Variant variant, Func<PoolerSettings, PoolerSettings> change, bool forced = false) => Start(
        variant, change: s => change(s with { AuthUser = Postgres.Server.User }),
        configure: c => c with
        {
            Databases = new Dictionary<string, DatabaseSettings> { ["*"] = c.Databases["*"] with { User = forced ? PostgresForPooler.Trusted : null } },
            Users = new Dictionary<string, UserSettings> { [Postgres.Server.User] = new() { Name = Postgres.Server.User, Secret = Postgres.Server.Password } },
        });

    private async Task<string> NewRoleAsync(string options)
    {
        var name = $"refused{Interlocked.Increment(ref _roles)}";
        await Postgres.Server.ExecuteAsync($"CREATE ROLE {name} LOGIN PASSWORD '{Password}' {options}", cancellationToken: Cancelled);
        return name;
    }
}
