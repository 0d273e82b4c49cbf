using Pooler.Engine;
using Pooler.Engine.Handover;
using Xunit;

namespace Pooler.UnitTests.Handover;

public sealed class PredecessorTests
{
    [Theory]
    [InlineData(1000u)]
    [InlineData(0u)]
    public void Our_own_user_and_root_are_believed(uint peer) => Predecessor.CheckOwner(peer, own: 1000);

    [Theory]
    [InlineData(1001u, 1000u, "user id 1001")]
    [InlineData(1001u, 0u, "user id 1001")]
    [InlineData(null, 1000u, "an unknown user")]
    public void Nobody_else_is(uint? peer, uint own, string expected)
    {
        var refusal = Assert.Throws<PoolerStartException>(() => Predecessor.CheckOwner(peer, own));
        Assert.Contains($"run by {expected}, not by ours ({own}) or root", refusal.Message);
    }
}
