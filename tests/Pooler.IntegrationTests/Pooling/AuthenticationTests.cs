using Npgsql;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>Clients log in to the pooler, and the pooler to PostgreSQL, each in its own way.</summary>
public sealed class AuthenticationTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    public static readonly TheoryData<AuthType> WithPassword = [AuthType.Plain, AuthType.Md5, AuthType.ScramSha256];

    [Theory, MemberData(nameof(WithPassword))]
    public async Task Passwords_are_asked_for_in_every_way_and_given_to_PostgreSQL_in_every_way(AuthType type)
    {
        foreach (var variant in Backends.Select(row => row.Data))
        {
            await using var pooler = Start(variant, type);
            foreach (var (user, password) in Users())
            {
                await using var connection = await ConnectAsync(pooler, user, password);
                Assert.Equal(user, await ScalarAsync(connection, "SELECT current_user::text"));
                await AssertRefusedAsync("28P01", pooler, user, "wrong " + password);
            }
            await AssertRefusedAsync("28P01", pooler, "nobody", "anything");
        }
    }

    [Fact]
    public async Task Stored_secrets_serve_both_sides_without_the_password()
    {
        var scram = (string)(await Postgres.Server.ExecuteAsync(
            $"SELECT rolpassword FROM pg_authid WHERE rolname = '{Postgres.Server.User}'", cancellationToken: Cancelled))!;
        var md5 = (string)(await Postgres.Server.ExecuteAsync(
            $"SELECT rolpassword FROM pg_authid WHERE rolname = '{PostgresForPooler.Md5User}'", cancellationToken: Cancelled))!;
        var configuration = RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AuthType = AuthType.Md5 });
        await using var pooler = RunningPooler.Start(configuration with
        {
            Users = new[]
            {
                new UserSettings { Name = Postgres.Server.User, Secret = scram },
                new UserSettings { Name = PostgresForPooler.Md5User, Secret = md5 },
            }.ToDictionary(u => u.Name),
        });

        await using (var connection = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password))
            Assert.Equal(1, await ScalarAsync(connection, "SELECT 1"));
        await using (var connection = await ConnectAsync(pooler, PostgresForPooler.Md5User, PostgresForPooler.Password))
            Assert.Equal(1, await ScalarAsync(connection, "SELECT 1"));
        await AssertRefusedAsync("28P01", pooler, Postgres.Server.User, "wrong");
        await AssertRefusedAsync("28P01", pooler, PostgresForPooler.Md5User, "wrong");
    }

    [Fact]
    public async Task Trust_lets_known_names_in_and_nobody_else()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant);

        await using (var connection = await ConnectAsync(pooler, PostgresForPooler.Trusted, null))
            Assert.Equal(1, await ScalarAsync(connection, "SELECT 1"));

        await AssertRefusedAsync("28000", pooler, "nobody", null);
    }

    [Fact]
    public async Task A_forced_user_works_for_all_clients_of_a_database()
    {
        await using var pooler = RunningPooler.Start(
            Postgres, AnyVariant, s => s with { AuthType = AuthType.ScramSha256 },
            d => d with { User = PostgresForPooler.PlainUser, Password = PostgresForPooler.Password });

        await using var connection = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password);

        Assert.Equal(PostgresForPooler.PlainUser, await ScalarAsync(connection, "SELECT current_user::text"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Any_lets_every_name_in_as_the_forced_user(Variant variant)
    {
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { AuthType = AuthType.Any, DefaultPoolSize = 1 },
            d => d with { User = PostgresForPooler.PlainUser, Password = PostgresForPooler.Password });

        var backends = new HashSet<object?>();
        foreach (var (name, password) in new (string, string?)[] { ("anybody", null), ("somebody else", "anything"), (PostgresForPooler.Trusted, null) })
        {
            await using var connection = await ConnectAsync(pooler, name, password);
            Assert.Equal(PostgresForPooler.PlainUser, await ScalarAsync(connection, "SELECT current_user::text"));
            backends.Add(await ScalarAsync(connection, "SELECT pg_backend_pid()"));
        }
        Assert.Single(backends);
    }

    [Fact]
    public async Task A_database_that_the_pooler_does_not_know_is_refused_after_the_password()
    {
        var configuration = RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AuthType = AuthType.ScramSha256 });
        await using var pooler = RunningPooler.Start(configuration with
        {
            Databases = new Dictionary<string, DatabaseSettings> { ["known"] = configuration.Databases["*"] with { Name = "known", DbName = "postgres" } },
        });

        await using (var connection = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password, "known"))
            Assert.Equal("postgres", await ScalarAsync(connection, "SELECT current_database()::text"));

        await AssertRefusedAsync("28P01", pooler, Postgres.Server.User, "wrong", "unknown");
        await AssertRefusedAsync("3D000", pooler, Postgres.Server.User, Postgres.Server.Password, "unknown");
    }

    [Fact]
    public async Task Many_clients_may_log_in_at_once_while_others_work()
    {
        await using var pooler = Start(new Variant(AnyVariant.Backend, 4), AuthType.ScramSha256);
        await using var working = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password);

        var storm = Enumerable.Range(0, 60).Select(async i =>
        {
            await using var connection = await ConnectAsync(pooler, Postgres.Server.User, Postgres.Server.Password);
            return (int)(await ScalarAsync(connection, $"SELECT {i}"))!;
        }).ToArray();
        for (var i = 0; i < 50; i++) Assert.Equal(i, await ScalarAsync(working, $"SELECT {i}"));

        Assert.Equal(Enumerable.Range(0, 60), await Task.WhenAll(storm));
    }

    private (string User, string Password)[] Users() =>
    [
        (Postgres.Server.User, Postgres.Server.Password),
        (PostgresForPooler.Md5User, PostgresForPooler.Password),
        (PostgresForPooler.PlainUser, PostgresForPooler.Password),
    ];

    private RunningPooler Start(Variant variant, AuthType type)
    {
        var configuration = RunningPooler.Configuration(Postgres, variant, s => s with { AuthType = type });
        return RunningPooler.Start(configuration with
        {
            Users = Users().Select(u => new UserSettings { Name = u.User, Secret = u.Password }).ToDictionary(u => u.Name),
        });
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

    private static async Task AssertRefusedAsync(string sqlState, RunningPooler pooler, string user, string? password, string database = "postgres")
    {
        var refusal = await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync(pooler, user, password, database));
        Assert.Equal(sqlState, refusal.SqlState);
    }
}
