using System.Buffers.Binary;
using System.Text;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Protocol;

public class StartupPacketTests
{
    [Fact]
    public void A_startup_message_gives_user_database_and_parameters()
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, "user", "alice", "database", "shop", "application_name", "café", "DateStyle", "ISO"));

        Assert.Equal(StartupKind.Startup, packet.Kind);
        Assert.Equal("alice", packet.User);
        Assert.Equal("shop", packet.Database);
        Assert.Equal([new("application_name", "café"), new("DateStyle", "ISO")], packet.Parameters);
        Assert.Equal(ReplicationMode.None, packet.Replication);
        Assert.False(packet.NeedsNegotiation);
        Assert.Null(packet.Error);
    }

    [Theory]
    [InlineData("user", "alice")]
    [InlineData("user", "alice", "database", "")]
    public void The_database_defaults_to_the_user(params string[] fields) =>
        Assert.Equal("alice", StartupPacket.Parse(Body(ProtocolCode.Version30, fields)).Database);

    [Theory]
    [InlineData(0, 0, false)]
    [InlineData(2, 2, false)]
    [InlineData(3, 2, true)]
    [InlineData(9999, 2, true)]
    public void A_newer_minor_version_is_negotiated_down(int requested, int granted, bool negotiates)
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30 | requested, "user", "a"));

        Assert.Equal(StartupKind.Startup, packet.Kind);
        Assert.Equal(requested, packet.RequestedMinor);
        Assert.Equal(granted, packet.Minor);
        Assert.Equal(negotiates, packet.NeedsNegotiation);
    }

    [Fact]
    public void Protocol_options_are_listed_for_negotiation_and_are_no_settings()
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, "user", "a", "_pq_.compression", "zstd", "_pq_.x", "1"));

        Assert.Equal(["_pq_.compression", "_pq_.x"], packet.ProtocolOptions);
        Assert.True(packet.NeedsNegotiation);
        Assert.Empty(packet.Parameters);
    }

    [Fact]
    public void The_last_value_of_a_setting_counts_whatever_its_case()
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, "user", "a", "TimeZone", "UTC", "timezone", "CET"));

        Assert.Equal([new("timezone", "CET")], packet.Parameters);
    }

    [Theory]
    [InlineData("database", ReplicationMode.Logical)]
    [InlineData("true", ReplicationMode.Physical)]
    [InlineData("ON", ReplicationMode.Physical)]
    [InlineData("1", ReplicationMode.Physical)]
    [InlineData("no", ReplicationMode.None)]
    [InlineData("off", ReplicationMode.None)]
    [InlineData("0", ReplicationMode.None)]
    public void Replication_is_recognised(string value, ReplicationMode expected) =>
        Assert.Equal(expected, StartupPacket.Parse(Body(ProtocolCode.Version30, "user", "a", "replication", value)).Replication);

    [Fact]
    public void Options_of_a_replication_session_are_left_to_its_server()
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, "user", "a", "replication", "database", "options", "-F -c extra_float_digits=3"));

        Assert.Equal(StartupKind.Startup, packet.Kind);
        Assert.Equal("-F -c extra_float_digits=3", packet.Options);
        Assert.Empty(packet.OptionSettings);
    }

    [Theory]
    [InlineData(ProtocolCode.SslRequest, StartupKind.SslRequest)]
    [InlineData(ProtocolCode.GssEncryptionRequest, StartupKind.GssEncryptionRequest)]
    public void Encryption_requests_are_told_apart(int code, StartupKind expected)
    {
        Assert.Equal(expected, StartupPacket.Parse(Code(code)).Kind);
        AssertViolation(StartupPacket.Parse([.. Code(code), 0]));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(32)]
    [InlineData(256)]
    public void A_cancel_request_has_a_key_of_4_to_256_bytes(int length)
    {
        var key = Enumerable.Range(0, length).Select(i => (byte)i).ToArray();
        var packet = StartupPacket.Parse([.. Code(ProtocolCode.CancelRequest), .. Code(4711), .. key]);

        Assert.Equal(StartupKind.CancelRequest, packet.Kind);
        Assert.Equal(4711, packet.CancelProcessId);
        Assert.Equal(key, packet.CancelKey.ToArray());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(257)]
    public void A_cancel_request_with_another_key_length_is_refused(int length) =>
        AssertViolation(StartupPacket.Parse([.. Code(ProtocolCode.CancelRequest), .. Code(4711), .. new byte[length]]));

    [Theory]
    [InlineData(2 << 16)]
    [InlineData(1 << 16)]
    [InlineData(4 << 16)]
    [InlineData(-1)]
    public void Other_protocol_versions_are_not_supported(int code)
    {
        var packet = StartupPacket.Parse(Body(code, "user", "a"));

        Assert.Equal(StartupKind.Invalid, packet.Kind);
        Assert.Equal(("FATAL", "0A000"), (packet.Error!.Severity, packet.Error.SqlState));
    }

    public static TheoryData<string, byte[]> MalformedBodies => new()
    {
        { "nothing", [] },
        { "half a code", [0, 3] },
        { "no terminator at all", Code(ProtocolCode.Version30) },
        { "no final terminator", [.. Code(ProtocolCode.Version30), .. "user\0a\0"u8] },
        { "a name without an end", [.. Code(ProtocolCode.Version30), .. "user\0a\0data"u8] },
        { "a name without a value", [.. Code(ProtocolCode.Version30), .. "user\0a\0database\0"u8] },
        { "more after the end", [.. Body(ProtocolCode.Version30, "user", "a"), 0] },
        { "a second packet glued on", [.. Body(ProtocolCode.Version30, "user", "a"), .. "user\0b\0\0"u8] },
        { "two users", Body(ProtocolCode.Version30, "user", "a", "user", "b") },
        { "the same user twice", Body(ProtocolCode.Version30, "user", "a", "user", "a") },
        { "two databases", Body(ProtocolCode.Version30, "user", "a", "database", "b", "database", "c") },
        { "two options", Body(ProtocolCode.Version30, "user", "a", "options", "-c a=b", "options", "-c a=c") },
        { "a value in Latin-1", [.. Code(ProtocolCode.Version30), .. "user\0"u8, 0xE9, .. "\0\0"u8] },
        { "a name in Latin-1", [.. Code(ProtocolCode.Version30), .. "user\0a\0"u8, 0xE9, .. "\0b\0\0"u8] },
        { "an overlong encoding", [.. Code(ProtocolCode.Version30), .. "user\0"u8, 0xC0, 0x80, .. "\0\0"u8] },
        { "too much", Body(ProtocolCode.Version30, "user", new string('a', StartupPacket.MaxBodyLength)) },
    };

    [Theory]
    [MemberData(nameof(MalformedBodies), DisableDiscoveryEnumeration = true)]
    public void A_malformed_packet_is_a_protocol_violation(string what, byte[] body)
    {
        Assert.NotEmpty(what);
        AssertViolation(StartupPacket.Parse(body));
    }

    [Theory]
    [InlineData]
    [InlineData("database", "shop")]
    [InlineData("user", "")]
    public void A_packet_without_a_user_is_refused(params string[] fields)
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, fields));

        Assert.Equal(StartupKind.Invalid, packet.Kind);
        Assert.Equal("28000", packet.Error!.SqlState);
    }

    [Fact]
    public void An_unknown_replication_value_is_refused()
    {
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, "user", "a", "replication", "perhaps"));

        Assert.Equal(StartupKind.Invalid, packet.Kind);
        Assert.Equal("22023", packet.Error!.SqlState);
    }

    [Fact]
    public void The_largest_packet_is_accepted()
    {
        // Code, "user", terminator of the value, and the final one.
        var packet = StartupPacket.Parse(Body(ProtocolCode.Version30, "user", new string('a', StartupPacket.MaxBodyLength - 4 - 5 - 2)));

        Assert.Equal(StartupKind.Startup, packet.Kind);
    }

    [Theory]
    [InlineData(int.MinValue, false)]
    [InlineData(-1, false)]
    [InlineData(0, false)]
    [InlineData(7, false)]
    [InlineData(8, true)]
    [InlineData(10_004, true)]
    [InlineData(10_005, false)]
    [InlineData(int.MaxValue, false)]
    public void A_length_is_judged_before_the_body_is_read(int length, bool isAcceptable) =>
        Assert.Equal(isAcceptable, StartupPacket.CheckLength(length) is null);

    [Fact]
    public void What_the_pooler_sends_to_servers_it_can_read_itself()
    {
        var writer = new MessageWriter();
        writer.StartupMessage("alice", "shop", [new("application_name", "pooler")]);
        var packet = StartupPacket.Parse(writer.Written[4..]);

        Assert.Equal(writer.Length, BinaryPrimitives.ReadInt32BigEndian(writer.Written));
        Assert.Equal(("alice", "shop"), (packet.User, packet.Database));
        Assert.Equal([new("application_name", "pooler")], packet.Parameters);
    }

    [Fact]
    public void Random_and_mutilated_packets_never_throw()
    {
        var random = new Random(20260922);
        var good = Body(ProtocolCode.Version32, "user", "alice", "database", "shop", "options", "-c a=b --c=d", "replication", "off", "_pq_.x", "1");
        for (var i = 0; i < 20_000; i++)
        {
            var body = good[..random.Next(good.Length + 1)];
            for (var n = random.Next(4); n > 0 && body.Length > 4; n--) body[random.Next(4, body.Length)] = (byte)random.Next(256);
            var packet = StartupPacket.Parse(body);
            Assert.Equal(packet.Kind == StartupKind.Invalid, packet.Error is not null);
        }
    }

    private static void AssertViolation(StartupPacket packet)
    {
        Assert.Equal(StartupKind.Invalid, packet.Kind);
        Assert.Equal(("FATAL", "08P01"), (packet.Error!.Severity, packet.Error.SqlState));
    }

    private static byte[] Code(int code)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, code);
        return bytes;
    }

    private static byte[] Body(int code, params string[] fields) =>
        [.. Code(code), .. Encoding.UTF8.GetBytes(string.Concat(fields.Select(f => f + "\0")) + "\0")];
}
