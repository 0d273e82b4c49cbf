using System.Text.RegularExpressions;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>Who looks at pg_stat_activity sees who has the connections.</summary>
public sealed class ApplicationNameTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_bears_the_poolers_name_until_a_client_with_a_name_has_it(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        using var plain = await pooler.LoginAsync(database);
        using var named = await pooler.LoginAsync(database, ("application_name", "shop"));
        await plain.ScalarAsync("SELECT 1");

        Assert.Equal(1, await BackendsOfAsync(database, "state = 'idle' AND application_name = 'pooler'"));

        await named.Query("BEGIN").AskAsync();
        Assert.Equal(1, await BackendsOfAsync(database, "state = 'idle in transaction' AND application_name = 'shop'"));
        await named.Query("COMMIT").AskAsync();

        await plain.Query("BEGIN").AskAsync();
        Assert.Equal(1, await BackendsOfAsync(database, "state = 'idle in transaction' AND application_name = 'pooler'"));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Application_name_add_host_appends_the_clients_address(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { ApplicationNameAddHost = true });
        using var client = await pooler.LoginAsync(database, ("application_name", "shop"));

        var name = await client.ScalarAsync("SHOW application_name");

        Assert.Matches(new Regex(@"^shop - 127\.0\.0\.1:\d+$"), name);
        Assert.Equal(name, client.Parameters["application_name"]);
        await client.Query("BEGIN").AskAsync();
        Assert.Equal(1, await BackendsOfAsync(database, $"application_name = '{name}'"));
    }
}
