using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Sessions;

/// <summary>A client before it is logged in: what it may send, how long it may take, and what it is told.</summary>
public sealed class LoginSessionTests
{
    private static readonly byte[] SslRequest = [0, 0, 0, 8, 4, 210, 22, 47];

    [Theory]
    [InlineData(AuthType.Plain)]
    [InlineData(AuthType.Md5)]
    [InlineData(AuthType.ScramSha256)]
    public void A_second_startup_packet_in_an_exchange_ends_the_connection(AuthType type)
    {
        var harness = new SessionHarness(s => s with { AuthType = type });
        var client = harness.Accept();
        client.Receive(SessionHarness.Startup());
        Assert.Equal("R", SessionHarness.Transcript(client.TakeSent()));

        client.Receive(SessionHarness.Startup());

        AssertRefused(client, "08P01", "client re-sent startup pkt");
    }

    [Fact]
    public void A_second_startup_packet_right_behind_the_first_is_not_taken_for_a_password()
    {
        var harness = new SessionHarness(s => s with { AuthType = AuthType.Plain });
        var client = harness.Accept();

        client.Receive([.. SessionHarness.Startup(), .. SessionHarness.Startup()]);

        var sent = client.TakeSent();
        Assert.Equal("R E08P01", SessionHarness.Transcript(sent));
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void Other_messages_in_an_exchange_end_the_connection()
    {
        var harness = new SessionHarness(s => s with { AuthType = AuthType.Plain });
        foreach (var message in new[] { SessionHarness.Messages(w => w.Query("SELECT 1")), SessionHarness.Messages(w => w.Terminate()), "p\u007f\u007f\u007f\u007f"u8.ToArray(), "p\0\0\0\u0003"u8.ToArray() })
        {
            var client = harness.Accept();
            client.Receive(SessionHarness.Startup());
            client.TakeSent();

            client.Receive(message);

            AssertRefused(client, "08P01", "expected a password response");
        }
    }

    [Fact]
    public void A_password_before_the_startup_packet_ends_the_connection()
    {
        var client = new SessionHarness().Accept();

        client.Receive("p\0\0\0\u0008abc\0"u8);

        AssertRefused(client, "08P01", "client password pkt before startup packet");
    }

    [Theory]
    [InlineData("", "no username supplied", "28000")]
    [InlineData("database\0db\0", "no username supplied", "28000")]
    [InlineData("user\0me\0database", "invalid startup packet layout: expected terminator as last byte", "08P01")]
    [InlineData("user\0me\0\0x", "invalid startup packet layout: expected terminator as last byte", "08P01")]
    [InlineData("user\0me\0database\0db\0odd name\0x\0", "unsupported startup parameter: odd name", "08P01")]
    [InlineData("user\0me\0database\0db\0options\0-c odd!name=x\0", "unsupported startup parameter in options: odd!name", "08P01")]
    [InlineData("user\0me\0database\0db\0options\0-c=\0", "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed", "42601")]
    [InlineData("user\0me\0database\0nodb\0", "no such database: nodb", "3D000")]
    [InlineData("user\0you\0database\0db\0", "\"trust\" authentication failed", "28000")]
    public void A_startup_packet_that_cannot_be_served_is_answered_in_PgBouncers_words(string parameters, string message, string sqlState)
    {
        var client = new SessionHarness().Accept();

        client.Receive(Packet(0x0003_0000, parameters + (parameters.EndsWith("database", StringComparison.Ordinal) || parameters.EndsWith('x') ? "" : "\0")));

        AssertRefused(client, sqlState, message);
    }

    [Fact]
    public void Protocol_2_is_too_old()
    {
        var client = new SessionHarness().Accept();

        client.Receive(Packet(0x0002_0000, new string('\0', 288)));

        AssertRefused(client, "0A000", "old V2 protocol not supported");
    }

    [Fact]
    public void Names_of_users_have_a_limit()
    {
        var harness = new SessionHarness(s => s with { AuthType = AuthType.Plain });
        var (longest, tooLong) = (harness.Accept(), harness.Accept());

        longest.Receive(Packet(0x0003_0000, $"user\0{new string('é', 63)}e\0\0"));
        tooLong.Receive(Packet(0x0003_0000, $"user\0{new string('é', 64)}\0\0"));

        Assert.Equal("R", SessionHarness.Transcript(longest.TakeSent()));
        AssertRefused(tooLong, "28000", "username too long");
    }

    [Fact]
    public void What_is_ignored_in_options_is_not_set()
    {
        var harness = new SessionHarness(s => s with { IgnoreStartupParameters = "options" });
        var client = harness.Login(("options", "-c odd!name=x -c geqo=off -c TimeZone=Asia/Tokyo"));

        client.Receive(SessionHarness.Messages(w => w.Query("SELECT 1")));

        var sent = Encoding.UTF8.GetString(harness.Server.TakeSent());
        Assert.Contains("Asia/Tokyo", sent);
        Assert.DoesNotContain("geqo", sent);
    }

    [Fact]
    public void The_login_timeout_counts_in_every_state()
    {
        var harness = new SessionHarness(s => s with { ClientLoginTimeout = TimeSpan.FromSeconds(5), AuthType = AuthType.Plain, QueryWaitTimeout = TimeSpan.Zero });
        var silent = harness.Accept();
        var refusedTls = harness.Accept();
        refusedTls.Receive(SslRequest);
        var halfPacket = harness.Accept();
        halfPacket.Receive(SessionHarness.Startup().AsSpan(0, 9));
        var asked = harness.Accept();
        asked.Receive(SessionHarness.Startup());
        var halfAnswer = harness.Accept();
        halfAnswer.Receive(SessionHarness.Startup());
        halfAnswer.Receive("p\0\0"u8);
        ManualConnection[] all = [silent, refusedTls, halfPacket, asked, halfAnswer];
        harness.Loop.Advance(TimeSpan.FromSeconds(4));
        Assert.All(all, c => Assert.False(c.IsClosed));
        foreach (var client in all) client.TakeSent();

        harness.Loop.Advance(TimeSpan.FromSeconds(2));

        Assert.All(all, c => AssertRefused(c, "08P01", "client_login_timeout"));
    }

    [Fact]
    public void The_login_timeout_counts_while_no_server_can_be_had()
    {
        var harness = new SessionHarness(s => s with { ClientLoginTimeout = TimeSpan.FromSeconds(5), QueryWaitTimeout = TimeSpan.Zero, ServerConnectTimeout = TimeSpan.Zero });
        var client = harness.Accept();
        client.Receive(SessionHarness.Startup());

        harness.Loop.Advance(TimeSpan.FromSeconds(6));

        AssertRefused(client, "08P01", "client_login_timeout (server down)");
    }

    [Fact]
    public void Clients_that_have_not_said_who_they_are_take_no_place()
    {
        var harness = new SessionHarness(s => s with { MaxClientConn = 1 });
        harness.Accept();
        harness.Accept().Receive(SslRequest);

        var client = harness.Login();
        Assert.False(client.IsClosed);

        var second = harness.Accept();
        second.Receive(SessionHarness.Startup());
        AssertRefused(second, "53300", "no more connections allowed (max_client_conn)");
    }

    [Fact]
    public void A_login_that_fails_gives_its_place_back()
    {
        var harness = new SessionHarness(s => s with { MaxClientConn = 1, AuthType = AuthType.Plain });
        for (var attempt = 0; attempt < 3; attempt++)
        {
            var (leaves, fails) = (harness.Accept(), harness.Accept());
            leaves.Receive(SessionHarness.Startup());
            Assert.Equal("R", SessionHarness.Transcript(leaves.TakeSent()));
            leaves.End();
            fails.Receive(SessionHarness.Startup());
            fails.TakeSent();
            fails.Receive("p\0\0\0\u0006x\0"u8);
            Assert.Equal("E28P01", SessionHarness.Transcript(fails.TakeSent()));
        }
    }

    private static byte[] Packet(int code, string text)
    {
        var body = Encoding.UTF8.GetBytes(text);
        var length = body.Length + 8;
        return [0, 0, (byte)(length >> 8), (byte)length, (byte)(code >> 24), (byte)(code >> 16), (byte)(code >> 8), (byte)code, .. body];
    }

    private static void AssertRefused(ManualConnection client, string sqlState, string message)
    {
        var sent = client.TakeSent();
        Assert.Equal($"E{sqlState}", SessionHarness.Transcript(sent));
        Assert.Contains($"\0M{message}\0", Encoding.UTF8.GetString(sent));
        Assert.True(client.IsClosed);
    }
}
