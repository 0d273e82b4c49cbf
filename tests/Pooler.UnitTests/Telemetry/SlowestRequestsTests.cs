using Pooler.Engine.Telemetry;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public sealed class SlowestRequestsTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 31, 12, 0, 0, TimeSpan.Zero);

    private readonly SlowestRequests _requests = new();

    private static SlowRequest Request(int milliseconds, DateTimeOffset end) =>
        new(end, "query", TimeSpan.FromMilliseconds(milliseconds), "d", "u", "0xc00000001", "unix", "", "SELECT", null);

    private int[] Kept(DateTimeOffset now) => [.. _requests.Read(now).Select(r => (int)r.Duration.TotalMilliseconds).Order()];

    [Fact]
    public void So_many_of_the_slowest_are_kept()
    {
        foreach (var milliseconds in Enumerable.Range(1, 3 * SlowestRequests.Most).Reverse().Concat([1000, 2])) _requests.Add(Request(milliseconds, Start));
        Assert.Equal([.. Enumerable.Range(2 * SlowestRequests.Most + 2, SlowestRequests.Most - 1), 1000], Kept(Start));
        Assert.False(_requests.Wants(TimeSpan.FromMilliseconds(2 * SlowestRequests.Most), Start));
        Assert.True(_requests.Wants(TimeSpan.FromMilliseconds(999), Start));
    }

    [Fact]
    public void After_some_minutes_they_make_room_for_quicker_ones()
    {
        for (var i = 0; i < SlowestRequests.Most; i++) _requests.Add(Request(5000 + i, Start + TimeSpan.FromSeconds(i)));
        var later = Start + SlowestRequests.KeptFor + TimeSpan.FromSeconds(9.5);
        Assert.False(_requests.Wants(TimeSpan.FromMilliseconds(100), Start + TimeSpan.FromMinutes(5)));
        Assert.True(_requests.Wants(TimeSpan.FromMilliseconds(100), later));
        _requests.Add(Request(100, later));
        Assert.Equal([100, .. Enumerable.Range(5010, SlowestRequests.Most - 10)], Kept(later));
        Assert.Empty(Kept(later + SlowestRequests.KeptFor + TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void Of_those_that_are_too_quick_few_look_at_the_clock()
    {
        var clock = new CountingClock(Start);
        for (var i = 0; i < SlowestRequests.Most; i++) _requests.Add(Request(5000, Start));
        bool Wants(int milliseconds, long seconds) => _requests.Wants(milliseconds * 1000L, seconds * 1_000_000, clock);

        Assert.All(Enumerable.Range(0, 1000), _ => Assert.False(Wants(5000, 1)));
        Assert.Equal(1, clock.Looks);
        Assert.True(Wants(5001, 1));

        // Old ones make room.
        clock.Now = Start + SlowestRequests.KeptFor + TimeSpan.FromSeconds(1);
        Assert.True(Wants(100, 1000));
        Assert.True(Wants(100, 1000));
    }

    private sealed class CountingClock(DateTimeOffset start) : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = start;

        public int Looks { get; private set; }

        public override DateTimeOffset GetUtcNow()
        {
            Looks++;
            return Now;
        }
    }
}
