using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Console;

/// <summary>The console's figures, and the limits that hold for its own clients.</summary>
public sealed class StatisticsTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    [Fact]
    public async Task Averages_are_there_before_the_first_period_has_passed()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(change: s => s with { StatsPeriod = 3600 });
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        for (var i = 0; i < 5; i++) await client.ScalarAsync("SELECT pg_sleep(0.01)");

        Assert.Equal("t", await console.ScalarAsync($"SELECT avg_query_time >= 10000 AND avg_xact_time >= 10000 AND avg_query_time <= total_query_time FROM SHOW STATS WHERE database = '{database}'"));
        Assert.Equal("t", await console.ScalarAsync($"SELECT query_time >= 10000 FROM SHOW STATS_AVERAGES WHERE database = '{database}'"));
        Assert.Equal("t", await console.ScalarAsync("SELECT value > 0 FROM SHOW TOTALS WHERE name = 'avg_query_time'"));
    }

    [Fact]
    public async Task Averages_forget_what_is_more_than_two_periods_ago()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(change: s => s with { StatsPeriod = 1 });
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        await client.ScalarAsync("SELECT 1");

        await Eventually.TrueAsync(async () => await console.ScalarAsync(
            $"SELECT avg_query_time = 0 AND total_query_count = 1 FROM SHOW STATS WHERE database = '{database}'") == "t", cancellationToken: Cancelled);
    }

    [Fact]
    public async Task A_query_of_the_console_finds_itself_in_the_figures()
    {
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        for (var i = 1; i <= 3; i++)
            Assert.Equal($"{i}", await console.ScalarAsync("SELECT total_query_count FROM SHOW STATS WHERE database = 'pgbouncer'"));
    }

    [Fact]
    public async Task Limits_hold_for_stats_users_of_the_console_and_not_for_administrators()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with
        {
            AdminUsers = PostgresForPooler.Trusted, StatsUsers = Postgres.Server.User, AuthType = Engine.Configuration.AuthType.Trust, MaxUserClientConnections = 2,
        });
        async Task<RawClient> StatsAsync() => await RawClient.LoginAsync(pooler.EndPoint, "pgbouncer", Postgres.Server.User);
        using var console = await ConsoleAsync(pooler);
        using var second = await ConsoleAsync(pooler);
        using var third = await ConsoleAsync(pooler);
        using var looker = await StatsAsync();
        using (await StatsAsync())
        {
            var refused = await Assert.ThrowsAsync<InvalidOperationException>(StatsAsync);
            Assert.Contains("53300", refused.Message);
            Assert.Equal("2", await console.ScalarAsync($"SELECT current_client_connections FROM SHOW USERS WHERE name = '{Postgres.Server.User}'"));
            Assert.Equal("5", await console.ScalarAsync("SELECT current_client_connections FROM SHOW DATABASES WHERE name = 'pgbouncer'"));
        }
        await Eventually.TrueAsync(async () => await console.ScalarAsync(
            "SELECT current_client_connections FROM SHOW DATABASES WHERE name = 'pgbouncer'") == "4", cancellationToken: Cancelled);
        using var again = await StatsAsync();

        Assert.StartsWith("C(SET max_db_client_connections=5)", await console.Query("SET max_db_client_connections = 5").AskAsync());
        Assert.StartsWith("C(SET max_user_client_connections=0)", await console.Query("SET max_user_client_connections = 0").AskAsync());
        Assert.Contains("53300", (await Assert.ThrowsAsync<InvalidOperationException>(StatsAsync)).Message);
        using var fourth = await ConsoleAsync(pooler);
    }

    [Fact]
    public async Task Waiting_for_the_first_server_is_in_the_wait_time()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("t", await console.ScalarAsync($"SELECT total_wait_time > 0 FROM SHOW STATS WHERE database = '{database}'"));
    }

    [Fact]
    public async Task Clients_and_servers_share_one_row_of_ids()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("3", await console.ScalarAsync("SELECT count(DISTINCT id) FROM SHOW SOCKETS"));
        Assert.Equal("t", await console.ScalarAsync("SELECT max(id) = 3 AND min(id) = 1 FROM SHOW SOCKETS"));
    }
}
