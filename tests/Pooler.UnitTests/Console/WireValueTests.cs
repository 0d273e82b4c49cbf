using Pooler.Engine.Console;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Console;

public sealed class WireValueTests
{
    // Expected: PostgreSQL 15, SELECT encode(numeric_send('…'), 'hex').
    [Theory]
    [InlineData("0", "0000000000000000")]
    [InlineData("1", "00010000000000000001")]
    [InlineData("10000", "00010001000000000001")]
    [InlineData("12345678", "000200010000000004d2162e")]
    [InlineData("-0.5", "0001ffff400000011388")]
    [InlineData("3.14159", "00030000000000050003058723 28")]
    [InlineData("0.00001", "0001fffe0000000503e8")]
    [InlineData("1.50", "000200000000000200011388")]
    public void Numeric_in_binary_is_what_the_server_would_send(string number, string hex)
    {
        var value = decimal.Parse(number, System.Globalization.CultureInfo.InvariantCulture);
        var writer = new MessageWriter();
        WireValue.Write(writer, value, binary: true);

        Assert.Equal(hex.Replace(" ", ""), Convert.ToHexStringLower(writer.Written[4..]));
        Assert.Equal(value, WireValue.Read(writer.Written[4..], 1700, binary: true));
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    [InlineData(-1L)]
    public void Int8_in_binary_comes_back(long value)
    {
        var writer = new MessageWriter();
        WireValue.Write(writer, value, binary: true);
        Assert.Equal(value, WireValue.Read(writer.Written[4..], 20, binary: true));
    }

    [Theory]
    [InlineData(23, 3)]
    [InlineData(20, 4)]
    [InlineData(1700, 7)]
    [InlineData(1700, 9)]
    [InlineData(16, 2)]
    public void Bytes_that_are_no_value_are_refused(int oid, int length)
    {
        var bytes = new byte[length];
        // For numeric: one digit is announced.
        if (length > 1) bytes[1] = 1;
        Assert.StartsWith("22P0", Assert.Throws<ConsoleException>(() => WireValue.Read(bytes, oid, binary: true)).Error.SqlState);
    }

    [Fact]
    public void Times_carry_the_zone()
    {
        var moment = new DateTimeOffset(2026, 7, 1, 22, 30, 5, TimeSpan.Zero);
        Assert.Equal("2026-07-01 22:30:05 UTC", ConsoleTime.Format(moment, TimeZoneInfo.Utc));
        var east = TimeZoneInfo.CreateCustomTimeZone("east", TimeSpan.FromHours(5.5), "east", "east");
        Assert.Equal("2026-07-02 04:00:05 +05:30", ConsoleTime.Format(moment, east));
    }
}
