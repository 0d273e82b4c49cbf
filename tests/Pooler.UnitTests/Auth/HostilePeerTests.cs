using System.Buffers.Binary;
using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Auth;

public class HostilePeerTests
{
    private const string ClientNonce = "fyko+d2lbbFgONRv9qkxdawL";

    [Theory]
    [InlineData("n,,n=,r=" + ClientNonce)]
    [InlineData("y,,n=,r=" + ClientNonce)]
    [InlineData("n,,n=alice,r=" + ClientNonce)]
    [InlineData("n,,n=,r=" + ClientNonce + ",x=extension")]
    public void A_well_formed_first_message_is_answered_with_a_challenge(string message)
    {
        var (step, gate, output) = SendFirst(Initial("SCRAM-SHA-256", message));

        Assert.Equal(AuthStep.Continue, step);
        Assert.Null(gate.Error);
        Assert.StartsWith($"r={ClientNonce}", Encoding.ASCII.GetString(Duel.Bodies(output, Backend.Authentication).Single().AsSpan(4)));
    }

    public static TheoryData<string, byte[], string> BadFirstMessages => new()
    {
        { "nothing", [], "08P01" },
        { "no mechanism's end", "SCRAM-SHA-256"u8.ToArray(), "08P01" },
        { "no length", "SCRAM-SHA-256\0"u8.ToArray(), "08P01" },
        { "no data", [.. "SCRAM-SHA-256\0"u8, 0xFF, 0xFF, 0xFF, 0xFF], "08P01" },
        { "length beyond the message", [.. "SCRAM-SHA-256\0"u8, 0x7F, 0xFF, 0xFF, 0xFF, (byte)'n'], "08P01" },
        { "an unoffered mechanism", Initial("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=" + ClientNonce), "08P01" },
        { "channel binding", Initial("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=" + ClientNonce), "08P01" },
        { "unknown flag", Initial("SCRAM-SHA-256", "q,,n=,r=" + ClientNonce), "08P01" },
        { "authorization identity", Initial("SCRAM-SHA-256", "n,a=root,n=,r=" + ClientNonce), "0A000" },
        { "junk before the name", Initial("SCRAM-SHA-256", "n,x,n=,r=" + ClientNonce), "08P01" },
        { "mandatory extension", Initial("SCRAM-SHA-256", "n,,m=x,n=,r=" + ClientNonce), "0A000" },
        { "no name", Initial("SCRAM-SHA-256", "n,,r=" + ClientNonce), "08P01" },
        { "no nonce", Initial("SCRAM-SHA-256", "n,,n="), "08P01" },
        { "empty nonce", Initial("SCRAM-SHA-256", "n,,n=,r="), "08P01" },
        { "unprintable nonce", Initial("SCRAM-SHA-256", "n,,n=,r=a\u0001b"), "08P01" },
        { "nonce beyond the limit", Initial("SCRAM-SHA-256", "n,,n=,r=" + new string('a', 513)), "08P01" },
        { "message beyond the limit", Initial("SCRAM-SHA-256", "n,,n=,r=" + ClientNonce + ",x=" + new string('a', 1024)), "08P01" },
        { "zero byte", Initial("SCRAM-SHA-256", "n,,n=,r=" + ClientNonce + "\0"), "08P01" },
        { "junk after the nonce", Initial("SCRAM-SHA-256", "n,,n=,r=" + ClientNonce + ",,"), "08P01" },
    };

    [Theory]
    [MemberData(nameof(BadFirstMessages), DisableDiscoveryEnumeration = true)]
    public void A_malformed_first_message_ends_the_exchange(string what, byte[] body, string sqlState)
    {
        var (step, gate, output) = SendFirst(body);

        Assert.True(step == AuthStep.Failed, what);
        Assert.Equal(("FATAL", sqlState), (gate.Error!.Severity, gate.Error.SqlState));
        Assert.Equal(0, output.Length);

        // What comes after the end changes nothing.
        Assert.Equal(AuthStep.Failed, gate.Receive(Initial("SCRAM-SHA-256", "n,,n=,r=" + ClientNonce), output));
        Assert.Equal(AuthStep.Failed, gate.Resume(output));
    }

    public static TheoryData<string, Func<string, string>> TamperedFinals => new()
    {
        { "other binding", m => m.Replace("c=biws", "c=eSws") },
        { "binding of bytes", m => m.Replace("c=biws", "c=cD10bHMtdW5pcXVlLCw=") },
        { "no binding", m => m["c=biws,".Length..] },
        { "other nonce", m => m.Replace(",r=", ",r=x") },
        { "shorter nonce", m => m.Replace(",p=", "#").Split('#') is [var head, var proof] ? $"{head[..^1]},p={proof}" : m },
        { "no proof", m => m[..m.IndexOf(",p=", StringComparison.Ordinal)] },
        { "empty proof", m => m[..(m.IndexOf(",p=", StringComparison.Ordinal) + 3)] },
        { "short proof", m => m[..(m.IndexOf(",p=", StringComparison.Ordinal) + 3)] + "AAAA" },
        { "proof of zeros", m => m[..(m.IndexOf(",p=", StringComparison.Ordinal) + 3)] + Convert.ToBase64String(new byte[32]) },
        { "not base64", m => m[..^4] + "!!!!" },
        { "flipped bit", m => m[..^3] + (m[^3] == 'A' ? 'E' : 'A') + m[^2..] },
        { "an extension that was not signed", m => m.Replace(",p=", ",x=1,p=") },
        { "more after the proof", m => m + ",x=1" },
        { "a comma after the proof", m => m + "," },
        { "second proof", m => m + m[m.IndexOf(",p=", StringComparison.Ordinal)..] },
        { "zero byte", m => m + "\0" },
        { "empty", _ => "" },
        { "too long", m => m.Replace(",p=", ",x=" + new string('a', 1024) + ",p=") },
    };

    [Theory]
    [MemberData(nameof(TamperedFinals), DisableDiscoveryEnumeration = true)]
    public async Task A_tampered_final_message_never_logs_in(string what, Func<string, string> tamper)
    {
        foreach (var stored in new[] { Known.Password, Known.Scram })
        {
            var gate = ClientAuthentication.Create(AuthType.ScramSha256, Known.User, true, Secret.Parse(stored), 100);
            var duel = new Duel(gate, Guest()) { ToGate = (n, body) => n == 1 ? Encoding.Latin1.GetBytes(tamper(Encoding.Latin1.GetString(body))) : body };

            Assert.True((await duel.Run()).Gate == AuthStep.Failed, what);
            Assert.Null(gate.ScramKeys);
        }
    }

    [Fact]
    public async Task A_recorded_login_cannot_be_replayed()
    {
        var recorded = new Duel(Gate(), Guest());
        Assert.Equal(AuthStep.Succeeded, (await recorded.Run()).Gate);

        var gate = Gate();
        gate.Start(new MessageWriter());
        Assert.Equal(AuthStep.Continue, gate.Receive(recorded.SeenByGate[0], new MessageWriter()));
        Assert.Equal(AuthStep.Failed, gate.Receive(recorded.SeenByGate[1], new MessageWriter()));
    }

    [Theory]
    [InlineData(AuthType.Plain)]
    [InlineData(AuthType.Md5)]
    public void A_malformed_password_message_is_turned_away(AuthType type)
    {
        foreach (var (body, sqlState) in new[]
        {
            ("", "08P01"), ("geheim", "08P01"), ("geheim\0x", "08P01"), ("geheim\0\0", "08P01"), ("\0", "28P01"), (new string('x', 65535) + "\0", "08P01"),
        })
        {
            var gate = ClientAuthentication.Create(type, Known.User, true, Secret.Parse(Known.Password), 100);
            gate.Start(new MessageWriter());
            Assert.Equal(AuthStep.Failed, gate.Receive(Encoding.Latin1.GetBytes(body), new MessageWriter()));
            Assert.Equal(sqlState, gate.Error!.SqlState);
        }
    }

    [Fact]
    public void A_message_before_the_question_or_after_the_verdict_is_turned_away()
    {
        foreach (var type in Enum.GetValues<AuthType>())
        {
            var gate = ClientAuthentication.Create(new AuthenticationRequest
            {
                UserName = Known.User,
                Database = "db",
                Method = type,
                UserIsKnown = true,
                Secret = Secret.Parse(Known.Password),
                Settings = new PoolerSettings(),
            });
            Assert.Equal(AuthStep.Failed, gate.Receive("geheim\0"u8, new MessageWriter()));
            Assert.NotNull(gate.Error);
        }

        var asked = ClientAuthentication.Create(AuthType.Plain, Known.User, true, Secret.Parse(Known.Password), 100);
        asked.Start(new MessageWriter());
        Assert.Equal(AuthStep.Succeeded, asked.Receive("geheim\0"u8, new MessageWriter()));
        Assert.Equal(AuthStep.Failed, asked.Receive("geheim\0"u8, new MessageWriter()));
    }

    [Fact]
    public void A_message_while_keys_are_derived_is_turned_away()
    {
        var gate = ClientAuthentication.Create(AuthType.Plain, Known.User, true, Secret.Parse(Known.Scram), 100);
        gate.Start(new MessageWriter());

        Assert.Equal(AuthStep.Working, gate.Receive("geheim\0"u8, new MessageWriter()));
        Assert.Equal(AuthStep.Failed, gate.Receive("geheim\0"u8, new MessageWriter()));
    }

    public static TheoryData<string, byte[][], string> HostileServers => new()
    {
        { "too short", [[0, 0, 0]], "08P01" },
        { "too long", [[0, 0, 0, 10, .. new byte[9000]]], "08P01" },
        { "Kerberos", [Request(2)], "08004" },
        { "GSSAPI", [Request(7)], "08004" },
        { "SSPI", [Request(9)], "08004" },
        { "a method of the future", [Request(13)], "08004" },
        { "another SASL mechanism", [Request(10, "OAUTHBEARER\0\0")], "08004" },
        { "channel binding only", [Request(10, "SCRAM-SHA-256-PLUS\0\0")], "08004" },
        { "an MD5 salt of another length", [Request(5, "abc")], "08P01" },
        { "two questions", [Request(3), Request(3)], "08P01" },
        { "a cheaper method after SCRAM began", [Sasl, Request(3)], "08P01" },
        { "SCRAM begun twice", [Sasl, Sasl], "08P01" },
        { "success instead of a challenge", [Sasl, Request(0)], "08P01" },
        { "a challenge without a beginning", [Request(11, "r=a,s=YQ==,i=1")], "08P01" },
        { "an outcome without a challenge", [Sasl, Request(12, "v=YQ==")], "08P01" },
    };

    [Theory]
    [MemberData(nameof(HostileServers), DisableDiscoveryEnumeration = true)]
    public void A_server_that_breaks_the_rules_is_left(string what, byte[][] messages, string sqlState)
    {
        var guest = Guest();
        var step = guest.Start(new MessageWriter());
        foreach (var message in messages)
        {
            Assert.Equal(AuthStep.Continue, step);
            step = guest.Receive(message, new MessageWriter());
        }

        Assert.True(step == AuthStep.Failed, what);
        Assert.Equal(("FATAL", sqlState), (guest.Error!.Severity, guest.Error.SqlState));
        Assert.Equal(AuthStep.Failed, guest.Receive(Request(0), new MessageWriter()));
    }

    [Theory]
    [InlineData("r=other,s=YWJj,i=4096")]
    [InlineData("r={0},s=YWJj,i=4096")]
    [InlineData("r={0}x\u0001,s=YWJj,i=4096")]
    [InlineData("r={0}x,s=,i=4096")]
    [InlineData("r={0}x,s=%%%%,i=4096")]
    [InlineData("r={0}x,i=4096")]
    [InlineData("r={0}x,s=YWJj")]
    [InlineData("r={0}x,s=YWJj,i=")]
    [InlineData("r={0}x,s=YWJj,i=0")]
    [InlineData("r={0}x,s=YWJj,i=-1")]
    [InlineData("r={0}x,s=YWJj,i= 1")]
    [InlineData("r={0}x,s=YWJj,i=99999999999")]
    [InlineData("r={0}x,s=YWJj,i=10000001")]
    [InlineData("r={0}x,s=YWJj,i=2147483647")]
    [InlineData("m=x,r={0}x,s=YWJj,i=4096")]
    [InlineData("e=other-error")]
    [InlineData("")]
    public void A_malformed_challenge_is_not_answered(string format)
    {
        var output = new MessageWriter();
        var guest = Guest();
        guest.Receive(Sasl, output);
        var first = Encoding.ASCII.GetString(Duel.Bodies(output, Frontend.Password).Single());
        var nonce = first[(first.IndexOf("r=", StringComparison.Ordinal) + 2)..];

        Assert.Equal(AuthStep.Failed, guest.Receive(Request(11, format.Replace("{0}", nonce)), output));
        Assert.NotNull(guest.Error);
        Assert.Equal(0, output.Length);
    }

    [Theory]
    [InlineData(490, true)]
    [InlineData(600, false)]
    [InlineData(5000, false)]
    public void A_nonce_of_a_server_may_be_so_long_and_no_longer(int length, bool isAnswered)
    {
        // CVE-2026-6665: a long nonce of a server overran PgBouncer's buffer for the answer.
        var output = new MessageWriter();
        var guest = Guest();
        guest.Receive(Sasl, output);
        var first = Encoding.ASCII.GetString(Duel.Bodies(output, Frontend.Password).Single());
        var nonce = first[(first.IndexOf("r=", StringComparison.Ordinal) + 2)..] + new string('x', length - 24);

        var step = guest.Receive(Request(11, $"r={nonce},s=YWJj,i=1"), output);

        Assert.Equal(isAnswered, step is AuthStep.Continue or AuthStep.Working);
        Assert.Equal(!isAnswered, guest.Error is not null);
    }

    public static TheoryData<string, Func<byte[], byte[]>> ForgedOutcomes => new()
    {
        { "skipped", _ => Request(0) },
        { "another signature", _ => Request(12, "v=" + Convert.ToBase64String(new byte[32])) },
        { "a short signature", _ => Request(12, "v=AAAA") },
        { "an error", _ => Request(12, "e=invalid-proof") },
        { "nothing", _ => Request(12) },
        { "junk", _ => Request(12, "junk") },
        { "another challenge", _ => Request(11, "r=a,s=YWJj,i=1") },
    };

    [Theory]
    [MemberData(nameof(ForgedOutcomes), DisableDiscoveryEnumeration = true)]
    public async Task A_server_that_does_not_prove_itself_is_left(string what, Func<byte[], byte[]> forge)
    {
        var guest = Guest();
        var duel = new Duel(Gate(), guest) { ToGuest = (n, body) => n == 2 ? forge(body) : body };

        Assert.True((await duel.Run()).Guest == AuthStep.Failed, what);
        Assert.NotNull(guest.Error);
    }

    [Fact]
    public async Task Random_and_mutilated_messages_never_throw_and_never_log_in()
    {
        var random = new Random(5802);
        for (var i = 0; i < 3000; i++)
        {
            var type = (AuthType)random.Next((int)AuthType.Plain, (int)AuthType.ScramSha256 + 1);
            var stored = new[] { Known.Password, Known.Md5, Known.Scram, null }[random.Next(4)];
            var gate = ClientAuthentication.Create(type, Known.User, true, Secret.Parse(stored), 100);
            var victim = random.Next(2);

            // Whoever gets a mutilated message, the client doesn't know the password.
            var guest = new ServerAuthentication(new ServerCredentials(Known.User, Secret.Parse("guess")));
            var duel = new Duel(gate, guest)
            {
                ToGate = (n, body) => n == victim ? Mutilate(random, body) : body,
                ToGuest = (n, body) => n == victim && i % 2 == 0 ? Mutilate(random, body) : body,
            };

            Assert.NotEqual(AuthStep.Succeeded, (await duel.Run()).Gate);
        }
    }

    private static byte[] Sasl => Request(10, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");

    private static ClientAuthentication Gate() =>
        ClientAuthentication.Create(AuthType.ScramSha256, Known.User, true, Secret.Parse(Known.Scram), 100);

    private static ServerAuthentication Guest() => new(new ServerCredentials(Known.User, Secret.Parse(Known.Password)));

    private static (AuthStep Step, ClientAuthentication Gate, MessageWriter Output) SendFirst(byte[] body)
    {
        var gate = Gate();
        var output = new MessageWriter();
        gate.Start(output);
        output.Clear();
        return (gate.Receive(body, output), gate, output);
    }

    private static byte[] Initial(string mechanism, string data)
    {
        var writer = new MessageWriter();
        writer.SaslInitialResponse(Encoding.ASCII.GetBytes(mechanism), Encoding.Latin1.GetBytes(data));
        return writer.Written[5..].ToArray();
    }

    private static byte[] Request(int code, string data = "")
    {
        var body = new byte[4 + data.Length];
        BinaryPrimitives.WriteInt32BigEndian(body, code);
        Encoding.Latin1.GetBytes(data, body.AsSpan(4));
        return body;
    }

    private static byte[] Mutilate(Random random, byte[] body)
    {
        var result = body.ToList();
        for (var n = random.Next(1, 5); n > 0; n--)
        {
            switch (random.Next(4))
            {
                case 0 when result.Count > 0: result[random.Next(result.Count)] = (byte)random.Next(256); break;
                case 1 when result.Count > 0: result.RemoveRange(random.Next(result.Count), 1); break;
                case 2 when result.Count > 0: result = result[..random.Next(result.Count)]; break;
                default: result.Insert(random.Next(result.Count + 1), (byte)random.Next(256)); break;
            }
        }

        return [.. result];
    }
}
