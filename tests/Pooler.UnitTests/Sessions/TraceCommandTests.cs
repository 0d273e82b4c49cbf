using System.Text;
using Pooler.Engine.Sessions;
using Xunit;

namespace Pooler.UnitTests.Sessions;

public sealed class TraceCommandTests
{
    private const string Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    [Theory]
    [InlineData("SET pooler.traceparent = '" + Parent + "'", "Set", "SET", true)]
    [InlineData("set session Pooler.TraceParent to '" + Parent + "';", "Set", "SET", true)]
    [InlineData("\n\tSET\nLOCAL pooler.traceparent='" + Parent + "' ; ;", "SetLocal", "SET", true)]
    [InlineData("SET pooler.traceparent='" + Parent + "';SELECT 1", "Set", "SET", false)]
    [InlineData("SET pooler.traceparent TO DEFAULT", "Reset", "SET", true)]
    [InlineData("SET LOCAL pooler.traceparent = default", "ResetLocal", "SET", true)]
    [InlineData("RESET pooler.traceparent", "Reset", "RESET", true)]
    [InlineData("RESET ALL", "Reset", "RESET", true)]
    [InlineData("DISCARD ALL;", "Reset", "RESET", true)]
    [InlineData("SHOW pooler.traceparent;SHOW geqo", "Show", "SHOW", false)]
    public void Statements_about_the_parameter_are_understood(string sql, string verb, string tag, bool alone)
    {
        var text = Encoding.UTF8.GetBytes(sql);
        Assert.True(TraceCommand.MayBegin(text));
        Assert.Equal(TraceReading.Found, TraceCommand.TryRead(text, isWhole: true, out var command, out var statement, out var isAlone));

        Assert.Equal(verb, command.Verb.ToString());
        Assert.Equal(tag, command.Tag);
        Assert.Equal(alone, isAlone);
        Assert.False(command.IsMalformed);
        Assert.Equal(command.Verb is TraceVerb.Set or TraceVerb.SetLocal ? Parent : "", command.Value);
        Assert.Equal(sql.Split(';')[0].Trim(), Encoding.UTF8.GetString(text[statement]).Trim());
    }

    [Theory]
    [InlineData("SHOW pooler.traceparent /*traceparent='00-x'*/", true)]
    [InlineData("/* an /* old */ one */ SHOW pooler.traceparent; /**/ -- over", true)]
    [InlineData("-- first\nSHOW /* that */ pooler.traceparent -- last\n;", true)]
    [InlineData("SHOW pooler.traceparent /* / * */; /***/ SHOW geqo", false)]
    public void Comments_change_nothing(string sql, bool alone)
    {
        var text = Encoding.UTF8.GetBytes(sql);
        Assert.True(TraceCommand.MayBegin(text));
        Assert.Equal(TraceReading.Found, TraceCommand.TryRead(text, isWhole: true, out var command, out _, out var isAlone));
        Assert.Equal((TraceVerb.Show, alone), (command.Verb, isAlone));
    }

    [Theory]
    [InlineData("")]
    [InlineData("SELECT 1")]
    [InlineData("SET")]
    [InlineData("SET TimeZone = 'UTC'")]
    [InlineData("SET pooler.traceparents = 'x'")]
    [InlineData("SET pooler.traceparent")]
    [InlineData("SET pooler.traceparent =")]
    [InlineData("SET pooler.traceparent = 'x")]
    [InlineData("SET pooler.traceparent = 'x', 'y'")]
    [InlineData("SET pooler.traceparent = 'x' 'y'")]
    [InlineData("SET pooler.traceparent 'x'")]
    [InlineData("SET LOCAL SESSION pooler.traceparent = 'x'")]
    [InlineData("SET pooler.traceparent = 00-4b")]
    [InlineData("RESET pooler")]
    [InlineData("RESET pooler.traceparent x")]
    [InlineData("SHOW ALL")]
    [InlineData("DISCARD TEMP")]
    [InlineData("SELECT 1; SET pooler.traceparent = 'x'")]
    public void What_is_something_else_is_left_to_the_server(string sql) =>
        Assert.Equal(TraceReading.None, TraceCommand.TryRead(Encoding.UTF8.GetBytes(sql), isWhole: true, out _, out _, out _));

    [Theory]
    [InlineData("SET pooler.traceparent = ''", false, "")]
    [InlineData("SET pooler.traceparent = 'it''s'", true, "it''s")]
    [InlineData("SET pooler.traceparent = off", true, "off")]
    [InlineData("SET pooler.traceparent=1", true, "1")]
    public void A_value_that_is_no_traceparent_is_malformed_unless_empty(string sql, bool malformed, string value)
    {
        var text = Encoding.UTF8.GetBytes(sql);
        Assert.Equal(TraceReading.Found, TraceCommand.TryRead(text, isWhole: true, out var command, out var statement, out _));

        Assert.Equal(malformed, command.IsMalformed);
        Assert.Equal(value, command.Value);
        command.Replace(text.AsSpan()[statement]);
        Assert.Equal(malformed ? "SET geqo='traceparent'" : "SET pooler.noted=''", Encoding.UTF8.GetString(text).Trim());
    }

    [Fact]
    public void What_is_cut_off_is_incomplete_until_it_is_certain()
    {
        const string Sql = "SET LOCAL pooler.traceparent = '" + Parent + "' ; SELECT 1";
        var text = Encoding.UTF8.GetBytes(Sql);
        var semicolon = Sql.IndexOf(';');
        for (var length = 1; length < text.Length; length++)
        {
            var reading = TraceCommand.TryRead(text.AsSpan(0, length), isWhole: false, out _, out _, out var isAlone);
            Assert.Equal(length <= semicolon ? TraceReading.Incomplete : TraceReading.Found, reading);
            Assert.False(isAlone);
        }
    }

    [Theory]
    [InlineData("SET pooler.traceparent=a", "SET geqo='traceparent'")]
    [InlineData("SET LOCAL pooler.traceparent=''", "SET LOCAL pooler.noted=''")]
    [InlineData("SET LOCAL pooler.traceparent=default", "SET LOCAL pooler.noted=''")]
    [InlineData("SET SESSION pooler.traceparent=default", "SET pooler.noted=''")]
    [InlineData("RESET pooler.traceparent", "RESET pooler.noted")]
    [InlineData("RESET ALL", "RESET ALL")]
    public void What_the_server_gets_instead_has_the_same_length_and_tag(string sql, string harmless)
    {
        var text = Encoding.UTF8.GetBytes(sql + ";SELECT 1");
        TraceCommand.TryRead(text, isWhole: true, out var command, out var statement, out _);

        command.Replace(text.AsSpan()[statement]);

        Assert.Equal(harmless.PadRight(sql.Length) + ";SELECT 1", Encoding.UTF8.GetString(text));
    }

    [Fact]
    public void Whatever_the_bytes_nothing_is_thrown()
    {
        var random = new Random(5);
        string[] words = ["SET ", "RESET ", "SHOW ", "LOCAL ", "SESSION ", "pooler.traceparent", " = ", " TO ", "'", "''", "DEFAULT", ";", "ALL", "a", "\0", "\u00e4", Parent, "/*", "-- "];
        for (var round = 0; round < 50_000; round++)
        {
            var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, random.Next(9)).Select(_ => words[random.Next(words.Length)])));
            for (var i = random.Next(3); i > 0 && text.Length > 0; i--) text[random.Next(text.Length)] = (byte)random.Next(256);
            TraceCommand.MayBegin(text);
            if (TraceCommand.TryRead(text, random.Next(2) == 0, out var command, out var statement, out _) != TraceReading.Found) continue;
            var length = text.Length;
            command.Replace(text.AsSpan()[statement]);
            Assert.Equal(length, text.Length);
        }
    }
}
