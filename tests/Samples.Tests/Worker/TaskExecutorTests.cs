using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SampleQueue;
using SampleWorker;
using SampleWorker.Execution;
using SampleWorker.Tasks;
using Testing;
using Xunit;

namespace Samples.Tests.Worker;

/// <summary>The executor in this process, with tasks that no sensible worker would have.</summary>
public class TaskExecutorTests(PostgresFixture postgres)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task A_task_that_heeds_no_cancellation_fails_and_its_process_wants_to_be_replaced()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        using var release = new SemaphoreSlim(0);
        using var host = Host(
            stack,
            new Handler("stubborn", _ => release.WaitAsync(CancellationToken.None)),
            ("Worker:TaskTimeLimit", "00:00:00.1"), ("Worker:CancellationGrace", "00:00:00.1"), ("Worker:MaxAttempts", "1"));
        await host.StartAsync(TestContext.Current.CancellationToken);

        var id = await stack.Queue.EnqueueAsync(TaskQueues.Default, "stubborn");
        var task = await stack.UntilAsync(id, TaskState.Dead);

        Assert.Contains("heedless of its cancellation", task.Error, StringComparison.Ordinal);
        await host.WaitForShutdownAsync(TestContext.Current.CancellationToken).WaitAsync(Deadline, TestContext.Current.CancellationToken);
        Assert.Equal(ExecutorExit.Recycled, host.Services.GetRequiredService<ExecutorExit>().Code);
        release.Release();
    }

    [Fact]
    public async Task A_task_that_another_worker_has_taken_over_is_cancelled_and_its_outcome_does_not_count()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var started = new TaskCompletionSource();
        var cancelled = new TaskCompletionSource();
        using var host = Host(stack, new Handler("slow", async cancellationToken =>
        {
            started.SetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken).ContinueWith(_ => cancelled.SetResult(), TaskScheduler.Default);
        }));
        await host.StartAsync(TestContext.Current.CancellationToken);
        var id = await stack.Queue.EnqueueAsync(TaskQueues.Default, "slow");
        await started.Task.WaitAsync(Deadline, TestContext.Current.CancellationToken);

        // What another worker would do if this one had been frozen for a while.
        var thief = new TaskConsumer(stack.Redis, new TaskQueueOptions(), "thief", "thief-1");
        var taken = Assert.Single(await thief.ClaimAsync(TaskQueues.Default, 10, TimeSpan.Zero, null, []));
        await cancelled.Task.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await host.StopAsync(TestContext.Current.CancellationToken);

        Assert.Equal(2, taken.Deliveries);
        Assert.Equal((TaskState.Running, "thief"), await StateAsync());
        Assert.True(await thief.SucceedAsync(taken));
        Assert.False(await thief.SucceedAsync(taken));
        Assert.Equal((TaskState.Succeeded, "thief"), await StateAsync());
        Assert.Equal((1, 1), await CountsAsync());

        async Task<(TaskState, string?)> StateAsync()
        {
            var task = (await stack.Monitor.ReadTaskAsync(id))!;
            return (task.State, task.Worker);
        }

        async Task<(long, long)> CountsAsync()
        {
            var queue = await stack.QueueAsync(TaskQueues.Default);
            return (queue.Succeeded, queue.Reclaimed);
        }
    }

    [Fact]
    public async Task A_message_whose_delivery_got_lost_is_taken_again_by_its_own_worker()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        using var host = Host(stack, new Handler("quick", _ => Task.CompletedTask));
        var self = host.Services.GetRequiredService<ExecutorIdentity>().Consumer;
        var consumer = new TaskConsumer(stack.Redis, new TaskQueueOptions(), "here", self);
        await consumer.RegisterAsync(new Dictionary<string, int> { [TaskQueues.Default] = 1 }, 0, TimeSpan.FromSeconds(2));
        var id = await stack.Queue.EnqueueAsync(TaskQueues.Default, "quick");

        // Redis has given it away, but the answer never came.
        Assert.Single(await consumer.TakeAsync(TaskQueues.Default, 1));
        await host.StartAsync(TestContext.Current.CancellationToken);

        await stack.UntilAsync(id, TaskState.Succeeded);
        await host.StopAsync(TestContext.Current.CancellationToken);
    }

    private static IHost Host(WorkerStack stack, ITaskHandler handler, params (string Key, string Value)[] settings)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["ConnectionStrings:redis"] = stack.Server.ConnectionString,
            ["ConnectionStrings:shop"] = "Host=127.0.0.1;Port=1;Username=nobody",
            ["Worker:Name"] = "here",
            ["Worker:Poll"] = "00:00:00.1",
            ["Worker:Heartbeat"] = "00:00:00.3",
            ["Worker:ClaimAfter"] = "00:00:01",
            ["Worker:Schedule:refresh_all_prices"] = "00:00:00",
            ["Worker:Schedule:cleanup_history"] = "00:00:00",
            ["Worker:Schedule:price_report"] = "00:00:00",
        });
        builder.Configuration.AddInMemoryCollection(settings.ToDictionary(setting => setting.Key, setting => (string?)setting.Value));
        builder.Logging.ClearProviders();
        ExecutorProcess.AddExecutor(builder, new ExecutorIdentity($"here/{Guid.NewGuid():N}", 0, null));
        builder.Services.AddSingleton(handler);
        return builder.Build();
    }

    private sealed class Handler(string name, Func<CancellationToken, Task> work) : ITaskHandler
    {
        public string Name => name;

        public Task RunAsync(TaskContext context, CancellationToken cancellationToken) => work(cancellationToken);
    }
}
