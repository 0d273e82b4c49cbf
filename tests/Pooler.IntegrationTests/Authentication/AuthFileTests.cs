using Npgsql;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Process;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>Users and secrets of an auth_file, as it is in use.</summary>
public sealed class AuthFileTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Fact]
    public async Task Users_come_and_go_and_change_their_secrets_with_a_reload()
    {
        using var directory = new ThrowawayDirectory();
        var scram = (string)(await Postgres.Server.ExecuteAsync(
            $"SELECT rolpassword FROM pg_authid WHERE rolname = '{Postgres.Server.User}'", cancellationToken: Cancelled))!;
        await using var pooler = RunningPooler.Start(Load(directory, $"\"{Postgres.Server.User}\" \"{scram}\""));
        await AssertLoginAsync(pooler, Postgres.Server.User, Postgres.Server.Password);
        await AssertRefusedAsync(pooler, PostgresForPooler.PlainUser, PostgresForPooler.Password);

        Reload($"\"{PostgresForPooler.PlainUser}\" \"{PostgresForPooler.Password}\"");
        await AssertRefusedAsync(pooler, Postgres.Server.User, Postgres.Server.Password);
        await AssertLoginAsync(pooler, PostgresForPooler.PlainUser, PostgresForPooler.Password);

        Reload($"\"{Postgres.Server.User}\" \"another\"");
        await AssertRefusedAsync(pooler, Postgres.Server.User, Postgres.Server.Password);
        await AssertRefusedAsync(pooler, PostgresForPooler.PlainUser, PostgresForPooler.Password);

        // A file that is gone changes nothing.
        File.Delete(Path.Combine(directory.Path, "userlist.txt"));
        Assert.NotEmpty(Read(directory).Errors);

        // Keys of the first time are not what opens the server now: they come with a login of their own.
        Reload($"\"{Postgres.Server.User}\" \"{scram}\"");
        pooler.Engine.Reconnect(null);
        await AssertLoginAsync(pooler, Postgres.Server.User, Postgres.Server.Password);

        void Reload(string users)
        {
            var next = Load(directory, users);
            pooler.Reload(c => c with { Users = next.Users });
        }
    }

    [Theory, InlineData(AuthType.Plain), InlineData(AuthType.Md5), InlineData(AuthType.ScramSha256)]
    public async Task Passwords_may_be_as_long_as_PostgreSQL_takes_them(AuthType type)
    {
        var password = new string('p', 65_000);
        await Postgres.Server.ExecuteAsync(
            $"DO $$ BEGIN CREATE ROLE longwinded LOGIN PASSWORD '{password}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
            cancellationToken: Cancelled);
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AuthType = type }) with
        {
            Users = new Dictionary<string, UserSettings> { ["longwinded"] = new() { Name = "longwinded", Secret = password } },
        });

        await AssertLoginAsync(pooler, "longwinded", password);
        await AssertRefusedAsync(pooler, "longwinded", "x" + password);
    }

    [Theory]
    [InlineData("md5")]
    [InlineData("SCRAM-SHA-256")]
    public async Task The_password_of_a_database_may_be_a_secret_that_serves_as_far_as_it_goes(string kind)
    {
        var user = kind == "md5" ? PostgresForPooler.Md5User : Postgres.Server.User;
        var secret = (string)(await Postgres.Server.ExecuteAsync($"SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'", cancellationToken: Cancelled))!;
        Assert.StartsWith(kind, secret);
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, database: d => d with { User = user, Password = secret });

        if (kind == "md5")
        {
            await AssertLoginAsync(pooler, PostgresForPooler.Trusted, null, user);
            return;
        }
        // Nobody has shown the keys for it.
        var refusal = await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync(pooler, PostgresForPooler.Trusted, null));
        Assert.Contains("server login failed: wrong password type", refusal.MessageText);
    }

    private ConfigurationResult Read(ThrowawayDirectory directory) => ConfigurationLoader.Load(new ConfigurationSources
    {
        File = directory.Write("pgbouncer.ini", $"""
            [databases]
            * = host={Postgres.Server.Host} port={Postgres.Server.Port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {LocalRun.Processes.Ports.Take()}
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = {Path.Combine(directory.Path, "userlist.txt")}
            """),
    });

    private PoolerConfiguration Load(ThrowawayDirectory directory, string users)
    {
        directory.Write("userlist.txt", users + "\n");
        var result = Read(directory);
        Assert.Empty(result.Errors);
        return result.Configuration!;
    }

    private static async Task<NpgsqlConnection> ConnectAsync(RunningPooler pooler, string user, string? password)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(pooler.ConnectionString("postgres")) { Username = user, Password = password }.ConnectionString);
        await connection.OpenAsync(Cancelled);
        return connection;
    }

    private static async Task AssertLoginAsync(RunningPooler pooler, string user, string? password, string? asWhom = null)
    {
        await using var connection = await ConnectAsync(pooler, user, password);
        Assert.Equal(asWhom ?? user, await ScalarAsync(connection, "SELECT current_user::text"));
    }

    private static async Task AssertRefusedAsync(RunningPooler pooler, string user, string? password) =>
        Assert.Equal("28P01", (await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync(pooler, user, password))).SqlState);
}
