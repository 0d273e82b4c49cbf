using System.Diagnostics;
using SampleQueue;
using Testing;
using Xunit;

namespace Samples.Tests.Worker;

/// <summary>Workers that stop, are recycled or die: no task is lost.</summary>
public class WorkerDeathTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_worker_killed_in_the_middle_of_a_task_leaves_it_to_another()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        var (first, process) = stack.StartWorker();
        var id = await stack.ScrapeAsync(1);
        await WorkerStack.UntilAsync(() => stack.Site.Requests(1) == 1);
        Assert.Equal(first, (await stack.Monitor.ReadTaskAsync(id))!.Worker);

        await process.KillAsync();
        stack.Site.Open();
        var (second, _) = stack.StartWorker();
        var task = await stack.UntilAsync(id, TaskState.Succeeded);

        Assert.Equal(second, task.Worker);
        Assert.Equal(1L, await stack.SqlAsync("SELECT count(*) FROM price_history"));
        Assert.Equal(1, (await stack.QueueAsync(TaskQueues.WebScraper)).Reclaimed);
        await WorkerStack.UntilAsync(async () => (await stack.WorkerAsync(first)).State == WorkerState.Lost);
    }

    [Fact]
    public async Task An_executor_that_dies_is_replaced_and_its_tasks_run_again_at_once()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        // Far longer than the test: only the successor's knowledge of the death can bring the task back.
        var (name, _) = stack.StartWorker("Worker__ClaimAfter=01:00:00");
        var id = await stack.ScrapeAsync(1);
        await WorkerStack.UntilAsync(() => stack.Site.Requests(1) == 1);
        var executor = (await stack.WorkerAsync(name)).ProcessId;

        Kill(executor);
        stack.Site.Open();
        await stack.UntilAsync(id, TaskState.Succeeded);

        var worker = await stack.WorkerAsync(name);
        Assert.NotEqual(executor, worker.ProcessId);
        Assert.Equal(WorkerState.Running, worker.State);
        Assert.Equal(2, stack.Site.Requests(1));
    }

    [Fact]
    public async Task An_executor_whose_supervisor_is_killed_finishes_its_task_and_ends()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        var (name, process) = stack.StartWorker();
        var id = await stack.ScrapeAsync(1);
        await WorkerStack.UntilAsync(() => stack.Site.Requests(1) == 1);
        var executor = (await stack.WorkerAsync(name)).ProcessId;

        Kill(process.Id);
        await WorkerStack.UntilAsync(async () => (await stack.WorkerAsync(name)).State == WorkerState.Draining);
        stack.Site.Open();
        var task = await stack.UntilAsync(id, TaskState.Succeeded);

        Assert.Equal((name, 1), (task.Worker, stack.Site.Requests(1)));
        await WorkerStack.UntilAsync(() => !IsAlive(executor));
        Assert.Equal(WorkerState.Stopped, (await stack.WorkerAsync(name)).State);
    }

    [Fact]
    public async Task A_task_that_kills_every_worker_is_given_up()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        var (name, _) = stack.StartWorker("Worker__MaxDeliveries=2");
        var id = await stack.ScrapeAsync(1);
        for (var deaths = 1; deaths <= 2; deaths++)
        {
            await WorkerStack.UntilAsync(() => stack.Site.Requests(1) == deaths);
            Kill((await stack.WorkerAsync(name)).ProcessId);
        }

        var task = await stack.UntilAsync(id, TaskState.Dead);

        Assert.Contains("workers died", task.Error, StringComparison.Ordinal);
        Assert.Equal(2, stack.Site.Requests(1));
    }

    [Fact]
    public async Task A_long_task_of_a_living_worker_is_not_taken_away()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        var (first, _) = stack.StartWorker();
        var id = await stack.ScrapeAsync(1);
        var started = (await stack.UntilAsync(id, TaskState.Running)).StartedAt;
        var (second, _) = stack.StartWorker();

        // Redis' clock has to pass the time after which a silent worker's tasks are claimed, twice.
        await WorkerStack.UntilAsync(async () => (await stack.Monitor.ReadWorkersAsync()) is { Count: 2 } workers
            && workers.All(worker => worker.LastHeartbeat - started > TimeSpan.FromSeconds(4)));
        stack.Site.Open();

        Assert.Equal(first, (await stack.UntilAsync(id, TaskState.Succeeded)).Worker);
        Assert.Equal(1, stack.Site.Requests(1));
        Assert.Equal(0, (await stack.QueueAsync(TaskQueues.WebScraper)).Reclaimed);
        Assert.Equal(0, (await stack.WorkerAsync(second)).Processed);
    }

    [Fact]
    public async Task A_worker_told_to_stop_finishes_its_tasks_and_takes_no_new_ones()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        var (name, process) = stack.StartWorker();
        var running = await stack.ScrapeAsync(1);
        await WorkerStack.UntilAsync(() => stack.Site.Requests(1) == 1);

        var stopping = process.StopAsync(TimeSpan.FromSeconds(60));
        await WorkerStack.UntilAsync(async () => (await stack.WorkerAsync(name)).State == WorkerState.Draining);
        var late = await stack.ScrapeAsync(2);
        stack.Site.Open();
        await stopping;

        Assert.Equal(0, await process.Exited);
        Assert.Equal(TaskState.Succeeded, (await stack.Monitor.ReadTaskAsync(running))!.State);
        Assert.Equal(TaskState.Queued, (await stack.Monitor.ReadTaskAsync(late))!.State);
        Assert.Equal(WorkerState.Stopped, (await stack.WorkerAsync(name)).State);
    }

    [Fact]
    public async Task A_worker_that_may_wait_no_longer_hands_its_tasks_back()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        var (_, process) = stack.StartWorker("Worker__ShutdownLimit=00:00:00.2");
        var id = await stack.ScrapeAsync(1);
        await WorkerStack.UntilAsync(() => stack.Site.Requests(1) == 1);

        await process.StopAsync(TimeSpan.FromSeconds(60));

        Assert.Equal(0, await process.Exited);
        var queue = await stack.QueueAsync(TaskQueues.WebScraper);
        Assert.Equal((1, 0), (queue.Waiting, queue.Running));
        stack.Site.Open();
        var (second, _) = stack.StartWorker("Worker__ClaimAfter=01:00:00");
        var task = await stack.UntilAsync(id, TaskState.Succeeded);
        Assert.Equal((second, 1), (task.Worker, task.Attempt));
    }

    [Fact]
    public async Task An_executor_is_replaced_after_its_number_of_tasks()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        for (var product = 1; product <= 10; product++)
            await stack.ScrapeAsync(product);
        var (name, process) = stack.StartWorker("Worker__MaxTasksPerChild=3");

        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded == 10);

        var worker = await stack.WorkerAsync(name);
        Assert.Equal((3, 10), (worker.Recycled, worker.Processed));
        Assert.NotEqual(process.Id, worker.ProcessId);
        Assert.True(process.IsRunning);
        Assert.All(Enumerable.Range(1, 10), product => Assert.Equal(1, stack.Site.Requests(product)));
    }

    [Fact]
    public async Task Workers_killed_again_and_again_lose_no_task()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var ids = new List<string>();
        for (var product = 1; product <= 10; product++)
            for (var i = 0; i < 10; i++)
                ids.Add(await stack.ScrapeAsync(product));
        var settings = new[] { "Worker__MaxDeliveries=100", "Worker__MaxTasksPerChild=20" };
        var workers = new[] { stack.StartWorker(settings), stack.StartWorker(settings) };

        for (var deaths = 0; deaths < 4; deaths++)
        {
            var before = (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded;
            await WorkerStack.UntilAsync(async () =>
                (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded >= Math.Min(before + 10, 100));
            await workers[deaths % 2].Process.KillAsync();
            workers[deaths % 2] = stack.StartWorker(settings);
        }

        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded == 100);
        foreach (var id in ids)
            Assert.Equal(TaskState.Succeeded, (await stack.Monitor.ReadTaskAsync(id))!.State);
        Assert.Empty(await stack.Monitor.ReadDeadLettersAsync());
        Assert.Empty(await stack.Monitor.ReadRunningAsync());
    }

    [Fact]
    public async Task Workers_go_on_when_Redis_comes_back_without_its_data()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.StartWorker();
        await stack.UntilAsync(await stack.ScrapeAsync(1), TaskState.Succeeded);

        await stack.Server.StopAsync();
        await stack.Server.StartAgainAsync(TestContext.Current.CancellationToken);

        string? id = null;
        await WorkerStack.UntilAsync(async () => (id = await stack.ScrapeAsync(2)) is not null);
        await stack.UntilAsync(id!, TaskState.Succeeded);
    }

    private static void Kill(int processId)
    {
        using var process = Process.GetProcessById(processId);
        process.Kill();
    }

    private static bool IsAlive(int processId)
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
