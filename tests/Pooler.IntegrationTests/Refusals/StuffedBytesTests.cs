using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Pooler.IntegrationTests.Tls;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>
/// CVE-2021-3935: whoever sits between two ends puts bytes of his own in the clear behind the request for encryption, or
/// behind the answer to it, and they are taken for the other end's once the connection is encrypted.
/// </summary>
public sealed class StuffedBytesTests(TlsPostgres postgres) : TlsTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2021_3935_Bytes_behind_a_clients_request_for_encryption_are_refused(Variant variant)
    {
        await using var pooler = Start(variant);
        foreach (var request in (byte[][])[RawClient.SslRequest, RawClient.GssRequest])
        {
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);
            client.Startup("postgres", TlsPostgres.Anyone).Query("SELECT 'stuffed'");
            await client.SendAsync([.. request, .. client.TakeGathered()]);
            var answer = Assert.Single(await client.ReadToEndAsync());
            Assert.StartsWith("received unencrypted data after", answer.Field('M'));
        }
        await AssertServedAsync(pooler);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2021_3935_What_follows_a_clients_request_in_the_clear_is_never_taken_for_the_clients_words(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.SendAsync(RawClient.SslRequest);
        Assert.Equal('S', (char)await client.ReadByteAsync());
        client.Startup(database, TlsPostgres.Anyone).Query("CREATE TABLE stuffed ()");
        await client.SendAsync();
        // An alert at most.
        await client.ReadToEndAsync();
        Assert.Equal(0L, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM pg_class WHERE relname = 'stuffed'", database, Cancelled));
        await AssertServedAsync(pooler);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2021_3935_Bytes_behind_a_servers_answer_are_not_taken_for_the_servers(Variant variant)
    {
        foreach (var answer in "SN")
        {
            await using var hostile = new HostileServer(async connection =>
            {
                await connection.ReadStartupAsync();
                // As one who sits in between would have it: the login is over before it has begun.
                await connection.SendAsync([(byte)answer, .. HostileConnection.Written(w =>
                {
                    w.AuthenticationOk();
                    w.ParameterStatus("server_version", "stuffed");
                    w.BackendKeyData(1, [1, 2, 3, 4]);
                    w.ReadyForQuery(TransactionStatus.Idle);
                })]);
                await connection.HoldAsync();
            });
            await using var pooler = Start(variant, s => s with { ServerTlsSslMode = answer == 'S' ? SslMode.Require : SslMode.Prefer });
            pooler.Reload(c => c with { Databases = new Dictionary<string, DatabaseSettings>(c.Databases) { ["hostile"] = hostile.Database("hostile") } });

            Assert.Contains("received unencrypted data after SSL response", await pooler.WaitInVainAsync("hostile", Cancelled, TlsPostgres.Anyone));
            await AssertServedAsync(pooler);
        }
    }

    private static async Task AssertServedAsync(RunningPooler pooler)
    {
        using var other = await LoginAsync(pooler, "postgres");
        Assert.Equal("1", await other.ScalarAsync("SELECT 1"));
    }
}
