using System.Net;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>
/// Conversations held with PostgreSQL itself and then through a pooler: the answers must be the same, message by
/// message. Asynchronous messages are left out, because the pooler may add and drop those.
/// </summary>
public abstract class Conversations(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private protected async Task SameAsPostgresAsync(Variant variant, Func<RawClient, Task<string>> conversation, string? mustContain = null)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, variant);

        var expected = await HoldAsync(new IPEndPoint(IPAddress.Loopback, Postgres.Server.Port), database, conversation);
        var actual = await HoldAsync(pooler.EndPoint, database, conversation);

        if (mustContain is not null) Assert.Contains(mustContain, expected);
        Assert.Equal(expected, actual);
    }

    private static async Task<string> HoldAsync(IPEndPoint endPoint, string database, Func<RawClient, Task<string>> conversation)
    {
        using var client = await RawClient.LoginAsync(endPoint, database, PostgresForPooler.Trusted);
        await client.ScalarAsync("DROP TABLE IF EXISTS t; CREATE TABLE t (a int PRIMARY KEY, b text)");
        return await conversation(client);
    }
}
