using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>What those who have not proved who they are ask for leaves nothing behind.</summary>
public sealed class UnknownNameTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    private const int Many = 30;

    // Also those that SHOW DATABASES leaves out because nobody uses them.
    private const string Known = "SELECT used FROM SHOW MEM WHERE name = 'db_cache'";

    [Fact]
    public async Task Failed_logins_make_no_database_known()
    {
        await using var pooler = Start(AnyVariant, change: s => s with { AdminUsers = Postgres.Server.User });
        using var console = await ConsoleAsync(pooler);

        for (var i = 0; i < Many; i++) Assert.Contains("authentication failed", await AskAsync(pooler, $"nowhere{i}", "nobody"));

        Assert.Equal("0", await console.ScalarAsync(Known));
    }

    [Fact]
    public async Task Databases_that_only_a_question_about_a_login_was_to_be_asked_in_are_forgotten()
    {
        await using var pooler = Start(AnyVariant, change: s => s with { AdminUsers = Postgres.Server.User, AuthUser = Postgres.Server.User });
        using var console = await ConsoleAsync(pooler);

        for (var i = 0; i < Many; i++) Assert.Equal($"database \"nowhere{i}\" does not exist", await AskAsync(pooler, $"nowhere{i}", "nobody"));

        await Eventually.TrueAsync(async () => await console.ScalarAsync(Known) == "0", cancellationToken: Cancelled);
        Assert.Equal("0", await console.ScalarAsync("SELECT count(*) FROM SHOW POOLS WHERE database <> 'pgbouncer'"));

        // Let in, and the database stays known.
        var database = await NewDatabaseAsync();
        using (await RawClient.LoginAsync(pooler.EndPoint, database, Postgres.Server.User))
            Assert.Equal("1", await console.ScalarAsync($"SELECT count(*) FROM SHOW DATABASES WHERE name = '{database}'"));
    }

    [Fact]
    public async Task A_name_longer_than_any_on_a_server_is_no_database()
    {
        await using var pooler = Start(AnyVariant);
        var longest = new string('n', 63);

        Assert.Equal($"database \"{longest}\" does not exist", await AskAsync(pooler, longest, PostgresForPooler.Trusted));
        Assert.Equal($"no such database: {longest}n", await AskAsync(pooler, longest + 'n', PostgresForPooler.Trusted));
    }

    private Task<RawClient> ConsoleAsync(RunningPooler pooler) => RawClient.LoginAsync(pooler.EndPoint, "pgbouncer", Postgres.Server.User);

    private static async Task<string> AskAsync(RunningPooler pooler, string database, string user)
    {
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, user).SendAsync();
        return (await RefusalAsync(client)).Field('M');
    }
}
