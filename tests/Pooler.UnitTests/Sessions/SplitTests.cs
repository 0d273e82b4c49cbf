using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Sessions;

/// <summary>However the network cuts a conversation into pieces, the same bytes come out at both ends.</summary>
public sealed class SplitTests
{
    private enum Side
    {
        Client,
        Server,
    }

    /// <summary>A conversation with everything in it that is looked at, changed, added or left out on the way.</summary>
    private static readonly (Side From, byte[] Bytes)[] Conversation =
    [
        (Side.Client, SessionHarness.Messages(w => w.Query("SELECT 1"))),
        // The answer to our own SET first.
        (Side.Server, SessionHarness.Messages(w =>
        {
            w.CommandComplete("SET");
            w.ParameterStatus("TimeZone", "Asia/Tokyo");
            w.ReadyForQuery((byte)'I');
            w.RowDescription([new ColumnDescription("a", 25, -1)]);
            w.DataRow("one");
            w.CommandComplete("SELECT 1");
            w.ReadyForQuery((byte)'I');
        })),
        (Side.Client, SessionHarness.Messages(w =>
        {
            w.Parse("s", "SELECT $1");
            w.DescribeStatement("s");
            w.Bind("", "s", "a parameter");
            w.Execute("");
            w.Sync();
            w.Parse("", "SELECT 1/0");
            w.Bind("", "");
            w.Execute("");
            w.Sync();
            w.Query("SELECT 2");
        })),
        (Side.Server, SessionHarness.Messages(w =>
        {
            w.ParseComplete();
            w.ParameterDescription([25]);
            w.RowDescription([new ColumnDescription("a", 25, -1)]);
            w.BindComplete();
            w.DataRow("a parameter");
            w.CommandComplete("SELECT 1");
            w.ReadyForQuery((byte)'I');
            w.ParseComplete();
            PgError.Error("22012", "division by zero").WriteTo(w);
            w.ReadyForQuery((byte)'I');
            new PgError("NOTICE", "00000", "look").WriteNoticeTo(w);
            w.DataRow("two");
            w.CommandComplete("SELECT 1");
            w.ReadyForQuery((byte)'I');
        })),
        // Known to the server under the same text, and unknown.
        (Side.Client, SessionHarness.Messages(w =>
        {
            w.Parse("other", "SELECT $1");
            w.Parse("new", "SELECT 3");
            w.CloseStatement("s");
            w.Bind("p", "new");
            w.Execute("p");
            w.ClosePortal("p");
            w.Sync();
        })),
        (Side.Server, SessionHarness.Messages(w =>
        {
            w.CloseComplete();
            w.ParseComplete();
            w.CloseComplete();
            w.BindComplete();
            w.DataRow("three");
            w.CommandComplete("SELECT 1");
            w.CloseComplete();
            w.ReadyForQuery((byte)'I');
        })),
        (Side.Client, SessionHarness.Messages(w => w.Query("COPY t FROM STDIN"))),
        (Side.Server, SessionHarness.Messages(w => w.Begin(Backend.CopyInResponse).Byte(0).Int16(0).End())),
        (Side.Client, SessionHarness.Messages(w =>
        {
            w.Begin(Frontend.CopyData).Text("a row\n").End();
            w.Begin(Frontend.CopyDone).End();
        })),
        (Side.Server, SessionHarness.Messages(w =>
        {
            w.CommandComplete("COPY 1");
            w.ReadyForQuery((byte)'I');
        })),
        (Side.Client, SessionHarness.Messages(w => w.Query("DISCARD ALL"))),
        (Side.Server, SessionHarness.Messages(w =>
        {
            w.CommandComplete("DISCARD ALL");
            w.ParameterStatus("TimeZone", "UTC");
            w.ReadyForQuery((byte)'I');
            w.CommandComplete("SET");
            w.ParameterStatus("TimeZone", "Asia/Tokyo");
            w.ReadyForQuery((byte)'I');
        })),
        (Side.Client, SessionHarness.Messages(w =>
        {
            w.Query("SELECT 4");
            w.Terminate();
        })),
    ];

    [Fact]
    public void The_whole_conversation_is_what_it_should_be()
    {
        var (client, server) = Hold(static (connection, bytes, run) =>
        {
            connection.Receive(bytes);
            run();
        });

        Assert.Equal(
            "Q(SET TimeZone TO 'Asia/Tokyo';) Q(SELECT 1) "
            + "P(pooler_1|SELECT $1) D(pooler_1) B(|pooler_1) E S P(|SELECT 1/0) B(|) E S Q(SELECT 2) "
            + "C(pooler_none) P(pooler_2|SELECT 3) C(pooler_none) B(p|pooler_2) E C S "
            + "Q(COPY t FROM STDIN) d c Q(DISCARD ALL) Q(SET TimeZone TO 'Asia/Tokyo';) Q(SELECT 4)",
            SessionHarness.Transcript(server));
        Assert.Equal(
            "T D C ZI 1 t T 2 D C ZI 1 E22012 ZI N D C ZI 1 1 3 2 D C 3 ZI G C ZI C S ZI S",
            SessionHarness.Transcript(client));
    }

    [Fact]
    public void A_cut_at_any_byte_changes_nothing()
    {
        var whole = Hold(static (connection, bytes, run) =>
        {
            connection.Receive(bytes);
            run();
        });
        var longest = Conversation.Max(step => step.Bytes.Length);

        for (var cut = 1; cut < longest; cut++)
        {
            var at = cut;
            var pieces = Hold((connection, bytes, run) =>
            {
                var first = Math.Min(at, bytes.Length);
                connection.Receive(bytes.AsSpan(0, first));
                run();
                if (first < bytes.Length) connection.Receive(bytes.AsSpan(first));
                run();
            });
            Assert.Equal(SessionHarness.Transcript(whole.ToServer), SessionHarness.Transcript(pieces.ToServer));
            Assert.Equal(whole.ToServer, pieces.ToServer);
            Assert.Equal(whole.ToClient, pieces.ToClient);
        }
    }

    [Fact]
    public void Byte_by_byte_it_is_the_same_too()
    {
        var whole = Hold(static (connection, bytes, run) =>
        {
            connection.Receive(bytes);
            run();
        });

        var pieces = Hold(static (connection, bytes, run) =>
        {
            foreach (var single in bytes)
            {
                connection.Receive([single]);
                run();
            }
        });

        Assert.Equal(whole.ToServer, pieces.ToServer);
        Assert.Equal(whole.ToClient, pieces.ToClient);
    }

    private static (byte[] ToClient, byte[] ToServer) Hold(Action<ManualConnection, byte[], Action> receive)
    {
        var harness = new SessionHarness();
        // Other than the server's own, so that it has to be set.
        var client = harness.Login(("TimeZone", "Asia/Tokyo"));
        var server = harness.Server;
        List<byte> toClient = [], toServer = [];
        foreach (var (from, bytes) in Conversation)
        {
            receive(from == Side.Client ? client : server, bytes, harness.Loop.Run);
            toClient.AddRange(client.TakeSent());
            toServer.AddRange(server.TakeSent());
        }
        return ([.. toClient], [.. toServer]);
    }
}
