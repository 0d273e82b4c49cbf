using Npgsql;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>What becomes of clients when PostgreSQL does not take the pooler's password any more.</summary>
public sealed class ServerPasswordTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_that_wait_hear_at_once_that_the_server_refuses_the_login(Variant variant)
    {
        var role = $"changes_{variant.Backend}";
        await Postgres.Server.ExecuteAsync($"DROP ROLE IF EXISTS {role}", cancellationToken: Cancelled);
        await Postgres.Server.ExecuteAsync($"CREATE ROLE {role} LOGIN PASSWORD 'before'", cancellationToken: Cancelled);
        var configuration = RunningPooler.Configuration(Postgres, variant, s => s with
        {
            AuthType = AuthType.ScramSha256, DefaultPoolSize = 2, PoolMode = PoolMode.Transaction, QueryWaitTimeout = TimeSpan.FromMinutes(5),
        });
        await using var pooler = RunningPooler.Start(configuration with
        {
            Users = new Dictionary<string, UserSettings> { [role] = new() { Name = role, Secret = "before" } },
        });
        await using var holder = await ConnectAsync(pooler, role);
        await ExecuteAsync(holder, "BEGIN");
        await using var first = await ConnectAsync(pooler, role);
        await using var second = await ConnectAsync(pooler, role);
        await Postgres.Server.ExecuteAsync($"ALTER ROLE {role} PASSWORD 'after'", cancellationToken: Cancelled);
        // The one server that there is now is not for those who come next.
        pooler.Engine.Reconnect(null);

        var failures = await Task.WhenAll(new[] { first, second }.Select(c => Assert.ThrowsAsync<PostgresException>(() => ExecuteAsync(c, "SELECT 1"))));

        Assert.All(failures, failure => Assert.Equal("28P01", failure.SqlState));
        Assert.Contains(failures, failure => failure.MessageText == $"password authentication failed for user \"{role}\"");
        // Who has a server keeps it.
        await ExecuteAsync(holder, "COMMIT");
    }

    private static async Task<NpgsqlConnection> ConnectAsync(RunningPooler pooler, string user)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(pooler.ConnectionString("postgres")) { Username = user, Password = "before" }.ConnectionString);
        await connection.OpenAsync(Cancelled);
        return connection;
    }
}
