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
    public async Task The_schedule_brings_the_prices_of_the_web_services_own_pages_into_its_tables()
    {
        await using var stack = await WorkerStack.StartAsync(postgres, tables: false);
        // The worker comes first: it has to wait for the tables that the web service makes.
        var address = $"http://127.0.0.1:{LocalRun.Processes.Ports.Take()}";
        stack.StartWorker($"services__web__http__0={address}", "Worker__Schedule__refresh_all_prices=1.00:00:00", "Worker__MaxAttempts=1");
        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.Default)).Delayed == 1);

        await stack.StartWebAsync(address);

        await WorkerStack.UntilAsync(async () => 0L.Equals(await stack.SqlAsync(
            "SELECT count(*) FROM products p WHERE price IS NULL OR NOT EXISTS (SELECT FROM price_history h WHERE h.product_id = p.id AND h.price = p.price)")));
        Assert.NotEqual(0L, await stack.SqlAsync("SELECT count(*) FROM products"));
        Assert.Empty(await stack.Monitor.ReadDeadLettersAsync());
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
