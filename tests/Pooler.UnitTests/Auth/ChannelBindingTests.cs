using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Auth;

/// <summary>SCRAM-SHA-256-PLUS on both sides of the pooler (RFC 5802, section 6; RFC 5929, section 4).</summary>
public class ChannelBindingTests
{
    private const string Nonce = "fyko+d2lbbFgONRv9qkxdawL";
    private static readonly byte[] Ours = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
    private static readonly byte[] Theirs = new byte[32];

    [Theory]
    [InlineData(Known.Password)]
    [InlineData(Known.Scram)]
    public async Task Both_ends_of_one_connection_bind_to_it(string stored)
    {
        var duel = new Duel(Gate(Ours, stored), Guest(Ours));

        Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await duel.Run());
        Assert.StartsWith("SCRAM-SHA-256-PLUS\0", Encoding.ASCII.GetString(duel.SeenByGate[0]));
        Assert.StartsWith($"c={Convert.ToBase64String([.. "p=tls-server-end-point,,"u8, .. Ours])},", Encoding.ASCII.GetString(duel.SeenByGate[1]));
    }

    [Fact]
    public async Task Keys_learned_with_a_binding_open_other_connections()
    {
        var gate = Gate(Ours, Known.Scram);
        await new Duel(gate, Guest(Ours)).Run();
        var credentials = new ServerCredentials(Known.User, Secret.Parse(Known.Scram), gate.ScramKeys);

        Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await new Duel(Gate(Theirs, Known.Scram), new ServerAuthentication(credentials, Theirs)).Run());
    }

    [Theory]
    [InlineData(ChannelBindingMode.Disable, true, true)]
    [InlineData(ChannelBindingMode.Disable, false, true)]
    [InlineData(ChannelBindingMode.Prefer, false, true)]
    [InlineData(ChannelBindingMode.Prefer, true, true)]
    [InlineData(ChannelBindingMode.Require, true, true)]
    [InlineData(ChannelBindingMode.Require, false, false)]
    public async Task What_is_required_is_had_or_refused(ChannelBindingMode mode, bool isOffered, bool isFine)
    {
        // Without an offer the server does no TLS of its own; we do, with whoever is between.
        var duel = new Duel(Gate(isOffered ? Ours : null, Known.Scram), Guest(Ours, mode));

        Assert.Equal(isFine ? (AuthStep.Succeeded, AuthStep.Succeeded) : (AuthStep.Continue, AuthStep.Failed), await duel.Run());
        if (isFine)
        {
            var header = Encoding.ASCII.GetString(duel.SeenByGate[0].AsSpan(duel.SeenByGate[0].AsSpan().IndexOf((byte)0) + 5));
            Assert.StartsWith((mode, isOffered) switch
            {
                (ChannelBindingMode.Disable, _) => "n,,",
                (_, true) => "p=tls-server-end-point,,",
                _ => "y,,",
            }, header);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(5)]
    public void A_server_that_asks_for_less_than_is_required_gets_nothing(int code)
    {
        var guest = Guest(Ours, ChannelBindingMode.Require);
        var output = new MessageWriter();

        Assert.Equal(AuthStep.Failed, guest.Receive([0, 0, 0, (byte)code, .. code == 5 ? new byte[4] : []], output));
        Assert.Contains("channel binding is required", guest.Error!.Message);
        Assert.Equal(0, output.Length);
    }

    [Fact]
    public async Task Without_tls_nothing_is_required_in_vain()
    {
        var guest = Guest(null, ChannelBindingMode.Require);

        Assert.Equal(AuthStep.Failed, (await new Duel(Gate(Ours, Known.Scram), guest).Run()).Guest);
        Assert.Contains("has none to bind to", guest.Error!.Message);
    }

    [Fact]
    public async Task Somebody_who_ends_tls_between_the_two_is_found_out()
    {
        var gate = Gate(Ours, Known.Scram);

        Assert.Equal(AuthStep.Failed, (await new Duel(gate, Guest(Theirs)).Run()).Gate);
        Assert.Equal(("28000", "SCRAM channel binding check failed"), (gate.Error!.SqlState, gate.Error.Message));
        Assert.Null(gate.ScramKeys);
    }

    [Fact]
    public async Task Somebody_who_takes_the_offer_away_is_found_out()
    {
        var gate = Gate(Ours, Known.Scram);
        var duel = new Duel(gate, Guest(Theirs))
        {
            ToGuest = (n, body) => n == 0 ? [.. body[..4], .. "SCRAM-SHA-256\0\0"u8] : body,
        };

        Assert.Equal(AuthStep.Failed, (await duel.Run()).Gate);
        Assert.Equal(("28000", "SCRAM channel binding negotiation error"), (gate.Error!.SqlState, gate.Error.Message));
    }

    [Fact]
    public async Task A_client_without_channel_binding_is_let_in_without_it() =>
        Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await new Duel(Gate(Ours, Known.Scram), Guest(null)).Run());

    [Theory]
    [InlineData("SCRAM-SHA-256-PLUS", "n,,n=,r=" + Nonce, "08P01")]
    [InlineData("SCRAM-SHA-256-PLUS", "y,,n=,r=" + Nonce, "08P01")]
    [InlineData("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=" + Nonce, "08P01")]
    [InlineData("SCRAM-SHA-256-PLUS", "p=,,n=,r=" + Nonce, "08P01")]
    [InlineData("SCRAM-SHA-256-PLUS", "p=tls-server-end-point", "08P01")]
    [InlineData("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,a=root,n=,r=" + Nonce, "0A000")]
    [InlineData("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,x,n=,r=" + Nonce, "08P01")]
    [InlineData("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=" + Nonce, "08P01")]
    [InlineData("SCRAM-SHA-256", "y,,n=,r=" + Nonce, "28000")]
    [InlineData("scram-sha-256-plus", "p=tls-server-end-point,,n=,r=" + Nonce, "08P01")]
    public void A_first_message_that_contradicts_itself_ends_the_exchange(string mechanism, string message, string sqlState)
    {
        var gate = Gate(Ours, Known.Scram);
        var output = new MessageWriter();
        gate.Start(output);
        output.Clear();
        output.SaslInitialResponse(Encoding.ASCII.GetBytes(mechanism), Encoding.Latin1.GetBytes(message));
        var body = output.Written[5..].ToArray();
        output.Clear();

        Assert.Equal(AuthStep.Failed, gate.Receive(body, output));
        Assert.Equal(sqlState, gate.Error!.SqlState);
        Assert.Equal(0, output.Length);
    }

    private static ClientAuthentication Gate(byte[]? binding, string stored) =>
        ClientAuthentication.Create(AuthType.ScramSha256, Known.User, true, Secret.Parse(stored), 100, binding);

    private static ServerAuthentication Guest(byte[]? binding, ChannelBindingMode mode = ChannelBindingMode.Prefer) =>
        new(new ServerCredentials(Known.User, Secret.Parse(Known.Password)), binding, mode);
}
