using System.Net;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>
/// Random pipelines of statement messages, errors and resets, held with PostgreSQL and through a pooler that shares one
/// server between two such clients and keeps few statements: the answers must be the same.
/// </summary>
public sealed class RandomConversationTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const int Conversations = 60;
    private const int Requests = 40;

    [Theory, MemberData(nameof(Backends))]
    public async Task Random_pipelines_get_PostgreSQLs_own_answers(Variant variant)
    {
        var first = Environment.TickCount;
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(
            Postgres, variant, s => s with { DefaultPoolSize = 1, MaxPreparedStatements = 2 });
        var direct = new IPEndPoint(IPAddress.Loopback, Postgres.Server.Port);

        for (var i = 0; i < Conversations; i += 2)
        {
            var seed = first + i;
            var expected = await Task.WhenAll(HoldAsync(direct, database, seed), HoldAsync(direct, database, seed + 1));
            var actual = await Task.WhenAll(HoldAsync(pooler.EndPoint, database, seed), HoldAsync(pooler.EndPoint, database, seed + 1));
            Assert.Equal($"{seed}: {string.Join('\n', expected)}", $"{seed}: {string.Join('\n', actual)}");
        }
    }

    private static async Task<string> HoldAsync(EndPoint endPoint, string database, int seed)
    {
        var random = new Random(seed);
        using var client = await RawClient.LoginAsync(
            endPoint, database, PostgresForPooler.Trusted, ("application_name", $"random {seed % 3}"));
        var transcript = new List<string>();
        var inFlight = 0;
        for (var request = 0; request < Requests; request++)
        {
            switch (random.Next(10))
            {
                case 0:
                    client.Query(random.Next(6) == 0 ? "SELECT 1/0" : $"SELECT {request}");
                    break;
                case 1:
                    client.Query(new[] { "DISCARD ALL", "DEALLOCATE ALL", "RESET ALL", "SHOW application_name" }[random.Next(4)]);
                    break;
                default:
                    for (var message = random.Next(1, 6); message > 0; message--) Add(client, random);
                    client.Sync();
                    break;
            }
            inFlight++;
            // Sometimes in several pieces, sometimes with nothing in between.
            if (random.Next(2) == 0) await client.SendAsync();
            if (random.Next(4) > 0 && request < Requests - 1) continue;
            transcript.Add(await client.AskAsync(inFlight));
            inFlight = 0;
        }
        return string.Join('\n', transcript);
    }

    private static void Add(RawClient client, Random random)
    {
        var name = $"s{random.Next(4)}";
        switch (random.Next(9))
        {
            case 0 or 1:
                client.Parse(name, $"SELECT '{random.Next(5)}'");
                break;
            case 2:
                client.Close(name).Parse(name, $"SELECT '{random.Next(5)}'");
                break;
            case 3 or 4:
                client.Bind(name).Execute();
                break;
            case 5:
                client.Describe(name);
                break;
            case 6:
                client.Close(name);
                break;
            case 7:
                client.Parse("", "SELECT 'unnamed'").Bind("").Execute();
                break;
            default:
                var given = random.Next(2) == 0 ? "" : name;
                client.Parse(given, random.Next(2) == 0 ? "SELEC" : "SELECT 'x'").Bind(given).Execute();
                break;
        }
    }
}
