using Microsoft.Extensions.Configuration;
using SampleQueue;
using SampleWorker;
using ServiceDefaults.Configuration;
using Xunit;

namespace Samples.Tests.Worker;

public class WorkerOptionsTests
{
    [Fact]
    public void Queues_have_the_concurrency_of_the_system_they_are_modelled_on()
    {
        var options = Read();

        Assert.Equal((4, 2), (options.Concurrency[TaskQueues.Default], options.Concurrency[TaskQueues.WebScraper]));
        Assert.Equal(1000, options.MaxTasksPerChild);
    }

    [Fact]
    public void Names_known_from_Celery_are_read_and_own_names_come_first()
    {
        var options = Read(
            ("CELERY_CONCURRENCY_DEFAULT", "8"),
            ("CELERY_CONCURRENCY_WEBSCRAPER", "3"),
            ("Worker:Concurrency:webscraper", "1"),
            ("CELERY_WORKER_MAX_TASKS_PER_CHILD", "50"));

        Assert.Equal((8, 1), (options.Concurrency[TaskQueues.Default], options.Concurrency[TaskQueues.WebScraper]));
        Assert.Equal(50, options.MaxTasksPerChild);
    }

    [Fact]
    public void A_queue_can_be_left_to_other_workers_and_others_added()
    {
        var options = Read(("Worker:Concurrency:default", "0"), ("Worker:Concurrency:slow", "1"));

        Assert.Equal(["slow", "webscraper"], options.Served.Keys.Order());
    }

    [Theory]
    [InlineData("Worker:ClaimAfter", "00:00:04")]
    [InlineData("Worker:MaxAttempts", "0")]
    [InlineData("Worker:MaxAttempts", "many")]
    [InlineData("Worker:Poll", "00:00:00")]
    public void An_unusable_setting_is_refused(string key, string value) =>
        Assert.Contains(key.Split(':')[1], Assert.Throws<MissingSettingException>(() => Read((key, value))).Message, StringComparison.Ordinal);

    [Fact]
    public void The_delay_doubles_up_to_its_limit()
    {
        var options = Read(("Worker:RetryDelay", "00:00:02"), ("Worker:MaxRetryDelay", "00:00:10"));

        Assert.Equal([2, 4, 8, 10, 10], new[] { 1, 2, 3, 4, 1000 }.Select(attempt => options.DelayAfter(attempt).TotalSeconds));
    }

    private static WorkerOptions Read(params (string Key, string Value)[] settings) => WorkerOptions.Read(
        new ConfigurationBuilder()
            .AddInMemoryCollection(settings.ToDictionary(setting => setting.Key, setting => (string?)setting.Value))
            .Build());
}
