using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions.Cancelling;
using Xunit;

namespace Pooler.UnitTests.Sessions;

public sealed class CancelKeyTests
{
    [Theory]
    [InlineData(0, 0, 8)]
    [InlineData(1, 0, 8)]
    [InlineData(2, 0, 36)]
    [InlineData(0, 77, 8)]
    [InlineData(2, 77, 8)]
    public void Long_keys_are_for_protocol_3_2_without_peers(int minor, int peerId, int length) =>
        Assert.Equal(length, Bytes(CancelKey.Create(minor, peerId)).Length);

    [Fact]
    public void A_key_matches_itself_and_nothing_else()
    {
        foreach (var minor in new[] { 0, 2 })
        {
            var key = CancelKey.Create(minor, 0);
            var bytes = Bytes(key);
            Assert.True(key.Matches(bytes));
            Assert.False(key.Matches(bytes.AsSpan(..^1)));
            Assert.False(key.Matches([.. bytes, 0]));
            Assert.False(CancelKey.Create(minor, 0).Matches(bytes));
            for (var i = 0; i < bytes.Length; i++)
            {
                bytes[i] ^= 1;
                Assert.False(key.Matches(bytes));
                bytes[i] ^= 1;
            }
        }
    }

    // PgBouncer's layout (its documentation calls them cancellation tokens), so that both can be peers.
    [Fact]
    public void A_key_among_peers_tells_whose_it_is_and_how_often_it_may_be_forwarded()
    {
        for (var i = 0; i < 50; i++)
        {
            var key = CancelKey.Create(2, peerId: 0x1234);
            var request = Bytes(key);
            Assert.True(request[0] < 128);
            Assert.Equal(0x34, request[1]);
            Assert.Equal(0x12, request[2]);
            Assert.Equal(3, request[7] & 3);
            Assert.Equal(0x1234, CancelKey.PeerOf(request));

            for (var forwards = 0; forwards < 3; forwards++) Assert.True(CancelKey.TryCountForward(request));
            Assert.False(CancelKey.TryCountForward(request));
            Assert.False(key.Matches(request));
            CancelKey.ForgetForwards(request);
            Assert.True(key.Matches(request));
        }
    }

    private static byte[] Bytes(CancelKey key)
    {
        var writer = new MessageWriter();
        key.WriteTo(writer);
        return writer.Written[5..].ToArray();
    }
}
