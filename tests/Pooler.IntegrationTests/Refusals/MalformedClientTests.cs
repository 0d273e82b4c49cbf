using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>
/// Bytes that make no sense, in every state that a client can be in: an error or the end of the connection follows,
/// nothing else breaks, and those who share the pool notice nothing.
/// </summary>
public sealed class MalformedClientTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    private const string Silent = "silent";
    private static readonly Lazy<(string Certificate, string Key)> _tlsFiles = new(WriteTlsFiles);

    public static readonly TheoryData<Variant, string> Logins = Cases(
        "fresh", "TLS refused", "TLS agreed", "GSSAPI refused", "in TLS", "plain", "md5", "scram", "scram answered", "scram-plus", "ldap", "auth_query", "welcome");

    public static readonly TheoryData<Variant, string> Sessions = Cases(
        "idle", "in a batch", "behind an error", "copying in", "in a transaction", "waiting", "streaming", "console", "console batch");

    [Theory, MemberData(nameof(Logins))]
    public async Task Malformed_logins_are_refused(Variant variant, string state)
    {
        using var log = new RecordingLog();
        await using var silent = new HostileServer(connection => connection.HoldAsync());
        await using var pooler = StartFor(variant, state, silent, log);
        using var bystander = await BystanderAsync(pooler);
        Require(pooler, state);
        var garbage = state switch
        {
            "fresh" or "TLS refused" or "GSSAPI refused" or "in TLS" => Garbage.Startups,
            "TLS agreed" => [[0, 0, 0, 0], [0, 0, 0, 8, 4, 210, 22, 47], Garbage.Startup(0x0003_0000, "user\0me\0\0"), [22, 3, 1, 0, 1, 0], [21, 3, 3, 0, 2, 2, 0]],
            "auth_query" or "welcome" => [],
            _ => Garbage.Answers,
        };

        foreach (var bytes in garbage)
        {
            using var client = await EnterAsync(pooler, state);
            await client.SendAsync(bytes);
            if (state != "TLS agreed")
            {
                await RefusalAsync(client);
                continue;
            }
            // What begins like a handshake may be waited for.
            client.HalfClose();
            await DrainAsync(client);
        }
        var honest = state is "fresh" or "TLS refused" or "GSSAPI refused" or "in TLS" or "TLS agreed"
            ? Garbage.Startup(0x0003_0000, $"user\0{PostgresForPooler.Trusted}\0database\0postgres\0options\0-c TimeZone=UTC\0application_name\0x\0\0")
            : HostileConnection.Message('p', [.. "SCRAM-SHA-256\0"u8, 0, 0, 0, 24, .. "n,,n=,r=abcdefghijklmnop"u8]);
        await SendMutilatedAsync(pooler, state, honest, rounds: 40);

        pooler.Reload(c => c with { Settings = c.Settings with { AuthType = AuthType.Trust } });
        await bystander.AssertServedAsync();
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Sessions))]
    public async Task Malformed_requests_are_refused(Variant variant, string state)
    {
        using var log = new RecordingLog();
        await using var silent = new HostileServer(StreamAsync);
        await using var pooler = StartFor(variant, state, silent, log);
        using var bystander = await BystanderAsync(pooler);
        // The attackers share its pool; a server less than there are clients, so that they take each other's places.
        using var stop = new CancellationTokenSource();
        var asking = state == "waiting" ? Task.CompletedTask : bystander.AskUntilAsync(stop.Token);
        using var holder = state == "waiting" ? await pooler.LoginAsync(bystander.Database) : null;
        if (holder is not null) await holder.Query("BEGIN").AskAsync();

        foreach (var bytes in Garbage.Requests)
        {
            // Whoever waits is not read from.
            if (state == "waiting") break;
            // Nor is a statement gathered that only one server will ever see.
            if (state == "streaming" && bytes is [(byte)'P', 0x7f, ..]) continue;
            using var client = await EnterAsync(pooler, state, bystander.Database);
            await client.SendAsync(bytes);
            var messages = await client.ReadToEndAsync();
            // X says goodbye however long it claims to be; in a stream all ends with the server's connection.
            Assert.True(messages.Any(m => m.Type == 'E') || bytes[0] == (byte)'X', $"{state}: {Convert.ToHexString(bytes)}: {RawClient.Transcript(messages)}");
        }
        var honest = HostileConnection.Written(w =>
        {
            w.Parse("s", "SELECT 'attack'");
            w.Bind("", "s");
            w.Execute("");
            w.Sync();
            w.Query("SELECT 'attack'");
        });
        await SendMutilatedAsync(pooler, state, honest, rounds: 40, bystander.Database);

        if (holder is not null) Assert.Equal("C(COMMIT) Z(I)", await holder.Query("COMMIT").AskAsync());
        await stop.CancelAsync();
        await asking;
        await bystander.AssertServedAsync();
        await Eventually.TrueAsync(() => pooler.Pool(bystander.Database) is { ServersActive: 0, ClientsWaiting: 0 }, cancellationToken: Cancelled);
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Logins_that_stop_in_any_state_end_with_client_login_timeout(Variant variant)
    {
        foreach (var state in Logins.Select(row => ((ITheoryDataRow)row).GetData()[1] as string).Distinct())
        {
            await using var silent = new HostileServer(connection => connection.HoldAsync());
            await using var pooler = StartFor(variant, state!, silent, null);
            Require(pooler, state!);
            using var client = await EnterAsync(pooler, state!);
            // Only now: getting as far as that may take its time.
            pooler.Change(s => s with { ClientLoginTimeout = TimeSpan.FromMilliseconds(300) });

            await DrainAsync(client);
        }
    }

    private static TheoryData<Variant, string> Cases(params string[] states) =>
        new(from variant in Backends from state in states select (variant.Data, state));

    /// <summary>The sending half ends behind the bytes: whatever they mean, nothing can be waited for.</summary>
    private async Task SendMutilatedAsync(RunningPooler pooler, string state, byte[] honest, int rounds, string database = "postgres")
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var i = 0; i < rounds; i++)
        {
            using var client = await EnterAsync(pooler, state, database);
            try
            {
                await client.SendAsync(Garbage.Mutilated(random, honest));
                client.HalfClose();
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // Refused already.
            }
            await DrainAsync(client);
        }
    }

    private RunningPooler StartFor(Variant variant, string state, HostileServer silent, RecordingLog? log) => Start(
        variant, change: s =>
        {
            var (certificate, key) = state.Contains("TLS") && state != "TLS refused" || state == "scram-plus" ? _tlsFiles.Value : ("", "");
            return s with
            {
                DefaultPoolSize = state == "waiting" ? 1 : 2,
                AdminUsers = PostgresForPooler.Trusted,
                AuthLdapOptions = "ldapserver=127.0.0.1 ldapport=1 ldapprefix=\"cn=\"",
                ClientTlsSslMode = certificate.Length > 0 ? SslMode.Allow : SslMode.Disable,
                ClientTlsCertFile = certificate,
                ClientTlsKeyFile = key,
            };
        },
        log: log,
        configure: c => c with
        {
            Databases = new Dictionary<string, DatabaseSettings>(c.Databases)
            {
                [Silent] = silent.Database(Silent),
                ["asking"] = silent.Database("asking") with { AuthUser = PostgresForPooler.Trusted },
            },
        });

    /// <summary>From now on clients must prove themselves as the state has it.</summary>
    private static void Require(RunningPooler pooler, string state)
    {
        var type = state switch
        {
            "plain" => AuthType.Plain,
            "md5" => AuthType.Md5,
            "scram" or "scram answered" or "scram-plus" => AuthType.ScramSha256,
            "ldap" => AuthType.Ldap,
            _ => AuthType.Trust,
        };
        pooler.Reload(c => c with { Settings = c.Settings with { AuthType = type } });
    }

    /// <summary>A client that has got so far.</summary>
    private async Task<RawClient> EnterAsync(RunningPooler pooler, string state, string database = "postgres")
    {
        if (state is "console" or "console batch") database = "pgbouncer";
        if (Sessions.Any(row => ((ITheoryDataRow)row).GetData()[1] is string name && name == state) && state != "streaming")
        {
            var session = await pooler.LoginAsync(database);
            switch (state)
            {
                case "in a batch":
                    await session.Parse("begun", "SELECT 1").Bind("begun").SendAsync();
                    break;
                case "behind an error":
                    await session.Parse("", "SELECT nonsense").Flush().SendAsync();
                    await session.ReadToAsync('E');
                    break;
                case "copying in":
                    await session.Query("CREATE TEMP TABLE IF NOT EXISTS taken (a text); COPY taken FROM STDIN").SendAsync();
                    await session.ReadToAsync('G');
                    break;
                case "in a transaction":
                    await session.Query("BEGIN").AskAsync();
                    break;
                case "waiting":
                    await session.Query("SELECT 'waits'").SendAsync();
                    break;
                case "console batch":
                    await session.Parse("", "SHOW POOLS").Bind("").SendAsync();
                    break;
            }
            return session;
        }

        var client = await RawClient.ConnectAsync(pooler.EndPoint);
        switch (state)
        {
            case "TLS refused" or "TLS agreed" or "GSSAPI refused":
                await client.SendAsync(state == "GSSAPI refused" ? RawClient.GssRequest : RawClient.SslRequest);
                Assert.Equal(state == "TLS agreed" ? 'S' : 'N', (char)await client.ReadByteAsync());
                break;
            case "in TLS":
                await client.SecureAsync();
                break;
            case "plain" or "md5" or "scram" or "ldap":
                await client.Startup("postgres", Postgres.Server.User).SendAsync();
                await client.ReadToAsync('R');
                break;
            case "scram answered":
                await client.Startup("postgres", Postgres.Server.User).SendAsync();
                await client.ReadToAsync('R');
                await client.SendAsync(HostileConnection.Message('p', [.. "SCRAM-SHA-256\0"u8, 0, 0, 0, 24, .. "n,,n=,r=abcdefghijklmnop"u8]));
                await client.ReadToAsync('R');
                break;
            case "scram-plus":
                await client.SecureAsync();
                await client.Startup("postgres", Postgres.Server.User).SendAsync();
                Assert.Contains("SCRAM-SHA-256-PLUS", (await client.ReadToAsync('R'))[^1].Text);
                break;
            case "auth_query":
                await client.Startup("asking", "somebody").SendAsync();
                break;
            case "welcome":
                await client.Startup(Silent, PostgresForPooler.Trusted).SendAsync();
                break;
            case "streaming":
                await client.Startup(Silent, PostgresForPooler.Trusted, ("replication", "database")).SendAsync();
                await client.ReadToAsync('Z');
                await client.Query("START_REPLICATION 0/0").SendAsync();
                await client.ReadToAsync('W');
                break;
        }
        return client;
    }

    /// <summary>A server that streams nothing, to whoever wants it.</summary>
    private static async Task StreamAsync(HostileConnection connection)
    {
        await connection.LetInAsync();
        await connection.ReadToAsync('Q');
        await connection.SendAsync(HostileConnection.Message('W', 0, 0, 0));
        await connection.HoldAsync();
    }

    private static (string Certificate, string Key) WriteTlsFiles()
    {
        var directory = Directory.CreateTempSubdirectory("pooler-refusals-");
        AppDomain.CurrentDomain.ProcessExit += (_, _) => directory.Delete(recursive: true);
        var issued = new TestCertificates().Issue("pooler", ["localhost"]);
        var (certificate, key) = (Path.Combine(directory.FullName, "pooler.crt"), Path.Combine(directory.FullName, "pooler.key"));
        File.WriteAllText(certificate, issued.Pem);
        File.WriteAllText(key, issued.KeyPem);
        return (certificate, key);
    }
}
