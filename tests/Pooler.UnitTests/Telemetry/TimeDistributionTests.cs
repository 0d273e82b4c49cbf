using Pooler.Engine.Telemetry;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public class TimeDistributionTests
{
    [Fact]
    public void Every_time_is_in_the_bucket_between_its_bounds_and_close_to_its_middle()
    {
        for (var index = 0; index < TimeHistogram.BucketCount; index++)
        {
            var (first, next) = (TimeHistogram.LowerBound(index), index + 1 < TimeHistogram.BucketCount ? TimeHistogram.LowerBound(index + 1) : 1L << 32);
            Assert.True(first < next);
            Assert.Equal(index, TimeHistogram.IndexOf(first));
            Assert.Equal(index, TimeHistogram.IndexOf(next - 1));
            Assert.InRange(TimeHistogram.Middle(index), first, next - 1);
            foreach (var time in (long[])[first, next - 1])
                Assert.True(Math.Abs(TimeHistogram.Middle(index) - time) <= time / 16.0, $"{time} is told as {TimeHistogram.Middle(index)}");
        }
    }

    [Fact]
    public void The_shortest_and_the_longest_times_count_too()
    {
        var distribution = Of(-5, 0, long.MaxValue / 4);

        Assert.Equal(3, distribution.Count);
        Assert.Equal(0, distribution.Percentile(0.5));
        Assert.Equal(TimeHistogram.Middle(TimeHistogram.BucketCount - 1), distribution.Percentile(1));
        Assert.Equal(long.MaxValue / 4, distribution.Sum);
    }

    [Fact]
    public void Percentiles_of_any_times_are_a_sixteenth_off_at_most()
    {
        var random = new Random(20261122);
        for (var round = 0; round < 200; round++)
        {
            var times = Enumerable.Range(0, random.Next(1, 400)).Select(_ => (long)Math.Pow(2, random.NextDouble() * 31)).ToArray();
            var distribution = Of(times);
            Array.Sort(times);
            foreach (var fraction in (double[])[0, 0.01, 0.5, 0.95, 0.99, 1])
            {
                var exact = times[Math.Max(0, (int)Math.Ceiling(fraction * times.Length) - 1)];
                Assert.InRange(distribution.Percentile(fraction), exact * 15 / 16.0, exact * 17 / 16.0);
            }
            Assert.Equal(times.Sum(), distribution.Sum);
            Assert.Equal(times.Length, distribution.CountUpTo(long.MaxValue));
        }
    }

    [Fact]
    public void What_is_added_can_be_taken_off_again()
    {
        var random = new Random(7);
        long[] Times() => [.. Enumerable.Range(0, random.Next(0, 50)).Select(_ => random.NextInt64(0, 100_000_000))];
        for (var round = 0; round < 200; round++)
        {
            var (a, b) = (Times(), Times());
            var sum = Of(a) + Of(b);

            AssertSame(Of([.. a, .. b]), sum);
            AssertSame(Of(a), sum - Of(b));
            AssertSame(Of(b), sum - Of(a));
        }
    }

    [Fact]
    public void A_later_one_taken_off_an_earlier_one_is_nothing()
    {
        var difference = Of(100) - Of(100, 200);

        Assert.Equal(0, difference.Count);
        Assert.Equal(0, difference.Sum);
    }

    [Fact]
    public void Counts_up_to_a_boundary_agree_with_those_who_are_told_the_buckets()
    {
        var distribution = Of([.. Enumerable.Range(0, 5000).Select(i => (long)(i * i))]);

        foreach (var boundary in (long[])[0, 100, 1000, 12_345, 1_000_000, 100_000_000])
            Assert.Equal(distribution.Buckets().Where(b => b.Microseconds <= boundary).Sum(b => b.Count), distribution.CountUpTo(boundary));
        Assert.Equal(1, distribution.CountUpTo(0));
    }

    [Fact]
    public void Loops_are_added_up_and_those_who_had_not_to_wait_count_as_no_time()
    {
        var (one, other) = (new TimeHistogram(), new TimeHistogram());
        one.Record(1000);
        other.Record(3000);

        var distribution = TimeDistribution.Of([one, other, new TimeHistogram()], zeros: 8);

        Assert.Equal(10, distribution.Count);
        Assert.Equal(4000, distribution.Sum);
        Assert.Equal(0, distribution.Percentile(0.8));
        Assert.InRange(distribution.Percentile(1), 2800, 3200);
    }

    [Fact]
    public void Nothing_counted_has_no_percentile()
    {
        Assert.Equal(0, TimeDistribution.Empty.Count);
        Assert.Equal(0, TimeDistribution.Empty.Percentile(0.99));
        Assert.Empty(TimeDistribution.Empty.Buckets());
        Assert.Same(TimeDistribution.Empty, TimeDistribution.Of([new TimeHistogram()], zeros: 0));
    }

    private static TimeDistribution Of(params long[] times)
    {
        var histogram = new TimeHistogram();
        foreach (var time in times) histogram.Record(time);
        return TimeDistribution.Of([histogram], zeros: 0);
    }

    private static void AssertSame(TimeDistribution expected, TimeDistribution actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        Assert.Equal(expected.Sum, actual.Sum);
        Assert.Equal(expected.Buckets(), actual.Buckets());
    }
}
