using System.Buffers.Binary;
using System.Text;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Protocol;

public class MessageTests
{
    public static TheoryData<string, Action<MessageWriter>, string> Messages => new()
    {
        { "AuthenticationOk", w => w.AuthenticationOk(), "R 00000000" },
        { "AuthenticationCleartextPassword", w => w.AuthenticationCleartextPassword(), "R 00000003" },
        { "AuthenticationMD5Password", w => w.AuthenticationMd5Password([1, 2, 3, 4]), "R 0000000501020304" },
        { "AuthenticationSASL", w => w.AuthenticationSasl("X"u8), "R 0000000A580000" },
        { "AuthenticationSASLContinue", w => w.AuthenticationSaslContinue("r"u8), "R 0000000B72" },
        { "AuthenticationSASLFinal", w => w.AuthenticationSaslFinal("v"u8), "R 0000000C76" },
        { "BackendKeyData", w => w.BackendKeyData(258, [1, 2, 3, 4, 5]), "K 000001020102030405" },
        { "ParameterStatus", w => w.ParameterStatus("a", "é"), "S 6100C3A900" },
        { "ReadyForQuery", w => w.ReadyForQuery(TransactionStatus.Failed), "Z 45" },
        { "NegotiateProtocolVersion", w => w.NegotiateProtocolVersion(2, ["_pq_.x"]), "v 00030002000000015F70715F2E7800" },
        { "RowDescription", w => w.RowDescription([new("n", 20, 8)]), "T 00016E00000000000000000000140008FFFFFFFF0000" },
        { "DataRow", w => w.DataRow("é", null, ""), "D 000300000002C3A9FFFFFFFF00000000" },
        { "CommandComplete", w => w.CommandComplete("SHOW"), "C 53484F5700" },
        { "EmptyQueryResponse", w => w.EmptyQueryResponse(), "I " },
        { "ParameterDescription", w => w.ParameterDescription([25]), "t 000100000019" },
        { "PasswordMessage", w => w.PasswordMessage("x"u8), "p 7800" },
        { "SASLInitialResponse", w => w.SaslInitialResponse("M"u8, "ab"u8), "p 4D00000000026162" },
        { "SASLResponse", w => w.SaslResponse("ab"u8), "p 6162" },
        { "Query", w => w.Query("q"), "Q 7100" },
        { "Parse", w => w.Parse("s", "q", 23), "P 73007100000100000017" },
        { "Bind", w => w.Bind("", "s", "1", null), "B 007300000000020000000131FFFFFFFF0000" },
        { "Describe statement", w => w.DescribeStatement("s"), "D 537300" },
        { "Describe portal", w => w.DescribePortal(""), "D 5000" },
        { "Execute", w => w.Execute("", 5), "E 0000000005" },
        { "Close statement", w => w.CloseStatement("s"), "C 537300" },
        { "Close portal", w => w.ClosePortal(""), "C 5000" },
        { "Sync", w => w.Sync(), "S " },
        { "Terminate", w => w.Terminate(), "X " },
    };

    [Theory]
    [MemberData(nameof(Messages), DisableDiscoveryEnumeration = true)]
    public void A_message_has_its_documented_form(string name, Action<MessageWriter> write, string expected)
    {
        Assert.NotEmpty(name);
        var writer = new MessageWriter(capacity: 1);
        write(writer);
        var written = writer.Written;

        Assert.Equal(expected, $"{(char)written[0]} {Convert.ToHexString(written[5..])}");
        Assert.Equal(written.Length - 1, BinaryPrimitives.ReadInt32BigEndian(written[1..]));
    }

    [Fact]
    public void A_cancel_request_is_what_a_server_expects()
    {
        var writer = new MessageWriter();
        writer.CancelRequest(7, [1, 2, 3, 4]);

        Assert.Equal("0000001004D2162E0000000701020304", Convert.ToHexString(writer.Written));
    }

    [Fact]
    public void An_error_survives_the_wire()
    {
        var error = PgError.Fatal("57P03", "paused", hint: "RESUME", detail: "by the administrator");
        var writer = new MessageWriter();
        error.WriteTo(writer);

        Assert.Equal(error, ErrorFields.Read(writer.Written[5..]));
        Assert.Equal("57P03", Encoding.ASCII.GetString(ErrorFields.ReadSqlState(writer.Written[5..])));
    }

    [Theory]
    [InlineData("")]
    [InlineData("\0")]
    [InlineData("M")]
    [InlineData("Mno end")]
    [InlineData("Xunknown\0\0")]
    public void An_error_that_is_cut_short_is_still_an_error(string body)
    {
        var error = ErrorFields.Read(Encoding.Latin1.GetBytes(body));

        Assert.Equal(("ERROR", "XX000"), (error.Severity, error.SqlState));
        Assert.NotEmpty(error.Message);
        Assert.True(ErrorFields.ReadSqlState(Encoding.Latin1.GetBytes(body)).IsEmpty);
    }

    [Fact]
    public void A_localised_error_is_read_by_its_unlocalised_severity()
    {
        var error = ErrorFields.Read([.. "SFATALE\0VFATAL\0C28P01\0Mr"u8, 0xF4, .. "le\0Fauth.c\0L1\0\0"u8]);

        Assert.Equal(("FATAL", "28P01", "r\uFFFDle"), (error.Severity, error.SqlState, error.Message));
    }

    [Fact]
    public void A_reader_refuses_what_is_not_there_and_stays_where_it_is()
    {
        var reader = new MessageReader([1, 0, 2]);

        Assert.False(reader.TryReadInt32(out _));
        Assert.False(reader.TryReadBytes(4, out _));
        Assert.False(reader.TryReadBytes(-1, out _));
        Assert.True(reader.TryReadCString(out var text));
        Assert.Equal([1], text.ToArray());
        Assert.False(reader.TryReadCString(out _));
        Assert.False(reader.TryReadInt16(out _));
        Assert.True(reader.TryReadByte(out var value));
        Assert.Equal(2, value);
        Assert.True(reader.AtEnd);
        Assert.False(reader.TryReadByte(out _));
        Assert.True(reader.TryReadBytes(0, out _));
    }
}
