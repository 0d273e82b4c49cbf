using System.Text;
using Pooler.Engine.Telemetry;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public sealed class QueryTextTests
{
    [Theory]
    [InlineData("SELECT * FROM t WHERE id = 42 AND name = 'Ann'", "SELECT * FROM t WHERE id = ? AND name = ?")]
    [InlineData("select 'it''s', 1.5, .5, 1e-7, 1.5E+10, 0x1F, 1_000", "select ?, ?, ?, ?, ?, ?, ?")]
    [InlineData("select 1-2, -3, a+4", "select ?-?, -?, a+?")]
    [InlineData("select $1, $2::int", "select $1, $2::int")]
    [InlineData("select t1.c2, x_3", "select t1.c2, x_3")]
    [InlineData("select E'it\\'s a \\\\', 2", "select ?, ?")]
    [InlineData("select e'\\'secret', 2", "select ?, ?")]
    [InlineData("select B'101', x'1F', N'abc', U&'d\\0061t'", "select ?, ?, ?, ?")]
    [InlineData("select U&\"d\\0061ta\", \"Quoted 'name' 1\"\"2\"", "select U&\"d\\0061ta\", \"Quoted 'name' 1\"\"2\"")]
    [InlineData("DO $$ BEGIN secret := 'x'; END $$", "DO ?")]
    [InlineData("select $tag$ a $$ b $tag $tag$, 2", "select ?, ?")]
    [InlineData("select a$b$c from t$1", "select a$b$c from t$1")]
    [InlineData("select 'a'\n  'b', 1", "select ?, ?")]
    [InlineData("select E'a' -- comment\n '\\'b', c", "select ?, c")]
    [InlineData("ALTER ROLE app PASSWORD 'geheim' VALID UNTIL '2030-01-01'", "ALTER ROLE app PASSWORD ? VALID UNTIL ?")]
    [InlineData("CREATE USER app ENCRYPTED PASSWORD'geheim'", "CREATE USER app ENCRYPTED PASSWORD?")]
    [InlineData("select  1 ,\n\t b  \r\n", "select ? , b")]
    [InlineData("select a -- the 'comment'\nfrom t", "select a from t")]
    [InlineData("select a/*x /* nested */ 'y */+b", "select a +b")]
    [InlineData("select a /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/", "select a")]
    [InlineData("select data ? 'key', a ->> 'b', c || 'd'", "select data ? ?, a ->> ?, c || ?")]
    [InlineData("select 'cut in the mid", "select ?")]
    [InlineData("select $a$ cut in the mid", "select ?")]
    [InlineData("select a /* cut in the mid", "select a")]
    [InlineData("select \"cut in the mid", "select \"cut in the mid")]
    [InlineData("select 'größe', größe, 1", "select ?, größe, ?")]
    [InlineData("select true, null, current_date", "select true, null, current_date")]
    [InlineData("", "")]
    [InlineData(" ; ", ";")]
    public void Literals_become_question_marks_and_comments_go(string sql, string expected) =>
        Assert.Equal(expected, QueryText.WithoutLiterals(Encoding.UTF8.GetBytes(sql)));

    [Theory]
    // With standard_conforming_strings off, the string goes on behind the quote.
    [InlineData("select 'a\\', ' secret'", "select ?…")]
    // A name to old servers, the beginning of a string to none.
    [InlineData("select 1$$ secret $$", "select ?…")]
    public void What_can_be_read_in_two_ways_is_left_out(string sql, string expected) =>
        Assert.Equal(expected, QueryText.WithoutLiterals(Encoding.UTF8.GetBytes(sql)));

    [Fact]
    public void A_backslash_that_may_be_half_a_character_is_not_trusted() =>
        Assert.Equal("select ?…", QueryText.WithoutLiterals([.. "select E'"u8, 0x95, (byte)'\\', .. "', 'secret'"u8]));

    [Fact]
    public void A_text_that_was_cut_says_so()
    {
        Assert.Equal("select a,…", QueryText.WithoutLiterals("select a, "u8, isCut: true));
        Assert.Equal("select 1, …", QueryText.AsIs("select 1, "u8, isCut: true));
    }

    [Fact]
    public void Control_characters_do_not_get_through() =>
        Assert.Equal("select a, \"b c\"", QueryText.WithoutLiterals("select\u0001a,\u0000\u001b\"b\nc\""u8));

    [Fact]
    public void Any_bytes_are_read_and_reading_the_result_again_changes_nothing()
    {
        var random = new Random(4711);
        var pieces = new[]
        {
            "'", "''", "\\", "\"", "$", "$$", "$a$", "$1", "--", "/*", "*/", "\n", " ", "E'", "U&'", "U&\"", "x'", "1", "1.5e", "+", "-", ".", "?", "…",
            "select", "a", "e", ",", "é", "\0", "\r", "\u0001",
        };
        for (var round = 0; round < 50_000; round++)
        {
            var bytes = new List<byte>();
            for (var count = random.Next(1, 14); count > 0; count--)
            {
                if (random.Next(10) == 0) bytes.Add((byte)random.Next(256));
                else bytes.AddRange(Encoding.UTF8.GetBytes(pieces[random.Next(pieces.Length)]));
            }
            var sql = bytes.ToArray();
            var once = QueryText.WithoutLiterals(sql);
            Assert.DoesNotContain(once, char.IsControl);
            Assert.True(once == QueryText.WithoutLiterals(Encoding.UTF8.GetBytes(once)), $"not stable: {Convert.ToHexString(sql)}: {once}");
        }
    }

    [Fact]
    public void Secrets_in_random_statements_are_never_shown()
    {
        const string secret = "hunter";
        var random = new Random(42);
        Func<string>[] literals =
        [
            () => $"'{secret}'", () => $"'a''{secret}'", () => $"E'\\'{secret}'", () => $"E'{secret}\\\\'", () => $"$${secret}$$", () => $"$q${secret} $$ '$q$",
            () => $"U&'{secret}'", () => $"N'{secret}'", () => $"'x'\n'{secret}'", () => $"/* {secret} */ 1", () => $"-- {secret} '\n 2", () => $"'\\\\{secret}'",
            () => $"E'a'\n'\\'{secret}'",
        ];
        string[] code = ["select ", ", ", " from t where a = ", " = any(", "::text", " -- '\n", "/* ' */", "\"it's\"", "$1", "a$b", " || ", "1.5", "E", "x "];
        for (var round = 0; round < 20_000; round++)
        {
            var sql = new StringBuilder();
            for (var count = random.Next(1, 10); count > 0; count--)
            {
                // A blank on both sides, so that what stands beside a literal does not change what it is.
                sql.Append(code[random.Next(code.Length)]).Append(' ').Append(literals[random.Next(literals.Length)]()).Append(' ');
            }
            var text = QueryText.WithoutLiterals(Encoding.UTF8.GetBytes(sql.ToString()));
            Assert.False(text.Contains(secret, StringComparison.Ordinal), $"{sql} gives {text}");
        }
    }
}
