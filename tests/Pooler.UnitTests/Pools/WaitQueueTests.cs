using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.UnitTests.Sessions;
using Xunit;

namespace Pooler.UnitTests.Pools;

public sealed class WaitQueueTests
{
    private readonly ManualLoop[] _loops = [.. Enumerable.Range(0, 3).Select(i => new ManualLoop(new ManualClock(), i))];
    private readonly WaitQueue _queue = new(3);

    [Fact]
    public void On_one_loop_whoever_came_first_is_first()
    {
        var waiters = Enumerable.Range(0, 20).Select(_ => Enqueue(0)).ToArray();

        Assert.Equal(waiters, Enumerable.Range(0, 20).Select(_ => _queue.Dequeue(0)));
        Assert.Null(_queue.Dequeue(0));
        Assert.Equal(0, _queue.Count);
    }

    [Fact]
    public void The_oldest_of_another_loop_is_passed_over_a_bounded_number_of_times()
    {
        var oldest = Enqueue(1);
        for (var i = 0; i < 100; i++) Enqueue(0);

        var served = 0;
        while (_queue.Dequeue(0) != oldest) served++;

        Assert.InRange(served, 1, 16);
    }

    [Fact]
    public void A_loop_without_waiters_serves_the_oldest_of_all()
    {
        var (first, second, third) = (Enqueue(1), Enqueue(0), Enqueue(1));

        Assert.Equal([first, second, third], Enumerable.Range(0, 3).Select(_ => _queue.Dequeue(2)));
    }

    [Fact]
    public void Whoever_gives_up_is_gone_once_and_the_others_keep_their_order()
    {
        var waiters = Enumerable.Range(0, 5).Select(_ => Enqueue(0)).ToArray();

        foreach (var i in new[] { 2, 0, 4 }) Assert.True(_queue.Remove(waiters[i]));
        Assert.False(_queue.Remove(waiters[2]));
        var late = Enqueue(0);

        Assert.Equal([waiters[1], waiters[3], late], Enumerable.Range(0, 3).Select(_ => _queue.Dequeue(0)));
    }

    [Fact]
    public void Those_who_wait_for_the_welcome_can_be_taken_out_by_themselves()
    {
        var (login, client) = (Enqueue(0, welcome: true), Enqueue(0));
        var other = Enqueue(2, welcome: true);
        Assert.Equal(2, _queue.WelcomeCount);

        Assert.Equal([login, other], _queue.Drain(w => w.WaitsForWelcome));

        Assert.Equal(0, _queue.WelcomeCount);
        Assert.Equal([client], _queue.Drain(_ => true));
    }

    private Waiter Enqueue(int loop, bool welcome = false)
    {
        var waiter = new Waiter(_loops[loop], welcome);
        _queue.Enqueue(waiter);
        return waiter;
    }

    private sealed class Waiter(EventLoop loop, bool welcome) : PoolWaiter
    {
        public override EventLoop WaiterLoop => loop;

        public override bool WaitsForWelcome => welcome;

        protected internal override void OnGranted(PooledServer server) => throw new NotSupportedException();

        protected internal override void OnWelcome() => throw new NotSupportedException();

        protected internal override void OnRefused(PgError error) => throw new NotSupportedException();
    }
}
