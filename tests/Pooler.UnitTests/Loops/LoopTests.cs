using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>Posted work, timers, threads.</summary>
public sealed class LoopTests
{
    public static TheoryData<LoopBackend> Backends => ConnectionTests.Backends;

    [Theory, MemberData(nameof(Backends))]
    public void Work_posted_by_many_threads_runs_on_the_loop_in_each_thread_s_order(LoopBackend backend)
    {
        const int Threads = 8;
        const int Each = 5_000;
        using var harness = new LoopHarness(backend);
        var next = new int[Threads];
        var wrong = 0;
        var posted = 0;
        Parallel.For(0, Threads, thread =>
        {
            for (var i = 0; i < Each; i++)
            {
                harness.Loop.Post(
                    state =>
                    {
                        var (from, number) = ((int, int))state!;
                        if (!harness.Loop.IsCurrent || next[from]++ != number)
                            wrong++;
                        Interlocked.Increment(ref posted);
                    },
                    (thread, i));
            }
        });
        LoopHarness.Until(() => Volatile.Read(ref posted) == Threads * Each, "all posted work");
        Assert.Equal(0, wrong);
        Assert.False(harness.Loop.IsCurrent);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Work_posted_by_the_loop_itself_runs_later_and_does_not_keep_it_from_its_connections(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var (_, peer) = harness.Pair(harness.Loop, new TestHandler
        {
            Received = (connection, data) =>
            {
                connection.Send(data);
                return data.Length;
            },
        });
        var stop = false;
        var inside = false;
        var nested = 0;
        LoopHarness.On(harness.Loop, () => Again(null));
        peer.Send([1]);
        Assert.Equal([1], LoopHarness.ReceiveExactly(peer, 1));
        Volatile.Write(ref stop, true);
        LoopHarness.Settle(harness.Loop);
        Assert.Equal(0, nested);

        void Again(object? state)
        {
            if (inside)
                nested++;
            inside = true;
            if (!Volatile.Read(ref stop))
                harness.Loop.Post(Again, null);
            inside = false;
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void Timers_fire_in_the_order_of_their_times_when_the_clock_gets_there(LoopBackend backend)
    {
        var clock = new ManualClock();
        using var harness = new LoopHarness(backend, timeProvider: clock);
        var fired = new List<int>();
        LoopHarness.On(harness.Loop, () =>
        {
            harness.Loop.Schedule(3_000_000, state => fired.Add((int)state!), 3);
            harness.Loop.Schedule(1_000_000, state => fired.Add((int)state!), 1);
            harness.Loop.Schedule(2_000_000, state => fired.Add((int)state!), 2).Cancel();
            harness.Loop.Schedule(1_000_000, state => fired.Add((int)state!), 11);
            harness.Loop.Schedule(5_000_000, state => fired.Add((int)state!), 5);
        });
        Assert.Empty(Fired());

        clock.Advance(TimeSpan.FromMicroseconds(999_999));
        Assert.Empty(Fired());
        clock.Advance(TimeSpan.FromMicroseconds(1));
        Assert.Equal([1, 11], Fired());
        clock.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal([1, 11, 3], Fired());
        clock.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal([1, 11, 3, 5], Fired());

        // A loop doesn't sleep by this clock: a posted turn looks at it.
        List<int> Fired()
        {
            LoopHarness.Settle(harness.Loop);
            return LoopHarness.On(harness.Loop, () => fired.ToList());
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_timer_wakes_a_loop_that_has_nothing_else_to_do(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var early = false;
        var fired = 0;
        LoopHarness.On(harness.Loop, () =>
        {
            var due = harness.Loop.Now + 20_000;
            harness.Loop.Schedule(
                20_000,
                _ =>
                {
                    early = harness.Loop.Now < due;
                    Interlocked.Increment(ref fired);
                },
                null);
        });
        LoopHarness.Until(() => Volatile.Read(ref fired) == 1, "the timer");
        Assert.False(early);
    }

    [Fact]
    public void Of_many_timers_most_of_them_cancelled_the_rest_fire_in_order()
    {
        var heap = new TimerHeap();
        var random = new Random(7);
        var expected = new List<(long Due, int Number)>();
        var fired = new List<int>();
        for (var i = 0; i < 20_000; i++)
        {
            var due = random.Next(1_000);
            var timer = heap.Add(due, state => fired.Add((int)state!), i);
            if (random.Next(10) > 0)
                timer.Cancel();
            else
                expected.Add((due, i));
            timer = null;
        }

        for (var now = 0; now <= 1_000; now += 10)
        {
            while (heap.TryTake(now, heap.Newest, out var callback, out var state))
                callback(state);
        }

        Assert.Equal(expected.OrderBy(timer => timer.Due).ThenBy(timer => timer.Number).Select(timer => timer.Number), fired);
        Assert.Equal(long.MaxValue, heap.NextDue);
    }

    [Theory, MemberData(nameof(Backends))]
    public void Stopping_closes_all_connections_and_ends_the_threads(LoopBackend backend)
    {
        var harness = new LoopHarness(backend, loops: 3);
        var handlers = Enumerable.Range(0, 9).Select(_ => new TestHandler()).ToList();
        var peers = handlers.Select((handler, i) => harness.Pair(harness.Group.Loops[i % 3], handler).Peer).ToList();
        harness.Group.Stop();
        Assert.All(peers, peer => Assert.Equal(0, peer.Receive(new byte[1])));
        Assert.All(handlers, handler => Assert.Equal(0, handler.ClosedCalls));
        harness.Group.Loops[0].Post(_ => Assert.Fail("ran on a stopped loop"), null);
        harness.Dispose();
    }

    [Fact]
    public void Without_a_count_there_is_a_loop_per_core_and_one_on_up_to_two_cores()
    {
        using var group = new LoopGroup(LoopBackend.Auto, 0, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        Assert.Equal(Environment.ProcessorCount <= 2 ? 1 : Environment.ProcessorCount, group.Loops.Count);
        Assert.Equal(OperatingSystem.IsLinux() ? LoopBackend.Epoll : LoopBackend.Sockets, group.Backend);
        Assert.Equal(Enumerable.Range(0, group.Loops.Count), group.Loops.Select(loop => loop.Index));
    }

    private sealed class ManualClock : TimeProvider
    {
        private long _ticks = 1_000_000_000;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Interlocked.Read(ref _ticks);

        public void Advance(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
    }
}
