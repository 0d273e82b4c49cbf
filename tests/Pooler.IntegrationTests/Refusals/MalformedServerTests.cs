using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>
/// Servers whose bytes make no sense, in every state that a server connection can be in: their client gets an error or its
/// end, they are not used again, and nobody else gets anything of it.
/// </summary>
public sealed class MalformedServerTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    private static readonly byte[] Ok = HostileConnection.Message('R', 0, 0, 0, 0);
    private static readonly byte[] Ready = HostileConnection.Message('Z', (byte)'I');
    private static readonly byte[] Done = HostileConnection.Written(w => { w.CommandComplete("SELECT 1"); w.ReadyForQuery(TransactionStatus.Idle); });
    private static readonly byte[] Row = HostileConnection.Written(w => w.DataRow("stale"));

    private static readonly byte[][] Answers =
    [
        "X"u8.ToArray(), "SS"u8.ToArray(), "NN"u8.ToArray(), "E"u8.ToArray(), [0], [0xff], "HTTP/1.1 400 Bad Request\r\n\r\n"u8.ToArray(), [],
        [.. "S"u8, 22, 3, 3, 0, 4, 1, 2, 3, 4], "R\0\0\0\u0008\0\0\0\0"u8.ToArray(),
    ];

    private static readonly byte[][] Logins =
    [
        [], [0], Ready, Done, Row, [.. HostileConnection.Message('S', [.. "a\0b\0"u8]), .. Ready],
        HostileConnection.Message('R'), HostileConnection.Message('R', 0), HostileConnection.Message('R', 0, 0, 0, 99), HostileConnection.Message('R', 0, 0, 0, 5),
        HostileConnection.Message('R', 0, 0, 0, 10), HostileConnection.Message('R', 0, 0, 0, 11, 1), HostileConnection.Message('R', 0, 0, 0, 12, 1),
        // Mid-SCRAM it is let in, with a challenge never made; and at once, with the end of SCRAM left out.
        [.. HostileConnection.Message('R', [0, 0, 0, 10, .. "SCRAM-SHA-256\0\0"u8]), .. Ready],
        [.. HostileConnection.Message('R', [0, 0, 0, 10, .. "SCRAM-SHA-256\0\0"u8]), .. Ok, .. Ready],
        [.. Ok, .. Ok, .. Ready], [.. Ok, .. HostileConnection.Message('Z')], [.. Ok, .. HostileConnection.Message('Z', 1, 2)],
        [.. Ok, .. HostileConnection.Message('T', 0, 0), .. Ready], [.. Ok, 0xff, 0, 0, 0, 4, .. Ready],
        .. from type in "RSKZEN" from length in (int[])[int.MinValue, -1, 0, 3, 70_000, int.MaxValue] select HostileConnection.Announcing(type, length, 0, 0),
        HostileConnection.Message('E'), HostileConnection.Message('E', 0), HostileConnection.Message('E', 0xff, 0xfe),
        [.. Ok, .. Enumerable.Repeat(HostileConnection.Message('S', [.. "name\0"u8, .. new byte[60_000]]), 40).SelectMany(m => m), .. Ready],
    ];

    private static readonly byte[][] Responses =
    [
        [], [0, 0, 0, 0, 4], [0xff, 0, 0, 0, 4], Ok, HostileConnection.Message('R', 0, 0, 0, 3), HostileConnection.Message('K', 1, 2, 3, 4, 5, 6, 7, 8),
        HostileConnection.Message('Z'), HostileConnection.Message('Z', 0), HostileConnection.Message('Z', (byte)'X'), HostileConnection.Message('Z', (byte)'I', (byte)'I'),
        HostileConnection.Message('S'), HostileConnection.Message('S', [.. "TimeZone"u8]), HostileConnection.Message('S', [.. "TimeZone\0UTC"u8]),
        HostileConnection.Message('p', 0), HostileConnection.Message('Q', 0), HostileConnection.Message('v', 0),
        .. from type in "ZSECTDdNA123IntGHWcsV" from length in (int[])[int.MinValue, -1, 0, 3] select HostileConnection.Announcing(type, length, 0, 0),
        .. from type in "ZSECTDdNA" from length in (int[])[int.MaxValue, 100_000] select (byte[])[.. HostileConnection.Announcing(type, length), .. new byte[50_000]],
        Row, Row[..^3], [.. Row, .. Done[..4]], [.. Done[..^1]],
    ];

    /// <summary>What a server that is asked for nothing may not say.</summary>
    private static readonly byte[][] Unasked =
    [
        Done, [.. Row, .. Done], Ready, Row, Ok, HostileConnection.Message('Z', (byte)'X'), HostileConnection.Message('Z'), HostileConnection.Message('T', 0, 0), HostileConnection.Message('1'),
        HostileConnection.Message('G', 0, 0, 0), [0, 0, 0, 0, 0], [0xff, 0, 0, 0, 4], HostileConnection.Announcing('S', int.MaxValue), HostileConnection.Announcing('D', -1),
        HostileConnection.Message('E', 0), "garbage without end"u8.ToArray(),
    ];

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_answers_the_request_for_encryption_with_anything_else_is_left(Variant variant) =>
        await AttackLoginsAsync(variant, Answers, SslMode.Require);

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_breaks_the_login_is_left(Variant variant) =>
        await AttackLoginsAsync(variant, Logins, SslMode.Disable);

    [Theory, MemberData(nameof(Backends))]
    public async Task Backend_keys_of_any_length_let_the_client_in_and_break_no_cancel_request(Variant variant)
    {
        using var log = new RecordingLog();
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.ReadStartupAsync();
            int[] lengths = [0, 1, 3, 4, 7, 8, 12, 260, 261, 5_000];
            await connection.SendAsync([.. Ok, .. HostileConnection.Message('K', new byte[lengths[(connection.Number - 1) % lengths.Length]]), .. Ready]);
            await connection.ServeAsync();
        });
        await using var pooler = Start(variant, hostile, s => s with { CancelWaitTimeout = TimeSpan.FromMilliseconds(200) }, log);
        for (var i = 0; i < 10; i++)
        {
            using var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);
            await client.CancelAsync(pooler.EndPoint);
            Assert.Equal("D(served) C(SELECT 1) Z(I)", await client.Query("x").AskAsync());
            pooler.Engine.Reconnect(null);
        }
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Answers_that_make_no_sense_reach_nobody_else(Variant variant)
    {
        using var log = new RecordingLog();
        await using var hostile = new HostileServer(connection => AnswerAsync(connection, Responses));
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 }, log);
        using var bystander = await BystanderAsync(pooler);

        for (var i = 0; i < Responses.Length; i++)
        {
            using (var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted))
            {
                await client.Query($"attack {i}").SendAsync();
                await LeaveAfterAnswerAsync(client);
            }
            await AssertNextIsServedAsync(pooler, i);
        }
        await bystander.AssertServedAsync();
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_row_that_breaks_off_is_not_made_whole_with_an_error(Variant variant)
    {
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            await connection.ReadToAsync('Q');
            await connection.SendAsync([.. Row, .. Row[..^3]]);
        });
        await using var pooler = Start(variant, hostile);
        using var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);

        await client.Query("SELECT 1").SendAsync();

        Assert.Equal("D(stale)", RawClient.Transcript(await client.ReadToEndAsync()));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_server_that_speaks_unasked_is_not_given_to_the_next_client(Variant variant)
    {
        using var log = new RecordingLog();
        var speak = new SemaphoreSlim(0);
        await using var hostile = new HostileServer(async connection =>
        {
            await connection.LetInAsync();
            var query = (await connection.ReadToAsync('Q')).Text;
            await connection.SendAsync([.. HostileConnection.Written(w => w.DataRow(query)), .. Done]);
            if (!query.StartsWith("attack", StringComparison.Ordinal)) return;
            await speak.WaitAsync(Cancelled);
            await connection.SendAsync(Unasked[int.Parse(query["attack".Length..])]);
            await connection.HoldAsync();
        });
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 }, log);
        using var bystander = await BystanderAsync(pooler);

        for (var i = 0; i < Unasked.Length; i++)
        {
            using var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);
            Assert.Equal($"D(attack {i}) C(SELECT 1) Z(I)", await client.Query($"attack {i}").AskAsync());
            await Eventually.TrueAsync(() => pooler.Pool(HostileDatabase).ServersIdle == 1, cancellationToken: Cancelled);
            speak.Release();
            await Eventually.TrueAsync(() => pooler.Pool(HostileDatabase).ServersIdle == 0, cancellationToken: Cancelled);

            await AssertNextIsServedAsync(pooler, i);
        }
        await bystander.AssertServedAsync();
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task More_answers_than_requests_stay_with_the_client_that_asked(Variant variant)
    {
        using var log = new RecordingLog();
        byte[][] surplus = [[.. Done, .. Done], [.. Row, .. Done, .. Row, .. Done], [.. Ready, .. Row, .. Done], [.. Done, .. Ready, .. Ready], [.. HostileConnection.Message('1'), .. HostileConnection.Message('3'), .. Done, .. HostileConnection.Message('2')]];
        await using var hostile = new HostileServer(connection => AnswerAsync(connection, surplus));
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 }, log);

        for (var i = 0; i < surplus.Length; i++)
        {
            using (var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted))
                await client.Query($"attack {i}").AskAsync();
            await AssertNextIsServedAsync(pooler, i);
        }
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Mutilated_answers_break_nothing(Variant variant)
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        using var log = new RecordingLog();
        var honest = HostileConnection.Written(w =>
        {
            w.ParameterStatus("TimeZone", "UTC");
            w.ParseComplete();
            w.BindComplete();
            w.RowDescription([new ColumnDescription("a", 25, -1)]);
            w.DataRow("stale");
            w.CommandComplete("SELECT 1");
            w.CloseComplete();
            w.ReadyForQuery(TransactionStatus.Idle);
        });
        var attacks = Enumerable.Range(0, 60).Select(_ => Garbage.Mutilated(random, honest)).ToArray();
        await using var hostile = new HostileServer(connection => AnswerAsync(connection, attacks));
        await using var pooler = Start(variant, hostile, s => s with { DefaultPoolSize = 1 }, log);
        using var bystander = await BystanderAsync(pooler);
        for (var i = 0; i < attacks.Length; i++)
        {
            using (var client = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted))
            {
                client.Parse("s", "SELECT 1").Bind("s").Execute().Close("s").Query($"attack {i}");
                await client.SendAsync();
                await LeaveAfterAnswerAsync(client);
            }
            await AssertNextIsServedAsync(pooler, i);
        }
        await bystander.AssertServedAsync();
        AssertNothingBroke(log);
    }

    /// <summary>Answers honestly, until a query asks for one of the attacks; behind that the connection ends.</summary>
    private static async Task AnswerAsync(HostileConnection connection, byte[][] attacks)
    {
        await connection.LetInAsync();
        while (true)
        {
            var query = (await connection.ReadToAsync('Q')).Text;
            if (query.StartsWith("attack", StringComparison.Ordinal))
            {
                await connection.SendAsync(attacks[int.Parse(query["attack".Length..])]);
                return;
            }
            await connection.SendAsync([.. HostileConnection.Written(w => w.DataRow(query)), .. Done]);
        }
    }

    /// <summary>
    /// Stays for the answer, whatever it is: whoever leaves earlier has the server closed unheard. A begun message ends with the
    /// server's connection.
    /// </summary>
    private static async Task LeaveAfterAnswerAsync(RawClient client)
    {
        try
        {
            await client.ReadToReadyAsync();
            client.HalfClose();
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            return;
        }
        await DrainAsync(client);
    }

    private static async Task AssertNextIsServedAsync(RunningPooler pooler, int i)
    {
        // A server that has just ended may still be found idle by the next client, and be the end of it.
        await Eventually.TrueAsync(() => pooler.Pool(HostileDatabase) is { ServersActive: 0, ServersIdle: 0 }, cancellationToken: Cancelled);
        using var next = await RawClient.LoginAsync(pooler.EndPoint, HostileDatabase, PostgresForPooler.Trusted);
        Assert.Equal($"D(next {i}) C(SELECT 1) Z(I)", await next.Query($"next {i}").AskAsync());
    }

    private async Task AttackLoginsAsync(Variant variant, byte[][] attacks, SslMode mode)
    {
        using var log = new RecordingLog();
        foreach (var attack in attacks)
        {
            await using var hostile = new HostileServer(async connection =>
            {
                await connection.ReadStartupAsync();
                await connection.SendAsync(attack);
                if (attack.Length > 0) await connection.HoldAsync();
            });
            await using var pooler = Start(
                variant, hostile, s => s with { ServerTlsSslMode = mode, ServerConnectTimeout = TimeSpan.FromSeconds(2) }, log);
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);

            await client.Startup(HostileDatabase, Postgres.Server.User).SendAsync();
            await Eventually.TrueAsync(async () => !(await pooler.Engine.CheckHealthAsync(Cancelled)).IsHealthy, cancellationToken: Cancelled);
            // Unless it has been refused already, it goes on waiting for a server that will do.
            pooler.Change(s => s with { ClientLoginTimeout = TimeSpan.FromMilliseconds(1) });

            var messages = await client.ReadToEndAsync();
            Assert.True(messages.Count == 1 && messages[0].Type == 'E', $"{Convert.ToHexString(attack.AsSpan(0, Math.Min(60, attack.Length)))}: {RawClient.Transcript(messages)}");
        }
        AssertNothingBroke(log);
    }
}
