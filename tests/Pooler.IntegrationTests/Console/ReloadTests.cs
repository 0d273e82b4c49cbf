using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Console;

/// <summary>What RELOAD does to those who use what has changed.</summary>
public sealed class ReloadTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task Clients_and_servers_of_a_database_that_is_gone_are_ended(Variant variant)
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(Named(variant, "shop", "other", database), log);
        using var console = await ConsoleAsync(pooler);
        using var working = await pooler.LoginAsync("shop");
        using var idle = await pooler.LoginAsync("shop");
        using var waiting = await pooler.LoginAsync("shop");
        using var bystander = await pooler.LoginAsync("other");
        Assert.Equal("C(BEGIN) Z(T)", await working.Query("BEGIN").AskAsync());
        Assert.Equal("C(BEGIN) Z(T)", await idle.Query("BEGIN").AskAsync());
        await waiting.Query("SELECT 1").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool("shop").ClientsWaiting == 1, cancellationToken: Cancelled);
        Assert.Equal("C(ROLLBACK) Z(I)", await idle.Query("ROLLBACK").AskAsync());
        await waiting.ReadToReadyAsync();
        await waiting.Query("BEGIN").AskAsync();

        pooler.Reload(c => c with { Databases = c.Databases.Where(d => d.Key != "shop").ToDictionary() });

        foreach (var client in new[] { working, idle, waiting })
            Assert.Equal("57P01 database removed", Described(Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E')));
        Assert.Equal("1", await bystander.ScalarAsync("SELECT 1"));
        await Eventually.TrueAsync(async () => await BackendsOfAsync(database) == 1, cancellationToken: Cancelled);
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => pooler.LoginAsync("shop"));
        Assert.Contains("3D000", refused.Message);
        Assert.Equal("other pgbouncer", await NamesAsync(console, "SHOW DATABASES"));
        Assert.Equal("other pgbouncer", await NamesAsync(console, "SHOW POOLS"));
        Assert.Single(log.Lines, l => l == "dropping database 'shop' as it does not exist anymore or inactive auto-database");
    }

    [Fact]
    public async Task A_database_that_comes_back_is_another_one_and_works()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Named(AnyVariant, "shop", "other", database));
        using var console = await ConsoleAsync(pooler);
        var before = pooler.Engine.Configuration;
        for (var i = 0; i < 3; i++)
        {
            using var client = await pooler.LoginAsync("shop");
            Assert.Equal("C(BEGIN) Z(T)", await client.Query("BEGIN").AskAsync());
            pooler.Reload(c => c with { Databases = c.Databases.Where(d => d.Key != "shop").ToDictionary() });
            // At once: the old one's clients may not all be gone.
            pooler.Reload(_ => before);
            using var next = await pooler.LoginAsync("shop");
            Assert.Equal("1", await next.ScalarAsync("SELECT 1"));
            Assert.Equal("other pgbouncer shop", await NamesAsync(console, "SHOW DATABASES"));
            Assert.Equal("57P01 database removed", Described(Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E')));
        }
    }

    [Fact]
    public async Task A_removed_entry_that_the_fallback_stands_in_for_ends_its_clients_too()
    {
        var database = await NewDatabaseAsync();
        var configuration = Named(AnyVariant, database, "other", database);
        configuration = configuration with
        {
            Databases = new Dictionary<string, DatabaseSettings>(configuration.Databases) { ["*"] = configuration.Databases["other"] with { Name = "*", DbName = null } },
        };
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(configuration, log);
        using var client = await pooler.LoginAsync(database);

        pooler.Reload(c => c with { Databases = c.Databases.Where(d => d.Key != database).ToDictionary() });

        Assert.Equal("57P01 database removed", Described(Assert.Single(await client.ReadToEndAsync(), m => m.Type == 'E')));
        using var next = await pooler.LoginAsync(database);
        Assert.Equal(database, await next.ScalarAsync("SELECT current_database()"));
        Assert.Single(log.Lines, l => l.EndsWith($"registered new auto-database: {database}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_changed_way_to_the_server_replaces_the_servers_and_keeps_the_clients()
    {
        var (first, second) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        await using var pooler = RunningPooler.Start(Named(AnyVariant, "shop", "other", first));
        using var working = await pooler.LoginAsync("shop");
        using var idle = await pooler.LoginAsync("shop");
        await working.Query("BEGIN").AskAsync();

        pooler.Reload(c => c with { Databases = c.Databases.ToDictionary(d => d.Key, d => d.Value with { DbName = second }) });

        Assert.Equal(second, await idle.ScalarAsync("SELECT current_database()"));
        Assert.Equal(first, await working.ScalarAsync("SELECT current_database()"));
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        Assert.Equal(second, await working.ScalarAsync("SELECT current_database()"));
    }

    private PoolerConfiguration Named(Variant variant, string first, string second, string serverDatabase)
    {
        var configuration = RunningPooler.Configuration(
            Postgres, variant, s => s with { AdminUsers = PostgresForPooler.Trusted, DefaultPoolSize = 2 }, d => d with { DbName = serverDatabase });
        return configuration with
        {
            Databases = new[] { first, second }.ToDictionary(name => name, name => configuration.Databases["*"] with { Name = name }),
        };
    }

    private static string Described(RawMessage error) => $"{error.Field('C')} {error.Field('M')}";

    private static async Task<string> NamesAsync(RawClient console, string sql)
    {
        await console.Query(sql).SendAsync();
        return string.Join(' ', (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => m.Cells()[0]));
    }
}
