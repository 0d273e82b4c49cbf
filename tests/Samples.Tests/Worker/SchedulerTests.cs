using SampleQueue;
using Testing;
using Xunit;

namespace Samples.Tests.Worker;

/// <summary>Periodic tasks fire once, however many workers there are.</summary>
public class SchedulerTests(PostgresFixture postgres)
{
    [Fact]
    public async Task Three_workers_fire_each_slot_once()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var workers = Enumerable.Range(0, 3).Select(_ => stack.StartWorker("Worker__Poll=00:00:00.05", "Worker__Schedule__price_report=00:00:01").Name).ToArray();
        await WorkerStack.UntilAsync(async () => (await stack.Monitor.ReadWorkersAsync()).Count == 3);

        var from = (await stack.QueueAsync(TaskQueues.Default)).Succeeded;
        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.Default)).Succeeded >= from + 5);

        var slots = (await stack.Monitor.ReadFinishedAsync(1000)).Select(task => task.EnqueuedAt.ToUnixTimeSeconds()).ToArray();
        Assert.Equal(slots.Distinct().Count(), slots.Length);
    }

    [Fact]
    public async Task Workers_that_ask_at_the_same_moment_fire_once()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var consumers = Enumerable.Range(0, 3)
            .Select(i => new TaskConsumer(stack.Redis, new TaskQueueOptions(), $"w{i}", $"c{i}"))
            .ToArray();
        var hourly = new[] { new PeriodicTask(TaskQueues.Default, TaskNames.RefreshAllPrices, TimeSpan.FromDays(365)) };

        var fired = await Task.WhenAll(Enumerable.Range(0, 90).Select(i => consumers[i % 3].FireScheduleAsync(hourly)));

        Assert.Equal(1, fired.Sum(names => names.Count));
        Assert.Equal(1, (await stack.QueueAsync(TaskQueues.Default)).Waiting);
    }

    [Fact]
    public async Task A_changed_interval_takes_effect()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var consumer = new TaskConsumer(stack.Redis, new TaskQueueOptions(), "w", "c");
        await consumer.FireScheduleAsync([new(TaskQueues.Default, TaskNames.PriceReport, TimeSpan.FromDays(365))]);

        var fired = await consumer.FireScheduleAsync([new(TaskQueues.Default, TaskNames.PriceReport, TimeSpan.FromSeconds(1))]);

        Assert.Equal([TaskNames.PriceReport], fired);
    }
}
