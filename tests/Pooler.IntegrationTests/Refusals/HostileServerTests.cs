using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>PgBouncer's vulnerabilities to servers, tried on a running pooler.</summary>
public sealed class HostileServerTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    public static readonly TheoryData<Variant, int> NonceLengths = new(
        from variant in Backends from length in new[] { 600, 5_000, 8_180, 60_000, 65_000, 1_000_000 } select (variant.Data, length));

    /// <summary>CVE-2026-6665: a long nonce of a server overran the buffer of the answer to it, on the stack.</summary>
    [Theory, MemberData(nameof(NonceLengths))]
    public async Task CVE_2026_6665_A_server_with_a_long_nonce_is_left(Variant variant, int length)
    {
        foreach (var inFinal in (bool[])[false, true])
        {
            await using var hostile = new HostileServer(async connection =>
            {
                await connection.ReadStartupAsync();
                await connection.SendAsync(w => w.AuthenticationSasl("SCRAM-SHA-256"u8));
                var first = (await connection.ReadToAsync('p')).Text;
                var nonce = first[(first.LastIndexOf("r=", StringComparison.Ordinal) + 2)..];
                var more = new string('x', inFinal ? 18 : length);
                await connection.SendAsync(w => w.AuthenticationSaslContinue(Encoding.ASCII.GetBytes($"r={nonce}{more},s=YWJjZGVmZ2g=,i=1")));
                if (inFinal)
                {
                    // Its signature would have to be right as well; what comes before that is what must not overrun anything.
                    await connection.ReadToAsync('p');
                    await connection.SendAsync(w => w.AuthenticationSaslFinal(Encoding.ASCII.GetBytes($"r={nonce}{new string('x', length)},v={new string('A', length)}")));
                }
                await connection.HoldAsync();
            });
            await using var pooler = Start(variant, hostile);
            using var bystander = await BystanderAsync(pooler);
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);

            await client.Startup(HostileDatabase, Postgres.Server.User).SendAsync();

            await RefusalAsync(client);
            await bystander.AssertServedAsync();
        }
    }

    public static readonly TheoryData<Variant, byte[]> Errors = new(
        from variant in Backends
        from fields in new[] { "SERROR\0Mno code\0\0", "SFATAL\0Mno code\0\0", "\0", "", "S", "Mno end", "C\0\0", "Mno terminator\0", "SERROR\0\0C\0", "\0\0\0\0" }
        select (variant.Data, Encoding.ASCII.GetBytes(fields)));

    /// <summary>CVE-2026-6666: an error without SQLSTATE was read as a null pointer.</summary>
    [Theory, MemberData(nameof(Errors), DisableDiscoveryEnumeration = true)]
    public async Task CVE_2026_6666_Errors_without_sqlstate_are_errors_like_others(Variant variant, byte[] fields)
    {
        var error = HostileConnection.Message('E', fields);
        // Connections in the order in which they come: the first refuses the login, the others get further.
        await using var hostile = new HostileServer(async connection =>
        {
            if (connection.Number == 1)
            {
                await connection.ReadStartupAsync();
                await connection.SendAsync(error);
                return;
            }
            await connection.LetInAsync();
            while (true)
            {
                var query = (await connection.ReadToAsync('Q')).Text;
                switch (query)
                {
                    case "in answer":
                        await connection.SendAsync([.. error, .. HostileConnection.Message('Z', (byte)'I')]);
                        break;
                    case "unasked":
                        await connection.SendAsync([.. HostileConnection.Written(w => { w.CommandComplete("SELECT 0"); w.ReadyForQuery(TransactionStatus.Idle); })]);
                        await connection.SendAsync(error);
                        await connection.HoldAsync();
                        return;
                    case "unasked at once":
                        await connection.SendAsync([.. HostileConnection.Written(w => { w.CommandComplete("SELECT 0"); w.ReadyForQuery(TransactionStatus.Idle); }), .. error]);
                        await connection.HoldAsync();
                        return;
                    default:
                        await connection.SendAsync(error);
                        return;
                }
            }
        });
        await using var pooler = Start(variant, hostile);
        using var bystander = await BystanderAsync(pooler);

        using (var client = await RawClient.ConnectAsync(pooler.EndPoint))
        {
            await client.Startup(HostileDatabase, PostgresForPooler.Trusted).SendAsync();
            await RefusalAsync(client);
        }
        using (var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted))
        {
            await client.Query("in answer").SendAsync();
            // As the server has sent it.
            Assert.Equal(fields, Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Body);
            foreach (var unasked in (string[])["unasked", "unasked at once"])
            {
                Assert.Equal("C(SELECT 0) Z(I)", await client.Query(unasked).AskAsync());
                await Eventually.TrueAsync(() => pooler.Pool(HostileDatabase) is { ServersIdle: 0, ServersActive: 0 }, cancellationToken: Cancelled);
                await client.Query("in answer").SendAsync();
                Assert.Equal(fields, Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Body);
            }
            await client.Query("and close").SendAsync();
            Assert.Contains(await client.ReadToEndAsync(), m => m.Type == 'E');
        }
        await bystander.AssertServedAsync();
    }

    /// <summary>The same in the answers to queries of the pooler's own: who is asking for a secret, or sets parameters, must survive it.</summary>
    [Theory, MemberData(nameof(Errors), DisableDiscoveryEnumeration = true)]
    public async Task CVE_2026_6666_Errors_without_sqlstate_do_not_hurt_queries_of_the_poolers_own(Variant variant, byte[] fields)
    {
        var error = HostileConnection.Message('E', fields);
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            while (true)
            {
                if ((await connection.ReadAsync()).Type is not ('Q' or 'S')) continue;
                await connection.SendAsync([.. error, .. HostileConnection.Message('Z', (byte)'I')]);
            }
        });
        await using var pooler = Start(variant, hostile, configure: c => c with
        {
            Databases = new Dictionary<string, DatabaseSettings>(c.Databases)
            {
                ["queried"] = hostile.Database("queried") with { AuthUser = PostgresForPooler.Trusted },
                ["greeted"] = hostile.Database("greeted") with { ConnectQuery = "SELECT 1" },
            },
        });
        using var bystander = await BystanderAsync(pooler);

        foreach (var (database, user) in new[] { ("queried", "nobody"), ("greeted", PostgresForPooler.Trusted) })
        {
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);
            await client.Startup(database, user).SendAsync();
            await RefusalAsync(client);
        }
        // Its application_name has to be set on the server first.
        using (var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted, ("application_name", "x"), ("client_encoding", "LATIN1")))
        {
            await client.Query("SELECT 1").SendAsync();
            await client.ReadToAsync('E');
        }
        await bystander.AssertServedAsync();
    }

    public static readonly TheoryData<Variant, string> GiantMessages = new(
        from variant in Backends from types in new[] { "ZSECT", "DdNA1", "23IntGHW" } select (variant.Data, types));

    /// <summary>CVE-2026-107348, from the other side: a server's messages that would have to be gathered whole.</summary>
    [Theory, MemberData(nameof(GiantMessages))]
    public async Task CVE_2026_107348_Servers_announcing_giant_messages_make_no_buffer_grow(Variant variant, string types)
    {
        int[] lengths = [int.MaxValue, int.MaxValue - 1, int.MaxValue - 4, 0x4000_0000, int.MinValue, -1, 0, 3];
        var attacks = (from type in types from length in lengths select HostileConnection.Announcing(type, length, "name\0value"u8.ToArray())).ToArray();
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            var attack = int.Parse((await connection.ReadToAsync('Q')).Text);
            await connection.SendAsync(attacks[attack]);
            // So much would have to be kept of it, if it were believed.
            for (var i = 0; i < 64; i++) await connection.SendAsync(new byte[64 * 1024]);
        });
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 });
        using var bystander = await BystanderAsync(pooler);
        var before = GC.GetTotalMemory(forceFullCollection: true);

        for (var i = 0; i < attacks.Length; i++)
        {
            using var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);
            await client.Query($"{i}").SendAsync();
            await DrainAsync(client);
        }

        await bystander.AssertServedAsync();
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 32 << 20);
    }

    public static readonly TheoryData<Variant, char, string> Interruptions = new(
        from variant in Backends from status in "IT" from sent in new[] { "simple", "extended", "dropped" } select (variant.Data, status, sent));

    /// <summary>What a server says unasked may come in two halves: nothing of the pooler's own is to get between them.</summary>
    [Theory, MemberData(nameof(Interruptions))]
    public async Task Half_a_notification_is_followed_by_its_other_half(Variant variant, char status, string sent)
    {
        var notification = HostileConnection.Message('A', [0, 0, 0, 1, .. "channel\0SELECT\0"u8]);
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            await connection.ReadToAsync('Q');
            await connection.SendAsync([.. HostileConnection.Written(w => { w.CommandComplete("FIRST"); w.ReadyForQuery((byte)status); }), .. notification[..9]]);
            await connection.ReadToAsync(sent == "extended" ? 'S' : 'Q');
            await connection.SendAsync([
                .. notification[9..],
                .. sent == "extended" ? HostileConnection.Message('1') : [],
                .. sent == "extended" ? HostileConnection.Message('2') : [],
                .. HostileConnection.Written(w => { w.CommandComplete("SECOND"); w.ReadyForQuery((byte)status); })]);
            await connection.ServeAsync();
        });
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 });
        using var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);
        await client.Query("SELECT").SendAsync();
        Assert.Equal($"C(FIRST) Z({status})", RawClient.Transcript(await client.ReadToReadyAsync()));
        // The half notification has come through.
        Assert.Equal((byte)'A', await client.ReadByteAsync());
        for (var i = 1; i < 9; i++) Assert.Equal(notification[i], await client.ReadByteAsync());

        const string Setting = "SET pooler.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'";
        if (sent == "simple") client.Query(Setting);
        else if (sent == "extended") client.Parse("", Setting).Bind("").Execute().Sync();
        else client.CopyData("of nothing").Query("SELECT");
        await client.SendAsync();

        foreach (var expected in notification[9..]) Assert.Equal(expected, await client.ReadByteAsync());
        Assert.Equal((sent == "extended" ? "1 2 " : "") + $"C(SECOND) Z({status})", RawClient.Transcript(await client.ReadToReadyAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_a_client_leaves_in_the_middle_of_a_notification_is_closed(Variant variant)
    {
        var notification = HostileConnection.Message('A', [0, 0, 0, 1, .. "channel\0SELECT\0"u8]);
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            if (connection.Number > 1)
            {
                await connection.ServeAsync();
                return;
            }
            await connection.ReadToAsync('Q');
            await connection.SendAsync([.. HostileConnection.Written(w => { w.CommandComplete("FIRST"); w.ReadyForQuery(TransactionStatus.Idle); }), .. notification[..9]]);
            await connection.HoldAsync();
        });
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 });
        using (var first = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted))
        {
            await first.Query("SELECT").SendAsync();
            await first.ReadToReadyAsync();
            for (var i = 0; i < 9; i++) Assert.Equal(notification[i], await first.ReadByteAsync());
            await first.Terminate().SendAsync();
        }
        using var second = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);

        Assert.Equal("D(served) C(SELECT 1) Z(I)", await second.Query("SELECT").AskAsync());
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_malformed_trace_is_refused_in_its_own_words_whatever_language_the_server_speaks(Variant variant)
    {
        await using var german = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            await connection.ReadToAsync('Q');
            await connection.SendAsync(w =>
            {
                PgError.Error(SqlState.InvalidParameterValue, "Parameter »geqo« erfordert einen Boole’schen Wert").WriteTo(w);
                w.ReadyForQuery(TransactionStatus.Idle);
            });
            await connection.HoldAsync();
        });
        await using var pooler = Start(variant, german);
        using var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);

        await client.Query("SET pooler.traceparent = 'nonsense'; SELECT 1").SendAsync();

        var error = Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E');
        Assert.Equal("invalid value for parameter \"pooler.traceparent\": \"nonsense\"", error.Field('M'));
    }
}
