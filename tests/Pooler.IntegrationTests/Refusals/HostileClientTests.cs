using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>PgBouncer's vulnerabilities to clients, tried on a running pooler.</summary>
public sealed class HostileClientTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    /// <summary>CVE-2026-6664: lengths in a SCRAM message overflowed, passed the check and crashed the process.</summary>
    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2026_6664_Lengths_in_scram_messages_that_overflow_are_refused(Variant variant)
    {
        await using var pooler = Start(variant);
        using var bystander = await BystanderAsync(pooler);
        pooler.Reload(c => c with { Settings = c.Settings with { AuthType = AuthType.ScramSha256 } });
        var mechanism = "SCRAM-SHA-256\0"u8.ToArray();
        var first = "n,,n=,r=abcdefghijklmnop"u8.ToArray();
        int[] lengths = [int.MaxValue, int.MaxValue - 3, int.MaxValue - 17, int.MinValue, int.MinValue + 4, -1, -2, -5, 0, 1, first.Length - 1, first.Length + 1, 65536];

        foreach (var length in lengths)
        {
            using var client = await BeginAsync(pooler);
            await client.SendAsync(HostileConnection.Message('p', [.. mechanism, .. BigEndian(length), .. first]));
            await RefusalAsync(client);
        }
        // The same lengths, of the message itself.
        foreach (var length in lengths.Where(l => l is < 4 or > 65539))
        {
            using var client = await BeginAsync(pooler);
            await client.SendAsync(HostileConnection.Announcing('p', length, [.. mechanism, .. BigEndian(first.Length), .. first]));
            await RefusalAsync(client);
        }
        // And no end of anything.
        foreach (var body in (byte[][])[[], [0], "SCRAM-SHA-256"u8.ToArray(), mechanism, [.. mechanism, 0, 0, 0]])
        {
            using var client = await BeginAsync(pooler);
            await client.SendAsync(HostileConnection.Message('p', body));
            await RefusalAsync(client);
        }

        Assert.Equal("1", await bystander.Client.ScalarAsync("SELECT 1"));
        pooler.Reload(c => c with { Settings = c.Settings with { AuthType = AuthType.Trust } });
        await bystander.AssertServedAsync();

        async Task<RawClient> BeginAsync(RunningPooler to)
        {
            var client = await RawClient.ConnectAsync(to.EndPoint);
            await client.Startup("postgres", Postgres.Server.User).SendAsync();
            await client.ReadToAsync('R');
            return client;
        }
    }

    /// <summary>CVE-2026-6667: KILL_CLIENT was open to those who may look only. Here: everything that is not looking.</summary>
    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2026_6667_Stats_users_kill_no_client_and_change_nothing(Variant variant)
    {
        await using var pooler = Start(variant, change: s => s with { StatsUsers = PostgresForPooler.Trusted });
        using var victim = await BystanderAsync(pooler);
        using var console = await pooler.LoginAsync("pgbouncer");
        await console.Query("SHOW CLIENTS").SendAsync();
        var row = (await console.ReadToReadyAsync()).Where(m => m.Type == 'D').Select(m => m.Cells()).Single(cells => cells.Contains(victim.Database));
        // Every cell that could be taken for an id: PgBouncer's ptr and our own number among them.
        var ids = row.Where(cell => cell is { Length: > 0 } && cell.All(char.IsAsciiHexDigit)).Append("0x1").ToArray();
        Assert.NotEmpty(ids);
        var database = victim.Database;
        string[] commands =
        [
            .. ids.SelectMany(id => (string[])[$"KILL_CLIENT {id}", $"kill_client {id};", $" KILL_CLIENT  '{id}'"]),
            "KILL", $"KILL {database}", "PAUSE", $"PAUSE {database}", "RESUME", $"RESUME {database}", "SUSPEND", $"DISABLE {database}",
            $"ENABLE {database}", "RECONNECT", $"RECONNECT {database}", "RELOAD", "SET default_pool_size = 1", "SET default_pool_size TO 1",
            "WAIT_CLOSE", $"WAIT_CLOSE {database}", "SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN WAIT_FOR_CLIENTS", "SHOW FDS",
        ];
        var before = pooler.Engine.Configuration;

        foreach (var command in commands)
        {
            await console.Query(command).SendAsync();
            AssertRefused(command, await console.ReadToReadyAsync());
            await console.Parse("", command).Bind("").Execute().Sync().SendAsync();
            AssertRefused(command, await console.ReadToReadyAsync());
        }

        await victim.AssertServedAsync();
        Assert.Same(before, pooler.Engine.Configuration);

        static void AssertRefused(string command, List<RawMessage> answer)
        {
            var error = Assert.Single(answer, m => m.Type == 'E');
            Assert.True(error.Field('M') == "admin access needed" || error.Field('C') == "42601", $"{command}: {error.Field('M')}");
            Assert.DoesNotContain(answer, m => m.Type is 'C' or 'D');
        }
    }

    public static readonly TheoryData<Variant, string> SecondStartups = new(
        from variant in Backends from moment in new[] { "before the first message", "behind the first message", "before the proof", "behind the proof" }
        select (variant.Data, moment));

    /// <summary>
    /// CVE-2026-107350: a second startup packet in the middle of SCRAM named another user, who was logged in with the
    /// first one's password.
    /// </summary>
    [Theory, MemberData(nameof(SecondStartups))]
    public async Task CVE_2026_107350_A_second_startup_packet_during_scram_logs_nobody_else_in(Variant variant, string moment)
    {
        await using var pooler = Start(variant);
        using var bystander = await BystanderAsync(pooler);
        pooler.Reload(c => c with { Settings = c.Settings with { AuthType = AuthType.ScramSha256 } });
        // Without it the conversation is an honest one, which has to end well: so far the attack would get.
        Assert.Equal(Postgres.Server.User, (await ConverseAsync("never")).LastOrDefault(m => m.Type == 'D')?.Cells()[0]);

        var messages = await ConverseAsync(moment);

        Assert.DoesNotContain(messages, m => m.Type == 'D');
        if (moment != "behind the proof") Assert.DoesNotContain(messages, m => m.Type == 'Z');
        Assert.Equal(("FATAL", "08P01"), (messages[^1].Field('S'), messages[^1].Field('C')));
        Assert.Equal("1", await bystander.Client.ScalarAsync("SELECT 1"));

        async Task<List<RawMessage>> ConverseAsync(string when)
        {
            var second = HostileConnection.Written(w => w.StartupMessage(PostgresForPooler.Trusted, "postgres", null));
            var scram = new ServerAuthentication(new ServerCredentials(Postgres.Server.User, Secret.Parse(Postgres.Server.Password)));
            using var client = await RawClient.ConnectAsync(pooler.EndPoint);
            await client.Startup("postgres", Postgres.Server.User).SendAsync();
            var first = await StepAsync(scram, (await client.ReadToAsync('R'))[^1]);
            if (when == "before the first message") first = [.. second, .. first];
            if (when == "behind the first message") first = [.. first, .. second];
            await client.SendAsync(first);
            var challenge = (await client.ReadAsync())!;
            if (challenge.Type != 'R') return [challenge, .. await client.ReadToEndAsync()];
            var proof = await StepAsync(scram, challenge);
            if (when == "before the proof") proof = [.. second, .. proof];
            if (when == "behind the proof") proof = [.. proof, .. second];
            await client.SendAsync([.. proof, .. HostileConnection.Written(w => w.Query("SELECT current_user"))]);
            return [.. await client.ReadToReadyAsync(2)];
        }

        static async Task<byte[]> StepAsync(ServerAuthentication scram, RawMessage request)
        {
            var writer = new MessageWriter();
            if (scram.Receive(request.Body, writer) == AuthStep.Working)
            {
                await scram.Work!;
                scram.Resume(writer);
            }
            return writer.Written.ToArray();
        }
    }

    public static readonly TheoryData<Variant, string> EndlessOptions = new(
        from variant in Backends
        from options in new[] { "-c=", "-c =", "-c", "-c ", "--", "--=", "--=x", "-c =x", "-c a", "-c\\", "-c \\", "-c=-c=-c=", "-c a=b -c=", "-ca=b -c=", "=", "-", " -c= " }
        select (variant.Data, options));

    /// <summary>CVE-2026-107349: <c>options</c> with <c>-c=</c> was parsed for ever.</summary>
    [Theory, MemberData(nameof(EndlessOptions))]
    public async Task CVE_2026_107349_Options_without_a_name_are_refused_at_once(Variant variant, string options)
    {
        await using var pooler = Start(variant);
        using var bystander = await BystanderAsync(pooler);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);

        await client.Startup(bystander.Database, PostgresForPooler.Trusted, ("options", options)).SendAsync();

        await RefusalAsync(client);
        // The loop is the only one: had it gone round in circles, nobody would be served.
        await bystander.AssertServedAsync();
    }

    /// <summary>
    /// CVE-2026-107348: the size of a packet buffer overflowed as it grew. Here: lengths around every power of two that
    /// could overflow, in every message that has to be gathered, and in those that are passed on.
    /// </summary>
    [Theory, MemberData(nameof(Backends))]
    public async Task CVE_2026_107348_Clients_announcing_giant_messages_make_no_buffer_grow(Variant variant)
    {
        await using var pooler = Start(variant);
        using var bystander = await BystanderAsync(pooler);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        int[] lengths = [int.MaxValue, int.MaxValue - 1, int.MaxValue - 4, 0x4000_0000, 0x4000_0001, int.MinValue, -1, 0, 3];

        foreach (var length in lengths)
        {
            // As the first packet, whose length comes first.
            using (var client = await RawClient.ConnectAsync(pooler.EndPoint))
            {
                await client.SendAsync([.. BigEndian(length), 0, 3, 0, 0, .. "user\0me\0"u8]);
                await RefusalAsync(client);
            }
            // In traffic: a prepared statement must be gathered whole, as must what names one.
            foreach (var (type, body) in new[] { ('P', "name\0SELECT 1"), ('C', "Sname"), ('D', "Sname"), ('B', "portal"), ('B', "\0name"), ('E', "portal"), ('S', ""), ('H', ""), ('X', "") })
            {
                using var client = await pooler.LoginAsync(bystander.Database);
                await client.SendAsync(HostileConnection.Announcing(type, length, Encoding.ASCII.GetBytes(body)));
                if (length > 0 && type == 'B')
                {
                    // A statement's name may follow yet, but not for ever.
                    for (var sent = 0; sent < 40; sent++) client.Bytes(new byte[4096].Select(_ => (byte)'x').ToArray());
                    await client.SendAsync();
                }
                var messages = await client.ReadToEndAsync();
                Assert.True(messages.Count > 0 && messages[^1].Type == 'E' || type == 'X', $"{type} of {length} bytes: {RawClient.Transcript(messages)}");
            }
            // What is passed on piece by piece is the server's to refuse.
            foreach (var type in "QPBdfF")
            {
                using var client = await pooler.LoginAsync(bystander.Database);
                await client.SendAsync(HostileConnection.Announcing(type, length, [0, .. "SELECT 1"u8]));
                client.HalfClose();
                await client.ReadToEndAsync();
            }
        }

        await Eventually.TrueAsync(() => pooler.Pool(bystander.Database) is { ClientsActive: <= 1, ClientsWaiting: 0 }, cancellationToken: Cancelled);
        await bystander.AssertServedAsync();
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 32 << 20);
    }

    private static byte[] BigEndian(int value) => [(byte)(value >> 24), (byte)(value >> 16), (byte)(value >> 8), (byte)value];
}
