using Pooler.Engine.Telemetry;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public sealed class RootSpanAllowanceTests
{
    private const long Second = 1_000_000;

    private readonly RootSpanAllowance _allowance = new();

    private int Taken(long now) => Enumerable.Range(0, 1000).Count(_ => _allowance.TryTake(now));

    [Theory]
    [InlineData(0)]
    [InlineData(-5 * Second)]
    [InlineData(1_000_000 * Second)]
    public void A_second_has_so_many_and_quiet_ones_save_no_more(long start)
    {
        Assert.Equal(RootSpanAllowance.PerSecond, Taken(start));
        Assert.Equal(0, Taken(start + 1));
        Assert.Equal(RootSpanAllowance.PerSecond / 2, Taken(start + Second / 2));
        Assert.Equal(RootSpanAllowance.PerSecond, Taken(start + 100 * Second));
    }

    [Fact]
    public void However_often_it_is_asked_it_gives_so_many_a_second()
    {
        Taken(0);
        Assert.Equal(10 * RootSpanAllowance.PerSecond, Enumerable.Range(1, 100_000).Count(i => _allowance.TryTake(i * Second / 10_000)));
    }
}
