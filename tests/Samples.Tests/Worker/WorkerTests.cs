using SampleQueue;
using Testing;
using Xunit;

namespace Samples.Tests.Worker;

/// <summary>What a worker does with tasks while nothing dies.</summary>
public class WorkerTests(PostgresFixture postgres)
{
    [Fact]
    public async Task An_enqueued_scrape_notes_the_price_and_shows_in_the_monitor()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var (worker, _) = stack.StartWorker();

        var id = await stack.ScrapeAsync(3);
        var task = await stack.UntilAsync(id, TaskState.Succeeded);

        Assert.Equal("19.99 EUR", await stack.SqlAsync("SELECT price || ' ' || currency FROM products WHERE id = 3"));
        Assert.Equal(19.99m, await stack.SqlAsync("SELECT price FROM price_history WHERE product_id = 3"));
        Assert.Equal((TaskNames.ScrapePrice, TaskQueues.WebScraper, worker, 1), (task.Name, task.Queue, task.Worker, task.Attempt));
        Assert.Equal("""{"product_id":3}""", task.Arguments);
        Assert.True(task.EnqueuedAt <= task.StartedAt && task.StartedAt <= task.FinishedAt);

        var snapshot = await stack.Monitor.ReadAsync();
        Assert.Equal(id, Assert.Single(snapshot.Finished).Id);
        Assert.Empty(snapshot.Running);
        Assert.Equal((1, 0, 0), (snapshot.Succeeded, snapshot.Failed, snapshot.Dead));
        var status = Assert.Single(snapshot.Workers);
        Assert.Equal((WorkerState.Running, 1, 0), (status.State, status.Processed, status.Failed));
        Assert.Equal((4, 2), (status.Concurrency[TaskQueues.Default], status.Concurrency[TaskQueues.WebScraper]));
    }

    [Fact]
    public async Task A_worker_runs_no_more_scrapes_at_once_than_it_may()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        stack.StartWorker("CELERY_CONCURRENCY_WEBSCRAPER=3");

        for (var product = 1; product <= 8; product++)
            await stack.ScrapeAsync(product);
        await WorkerStack.UntilAsync(() => stack.Site.Current == 3);
        var queue = await stack.QueueAsync(TaskQueues.WebScraper);
        Assert.Equal((3, 5), (queue.Running, queue.Waiting));

        stack.Site.Open();
        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded == 8);
        Assert.Equal(3, stack.Site.Most);
    }

    [Fact]
    public async Task A_full_queue_does_not_keep_the_other_one_waiting()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        stack.StartWorker();

        for (var product = 1; product <= 5; product++)
            await stack.ScrapeAsync(product);
        await WorkerStack.UntilAsync(() => stack.Site.Current == 2);
        var report = await stack.Queue.EnqueueAsync(TaskQueues.Default, TaskNames.PriceReport);
        await stack.UntilAsync(report, TaskState.Succeeded);

        Assert.Equal(2, stack.Site.Current);
    }

    [Fact]
    public async Task Four_tasks_of_the_default_queue_run_at_once()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        await using var connection = await stack.ConnectAsync();
        await using var transaction = await connection.BeginTransactionAsync(TestContext.Current.CancellationToken);
        await using var locking = connection.CreateCommand();
        locking.CommandText = "LOCK TABLE price_history";
        await locking.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        stack.StartWorker();

        for (var i = 0; i < 7; i++)
            await stack.Queue.EnqueueAsync(TaskQueues.Default, TaskNames.PriceReport);
        await WorkerStack.UntilAsync(async () => 4L.Equals(await stack.SqlAsync(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")));

        var queue = await stack.QueueAsync(TaskQueues.Default);
        Assert.Equal((4, 3), (queue.Running, queue.Waiting));
        await transaction.RollbackAsync(TestContext.Current.CancellationToken);
        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.Default)).Succeeded == 7);
    }

    [Fact]
    public async Task A_failing_task_is_retried_then_given_up_and_can_be_requeued()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Failure = 500;
        var (worker, _) = stack.StartWorker("Worker__MaxAttempts=3");

        var id = await stack.ScrapeAsync(1);
        var task = await stack.UntilAsync(id, TaskState.Dead);

        Assert.Equal(3, stack.Site.Requests(1));
        Assert.Equal(3, task.Attempt);
        var letter = Assert.Single(await stack.Monitor.ReadDeadLettersAsync());
        Assert.Equal((id, TaskNames.ScrapePrice, 3, worker), (letter.TaskId, letter.Name, letter.Attempts, letter.Worker));
        Assert.Contains("500", letter.Error, StringComparison.Ordinal);
        var queue = await stack.QueueAsync(TaskQueues.WebScraper);
        Assert.Equal((0, 3, 2, 1), (queue.Succeeded, queue.Failed, queue.Retried, queue.Dead));

        stack.Site.Failure = null;
        Assert.True(await stack.Monitor.RequeueAsync(letter.EntryId));
        await stack.UntilAsync(id, TaskState.Succeeded);
        Assert.Empty(await stack.Monitor.ReadDeadLettersAsync());
        Assert.False(await stack.Monitor.RequeueAsync(letter.EntryId));
    }

    [Fact]
    public async Task A_task_that_exceeds_its_time_limit_counts_as_failed()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Hold();
        stack.StartWorker("Worker__MaxAttempts=1", "Worker__TaskTimeLimit=00:00:00.3");

        var task = await stack.UntilAsync(await stack.ScrapeAsync(1), TaskState.Dead);

        Assert.Contains("time limit", task.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Malformed_messages_become_dead_letters_and_the_worker_goes_on()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var database = stack.Redis.GetDatabase();
        const string Stream = "{tasks}:queue:webscraper";
        await database.ExecuteAsync("XADD", Stream, "*", "what", "is this");
        await database.ExecuteAsync("XADD", Stream, "*", "id", "a", "task", "scrape_price", "enqueued", "1", "args", "{not json");
        await database.ExecuteAsync("XADD", Stream, "*", "id", "b", "task", "scrape_price", "enqueued", "never");
        await database.ExecuteAsync("XADD", Stream, "*", "id", "c", "task", "scrape_price", "enqueued", "1", "attempt", "-7");
        await database.ExecuteAsync("XADD", Stream, "*", "id", "d", "task", "scrape_price", "enqueued", "1", "args", """{"product_id":"one"}""");
        await database.ExecuteAsync("XADD", Stream, "*", "id", "e", "task", "no_such_task", "enqueued", "1");
        var good = await stack.ScrapeAsync(1);
        stack.StartWorker();

        await stack.UntilAsync(good, TaskState.Succeeded);
        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.WebScraper)).Dead == 6);

        var letters = await stack.Monitor.ReadDeadLettersAsync();
        Assert.Equal(["", "a", "b", "c", "d", "e"], letters.Select(letter => letter.TaskId ?? "").Order());
        Assert.Equal([new("what", "is this")], letters.Single(letter => letter.TaskId is null).Message);
        Assert.All(letters, letter => Assert.NotEqual("", letter.Error));
        Assert.Equal((0, 0), await Left(stack));

        static async Task<(long, long)> Left(WorkerStack stack)
        {
            var queue = await stack.QueueAsync(TaskQueues.WebScraper);
            return (queue.Waiting, queue.Running);
        }
    }

    [Fact]
    public async Task A_scrape_delivered_twice_notes_one_price()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        await stack.ScrapeAsync(1);
        var database = stack.Redis.GetDatabase();
        var entries = (StackExchange.Redis.RedisResult[])(await database.ExecuteAsync("XRANGE", "{tasks}:queue:webscraper", "-", "+"))!;
        var fields = (string[])((StackExchange.Redis.RedisResult[])entries.Single()!)[1]!;
        await database.ExecuteAsync("XADD", ["{tasks}:queue:webscraper", "*", .. fields]);
        stack.Site.Hold();
        stack.StartWorker();

        // Both are at the page at once: neither can have seen the other's price before.
        await WorkerStack.UntilAsync(() => stack.Site.Current == 2);
        stack.Site.Open();
        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded == 2);

        Assert.Equal(1L, await stack.SqlAsync("SELECT count(*) FROM price_history"));
    }

    [Fact]
    public async Task Each_scrape_enqueued_after_the_last_price_notes_another()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.StartWorker();

        for (var i = 1; i <= 3; i++)
        {
            stack.Site.Price = i;
            await stack.UntilAsync(await stack.ScrapeAsync(1), TaskState.Succeeded);
        }

        Assert.Equal("1.00 2.00 3.00", await stack.SqlAsync("SELECT string_agg(price::text, ' ' ORDER BY observed_at) FROM price_history"));
    }

    [Fact]
    public async Task Refreshing_all_prices_scrapes_every_product()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.StartWorker();

        await stack.Queue.EnqueueAsync(TaskQueues.Default, TaskNames.RefreshAllPrices);

        await WorkerStack.UntilAsync(async () => (await stack.QueueAsync(TaskQueues.WebScraper)).Succeeded == 10);
        Assert.Equal(10L, await stack.SqlAsync("SELECT count(DISTINCT product_id) FROM price_history"));
    }

    [Fact]
    public async Task Cleaning_up_keeps_the_latest_price_of_each_product()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        await stack.SqlAsync(
            """
            INSERT INTO price_history (product_id, price, observed_at)
            SELECT p, d, now() - make_interval(days => d) FROM generate_series(1, 2) p, generate_series(100, 1600) d;
            INSERT INTO price_history (product_id, price) VALUES (1, 5)
            """);
        stack.StartWorker();

        var id = await stack.Queue.EnqueueAsync(TaskQueues.Default, TaskNames.CleanupHistory, new { keep_days = 30 });
        await stack.UntilAsync(id, TaskState.Succeeded);

        Assert.Equal("1: 5.00, 2: 100.00", await stack.SqlAsync("SELECT string_agg(product_id || ': ' || price, ', ' ORDER BY product_id) FROM price_history"));
    }

    [Fact]
    public async Task Tasks_wait_for_tables_that_do_not_exist_yet_without_using_up_attempts()
    {
        await using var stack = await WorkerStack.StartAsync(postgres, tables: false);
        stack.StartWorker("Worker__MaxAttempts=1");

        var id = await stack.ScrapeAsync(1);
        var task = await stack.UntilAsync(id, TaskState.Delayed);
        Assert.Contains("tables do not exist yet", task.Error, StringComparison.Ordinal);
        await stack.CreateTablesAsync();

        Assert.Equal(1, (await stack.UntilAsync(id, TaskState.Succeeded)).Attempt);
    }

    [Fact]
    public async Task A_site_that_asks_to_come_later_is_visited_later_without_using_up_attempts()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.Site.Failure = 503;
        stack.StartWorker("Worker__MaxAttempts=1");

        var id = await stack.ScrapeAsync(1);
        await WorkerStack.UntilAsync(() => stack.Site.Requests(1) >= 3);
        stack.Site.Failure = null;

        Assert.Equal(1, (await stack.UntilAsync(id, TaskState.Succeeded)).Attempt);
    }

    [Fact]
    public async Task A_unique_task_is_enqueued_once()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        var options = new EnqueueOptions { UniqueKey = "refresh:1" };

        var first = await stack.Queue.EnqueueAsync(TaskQueues.WebScraper, TaskNames.ScrapePrice, new { product_id = 1 }, options);
        var second = await stack.Queue.EnqueueAsync(TaskQueues.WebScraper, TaskNames.ScrapePrice, new { product_id = 1 }, options);

        Assert.Equal(first, second);
        Assert.Equal(1, (await stack.QueueAsync(TaskQueues.WebScraper)).Waiting);
    }

    [Fact]
    public async Task Subscribers_hear_of_each_step_of_a_task()
    {
        await using var stack = await WorkerStack.StartAsync(postgres);
        stack.StartWorker();
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        enough.CancelAfter(TimeSpan.FromSeconds(60));
        await using var events = stack.Monitor.SubscribeAsync(enough.Token).GetAsyncEnumerator(enough.Token);
        var next = events.MoveNextAsync();

        var id = await stack.ScrapeAsync(1);
        var kinds = new List<string>();
        while (kinds.LastOrDefault() != "succeeded" && await next)
        {
            if (events.Current.Subject == id)
                kinds.Add(events.Current.Kind);
            next = events.MoveNextAsync();
        }

        Assert.Equal(["enqueued", "started", "succeeded"], kinds);
        await enough.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await next);
    }
}
