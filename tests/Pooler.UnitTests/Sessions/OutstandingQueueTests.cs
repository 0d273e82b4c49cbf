using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;
using Xunit;

namespace Pooler.UnitTests.Sessions;

public sealed class OutstandingQueueTests
{
    private readonly OutstandingQueue _queue = new();
    private readonly PreparedStatement _statement = new StatementRegistry().Acquire("SELECT 1\0\0\0"u8);

    [Fact]
    public void It_keeps_the_order_however_long_it_gets()
    {
        var expected = new Queue<RequestKind>();
        var random = new Random(11);
        for (var i = 0; i < 5000; i++)
        {
            if (random.Next(5) < 2 && expected.Count > 0)
            {
                Assert.Equal(expected.Dequeue(), _queue.Dequeue().Kind);
                continue;
            }
            var kind = (RequestKind)random.Next(9);
            expected.Enqueue(kind);
            _queue.Enqueue(new Request(kind));
        }

        Assert.Equal(expected, Enumerable.Range(0, _queue.Count).Select(i => _queue[i].Kind));
    }

    [Fact]
    public void Syncs_that_a_COPY_ignores_are_dropped_and_nothing_else()
    {
        foreach (var kind in new[] { RequestKind.Sync, RequestKind.Query, RequestKind.Parse, RequestKind.Sync, RequestKind.Close, RequestKind.Sync })
            _queue.Enqueue(new Request(kind));

        _queue.DropSyncsIgnoredByCopy();

        Assert.Equal([RequestKind.Query, RequestKind.Parse, RequestKind.Close], Enumerable.Range(0, _queue.Count).Select(i => _queue[i].Kind));
    }

    [Fact]
    public void A_statement_is_undecided_while_an_earlier_batch_with_it_is_unanswered()
    {
        byte[] name = [(byte)'s'];
        Assert.False(_queue.IsUndecided(_statement, name));
        _queue.Enqueue(new Request(RequestKind.Parse, _statement, name));
        Assert.False(_queue.IsUndecided(_statement, name), "the same batch");
        _queue.Enqueue(new Request(RequestKind.Sync));

        Assert.True(_queue.IsUndecided(_statement, default));
        Assert.True(_queue.IsUndecided(null, name));
        Assert.False(_queue.IsUndecided(null, "other"u8));

        _queue.Dequeue();
        Assert.False(_queue.IsUndecided(_statement, name), "it has been answered");
    }
}
