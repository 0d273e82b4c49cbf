using System.Buffers.Binary;
using System.Text;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;
using Xunit;

namespace Pooler.UnitTests.Sessions;

public sealed class RequestTextTests
{
    private readonly RequestText _text = new();

    private string Shown => RequestDescription.Of(_text.Read(), withValues: false);

    private string ShownWithValues => RequestDescription.Of(_text.Read(), withValues: true);

    private static byte[] Zero(string text) => Encoding.UTF8.GetBytes(text + "\0");

    [Fact]
    public void Before_the_first_request_there_is_nothing() => Assert.Equal("", Shown);

    [Fact]
    public void What_follows_the_texts_zero_is_not_shown()
    {
        _text.Set([.. Zero("SELECT a"), 0, 1, 0, 0, 0, 23]);
        _text.Append("more of another message"u8);
        Assert.Equal("SELECT a", Shown);
    }

    [Fact]
    public void Pieces_are_put_together_until_it_is_long_enough()
    {
        _text.Set("SELECT "u8);
        Assert.Equal("SELECT…", Shown);
        _text.Append("a, "u8);
        _text.Append(Zero("b"));
        Assert.Equal("SELECT a, b", Shown);

        _text.Set(Encoding.UTF8.GetBytes(new string('x', 1000)));
        _text.Append(Encoding.UTF8.GetBytes(new string('y', 1000)));
        Assert.Equal(new string('x', 1000) + new string('y', 24) + "…", Shown);
    }

    [Fact]
    public void A_long_statement_is_cut_as_well()
    {
        _text.Set(new PreparedStatement(1, [.. Encoding.UTF8.GetBytes(new string('x', 2000)), 0, 0, 0]));
        Assert.Equal(new string('x', 1024) + "…", Shown);
    }

    [Fact]
    public void The_unnamed_statement_is_not_taken_for_a_named_one()
    {
        _text.Set(Zero("SELECT unnamed"));
        _text.SetUnnamed();
        Assert.Equal("SELECT unnamed", Shown);
        _text.Set(new PreparedStatement(1, [.. Zero("SELECT named"), 0, 0]));
        Assert.Equal("SELECT named", Shown);
        _text.SetUnnamed();
        Assert.Equal("", Shown);
    }

    [Fact]
    public void What_comes_behind_no_text_is_none()
    {
        _text.Append("a row of COPY data"u8);
        Assert.Equal("", Shown);
        _text.Set(new PreparedStatement(1, [.. Zero("SELECT named"), 0, 0]));
        _text.SetUnnamed();
        _text.Append("values of a Bind"u8);
        Assert.Equal("", Shown);
    }

    [Fact]
    public void Bound_values_are_shown_as_text()
    {
        int[] types = [16, 21, 23, 20, 25, 2950, 1082, 1114, 17, 0];
        byte[][] values =
        [
            [1], [0xFF, 0xFE], [0, 0, 0, 42], [0, 0, 0, 1, 0, 0, 0, 0], [.. "it's"u8], new Guid("00112233-4455-6677-8899-aabbccddeeff").ToByteArray(bigEndian: true),
            [0, 0, 0, 1], [0, 0, 0, 0, 0, 0x0F, 0x42, 0x40], [0xAB, 0xCD], [1],
        ];
        var definition = new List<byte>(Zero("SELECT 'x'"));
        definition.AddRange(Int16(types.Length));
        foreach (var type in types) definition.AddRange(Int32(type));
        var body = new List<byte>([.. Int16(1), .. Int16(1), .. Int16(values.Length + 1)]);
        foreach (var value in values) body.AddRange([.. Int32(value.Length), .. value]);
        body.AddRange(Int32(-1));
        _text.Set(new PreparedStatement(1, [.. definition]));
        _text.SetValues([.. body, 0, 0]);

        Assert.Equal(
            "SELECT 'x' [$1 = 't', $2 = '-2', $3 = '42', $4 = '4294967296', $5 = 'it''s', $6 = '00112233-4455-6677-8899-aabbccddeeff', "
            + "$7 = '2000-01-02', $8 = '2000-01-01 00:00:01', $9 = '\\xabcd', $10 = '\\x01', $11 = NULL]",
            ShownWithValues);
        Assert.Equal("SELECT ?", Shown);
    }

    [Fact]
    public void Values_that_were_cut_or_make_no_sense_are_left_out()
    {
        _text.Set(Zero("SELECT $1, $2"));
        _text.SetValues([0, 0, .. Int16(2), .. Int32(1), (byte)'a', .. Int32(5000), .. Encoding.UTF8.GetBytes(new string('b', 5000))]);
        Assert.Equal("SELECT $1, $2 [$1 = 'a', …]", ShownWithValues);
        var random = new Random(1);
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = new byte[random.Next(40)];
            random.NextBytes(bytes);
            // Small numbers, or nothing would get beyond the counts.
            for (var i = 0; i < bytes.Length; i++) if (random.Next(3) > 0) bytes[i] = (byte)random.Next(4);
            _text.SetValues(bytes);
            Assert.StartsWith("SELECT $1, $2", ShownWithValues);
        }
    }

    [Fact]
    public async Task Whoever_reads_while_it_is_written_sees_one_request_or_the_other()
    {
        var cancelled = TestContext.Current.CancellationToken;
        var statement = new PreparedStatement(1, [.. Zero(new string('p', 700)), 0, 0]);
        var texts = "abcdefgh".Select((c, i) => Zero(new string(c, 40 + 140 * i))).ToArray();
        using var done = new CancellationTokenSource();
        var reading = Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            var seen = new HashSet<char>();
            while (!done.IsCancellationRequested || seen.Count < 2)
            {
                var shown = Shown;
                if (shown.Length == 0) continue;
                Assert.All(shown, c => Assert.Equal(shown[0], c));
                Assert.Equal(shown[0] == 'p' ? 700 : 40 + 140 * (shown[0] - 'a'), shown.Length);
                seen.Add(shown[0]);
                if (done.IsCancellationRequested) break;
            }
        }, cancelled)).ToArray();
        for (var i = 0; i < 300_000; i++)
        {
            if (i % 9 == 8) _text.Set(statement);
            else _text.Set(texts[i % 9]);
        }
        await done.CancelAsync();
        await Task.WhenAll(reading);
    }

    private static byte[] Int16(int value)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteInt16BigEndian(bytes, (short)value);
        return bytes;
    }

    private static byte[] Int32(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return bytes;
    }
}
