using System.Diagnostics;
using System.Text;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public sealed class TraceCommentTests
{
    private const string Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    [Theory]
    [InlineData("SELECT 1 /*traceparent='" + Parent + "'*/")]
    [InlineData("SELECT 1/*traceparent='" + Parent + "'*/;")]
    [InlineData("SELECT 1 /*traceparent='" + Parent + "'*/ ;\r\n\t ")]
    [InlineData("SELECT 1 /* first */ /*action='%2Fpolls',db_driver='a b',traceparent='" + Parent + "',tracestate='x%3Dy'*/")]
    [InlineData("SELECT 1 /* tracestate='x%3Dy' , traceparent='" + Parent + "' */")]
    [InlineData("SELECT 1 /*name='it\\'s',traceparent='" + Parent + "'*/")]
    [InlineData("SELECT 1 /*traceparent='00%2D0af7651916cd43dd8448eb211c80319c%2Db7ad6b7169203331%2D01'*/")]
    [InlineData("/*traceparent='" + Parent + "'*/")]
    public void A_mark_at_the_end_is_found(string sql)
    {
        Assert.True(TraceComment.TryRead(Encoding.UTF8.GetBytes(sql), out var context));

        Assert.Equal("0af7651916cd43dd8448eb211c80319c", context.TraceId.ToString());
        Assert.Equal("b7ad6b7169203331", context.SpanId.ToString());
        Assert.Equal(ActivityTraceFlags.Recorded, context.TraceFlags);
        Assert.True(context.IsRemote);
        Assert.Equal(sql.Contains("tracestate") ? "x=y" : null, context.TraceState);
    }

    [Theory]
    [InlineData("")]
    [InlineData("SELECT 1")]
    [InlineData("*/")]
    [InlineData("/*/")]
    [InlineData("/**/")]
    [InlineData("/*traceparent*/")]
    [InlineData("/*traceparent=*/")]
    [InlineData("/*traceparent='*/")]
    [InlineData("/*traceparent=''*/")]
    [InlineData("/*traceparent=\"" + Parent + "\"*/")]
    [InlineData("/*xtraceparent='" + Parent + "'*/")]
    [InlineData("/*a='traceparent=',b='" + Parent + "'*/")]
    [InlineData("/*TRACEPARENT='" + Parent + "'*/")]
    [InlineData("/*traceparent='" + Parent + "'*/ SELECT 1")]
    [InlineData("SELECT '/*traceparent=''" + Parent + "''*/'")]
    [InlineData("/*traceparent='" + Parent + "'*/ /* later */")]
    [InlineData("/*traceparent='" + Parent + "\\'*/")]
    public void What_is_no_mark_is_left_alone(string sql) =>
        Assert.False(TraceComment.TryRead(Encoding.UTF8.GetBytes(sql), out _));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(40)]
    public void In_a_Parse_it_is_found_in_front_of_the_parameters_types(int types)
    {
        int[][] oids = [new int[types], [.. Enumerable.Repeat(23, types)], [.. Enumerable.Repeat(0x2F2A0000, types)], [.. Enumerable.Range(0, types).Select(i => i << 8)]];
        foreach (var parameters in oids)
        {
            var writer = new MessageWriter();
            writer.Parse("name", $"SELECT $1 /*traceparent='{Parent}'*/", parameters);
            Assert.True(TraceComment.TryReadParse(writer.Written[5..], out var context));
            Assert.Equal("b7ad6b7169203331", context.SpanId.ToString());
            writer.Clear();
            writer.Parse("name", "SELECT $1", parameters);
            Assert.False(TraceComment.TryReadParse(writer.Written[5..], out _));
        }
    }

    [Fact]
    public void A_state_that_is_too_long_or_not_printable_is_left_out()
    {
        foreach (var state in new[] { new string('a', 513), "a%0Ab", "%C3%A4" })
        {
            Assert.True(TraceComment.TryRead(Encoding.UTF8.GetBytes($"SELECT 1 /*traceparent='{Parent}',tracestate='{state}'*/"), out var context));
            Assert.Null(context.TraceState);
        }
    }

    [Theory]
    [InlineData("SELECT 1")]
    [InlineData("SELECT 1 /* a hint */")]
    [InlineData("SELECT 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',tracestate='x%3Dy'*/")]
    public void What_is_not_to_be_recorded_allocates_nothing(string sql)
    {
        var text = Encoding.UTF8.GetBytes(sql);
        var isMarked = TraceComment.TryRead(text, out var context);
        var before = GC.GetAllocatedBytesForCurrentThread();

        for (var i = 0; i < 100; i++) TraceComment.TryRead(text, out context);

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(sql.Contains("traceparent"), isMarked);
        Assert.Equal(default, context);
    }

    [Fact]
    public void Whatever_the_bytes_nothing_is_thrown()
    {
        var random = new Random(4);
        var alphabet = Encoding.UTF8.GetBytes("/*tracepn='\\,%2D -01;\0\u00e4z");
        var whole = Encoding.UTF8.GetBytes($"SELECT 1 /*a='b',traceparent='{Parent}',tracestate='x%3Dy'*/\0\0\0");
        for (var round = 0; round < 50_000; round++)
        {
            byte[] bytes;
            if (round % 2 == 0)
            {
                bytes = (byte[])whole.Clone();
                for (var i = random.Next(4); i >= 0; i--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
                bytes = bytes[random.Next(20)..^random.Next(20)];
            }
            else
            {
                bytes = new byte[random.Next(60)];
                for (var i = 0; i < bytes.Length; i++) bytes[i] = alphabet[random.Next(alphabet.Length)];
                if (bytes.Length > 4) "*/"u8.CopyTo(bytes.AsSpan(bytes.Length - random.Next(2, 5)));
            }
            TraceComment.TryRead(bytes, out _);
            TraceComment.TryReadParse(bytes, out _);
            TraceParent.TryRead(bytes, null, out _);
        }
    }

    [Fact]
    public void In_a_Parse_many_types_and_bytes_that_look_like_a_text_change_nothing()
    {
        var writer = new MessageWriter();
        writer.Parse("name", $"SELECT $1 /*traceparent='{Parent}'*/", new int[1000]);
        Assert.True(TraceComment.TryReadParse(writer.Written[5..], out _));
        Assert.False(TraceComment.TryReadParse(Encoding.UTF8.GetBytes($"name\0SELECT 1\0/*traceparent='{Parent}'*/\0\0\0"), out _));
    }
}
