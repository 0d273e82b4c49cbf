using SampleQueue;
using ServiceDefaults.Configuration;

namespace SampleWorker;

/// <summary>
/// Settings of the worker, section <c>Worker</c> (environment: <c>Worker__MaxTasksPerChild=100</c>,
/// <c>Worker__Concurrency__default=4</c>). Times are written <c>hh:mm:ss</c>.
/// </summary>
internal sealed class WorkerOptions
{
    /// <summary>The worker's name in the monitor; by default the machine's and the process id.</summary>
    public string Name { get; set; } = $"{Environment.MachineName}-{Environment.ProcessId}";

    /// <summary>
    /// Tasks at once, by queue; 0 leaves a queue to other workers. Also read from CELERY_CONCURRENCY_DEFAULT and
    /// CELERY_CONCURRENCY_WEBSCRAPER.
    /// </summary>
    public Dictionary<string, int> Concurrency { get; set; } = new(StringComparer.OrdinalIgnoreCase)
    {
        [TaskQueues.Default] = 4,
        [TaskQueues.WebScraper] = 2,
    };

    /// <summary>
    /// Tasks after which the executing process is replaced by a fresh one, which bounds what a leak can grow to;
    /// 0 for never. Also read from CELERY_WORKER_MAX_TASKS_PER_CHILD.
    /// </summary>
    public int MaxTasksPerChild { get; set; } = 1000;

    /// <summary>Attempts before a task is given up.</summary>
    public int MaxAttempts { get; set; } = 5;

    /// <summary>
    /// Workers that may die over the same attempt before the task is given up unrun: one that kills its worker each
    /// time (out of memory, say) would otherwise go round for ever.
    /// </summary>
    public int MaxDeliveries { get; set; } = 5;

    /// <summary>Delay before the second attempt; doubles from attempt to attempt.</summary>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>The longest delay between attempts.</summary>
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Delay of a task that lacks something it depends on: the database is away, or has no tables yet.</summary>
    public TimeSpan DeferDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Age at which a task that is still deferred counts as failed.</summary>
    public TimeSpan DeferLimit { get; set; } = TimeSpan.FromHours(1);

    /// <summary>Time a task may take before it is cancelled, which counts as a failed attempt.</summary>
    public TimeSpan TaskTimeLimit { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Time that a cancelled task gets to end. One that goes on nevertheless ends with its process, which is replaced
    /// when its other tasks are done.
    /// </summary>
    public TimeSpan CancellationGrace { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How often the worker says that it lives.</summary>
    public TimeSpan Heartbeat { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>Silence after which a worker counts as dead and others take over its tasks.</summary>
    public TimeSpan ClaimAfter { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// How often to look for work, delayed tasks and due periodic tasks. New work is announced by publish/subscribe and
    /// taken at once; this is for announcements lost while a connection was down.
    /// </summary>
    public TimeSpan Poll { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Time that running tasks get to finish when the worker stops; then they are cancelled and handed back.</summary>
    public TimeSpan ShutdownLimit { get; set; } = TimeSpan.FromSeconds(25);

    /// <summary>Periodic tasks and their intervals; zero or less switches one off.</summary>
    public Dictionary<string, TimeSpan> Schedule { get; set; } = new(StringComparer.OrdinalIgnoreCase)
    {
        [TaskNames.RefreshAllPrices] = TimeSpan.FromMinutes(1),
        [TaskNames.CleanupHistory] = TimeSpan.FromHours(1),
        [TaskNames.PriceReport] = TimeSpan.FromMinutes(15),
    };

    /// <summary>Queues this worker serves.</summary>
    public IReadOnlyDictionary<string, int> Served => Concurrency.Where(queue => queue.Value > 0).ToDictionary();

    /// <summary>Reads and checks the settings.</summary>
    /// <exception cref="MissingSettingException">One is unusable.</exception>
    public static WorkerOptions Read(IConfiguration configuration)
    {
        var options = new WorkerOptions();
        try
        {
            foreach (var queue in options.Concurrency.Keys.ToArray())
                if (configuration.GetValue<int?>($"CELERY_CONCURRENCY_{queue.ToUpperInvariant()}") is { } concurrency)
                    options.Concurrency[queue] = concurrency;
            options.MaxTasksPerChild = configuration.GetValue("CELERY_WORKER_MAX_TASKS_PER_CHILD", options.MaxTasksPerChild);
            configuration.GetSection("Worker").Bind(options);
        }
        catch (InvalidOperationException error)
        {
            throw new MissingSettingException("Worker", $"Unusable worker setting: {error.Message}");
        }

        options.Check();
        return options;
    }

    /// <summary>The delay after failed attempt number <paramref name="attempt"/>, without the random part.</summary>
    public TimeSpan DelayAfter(int attempt)
    {
        // 2^30 times any delay is beyond the limit; more would overflow.
        var delay = RetryDelay.TotalMilliseconds * Math.Pow(2, Math.Min(attempt - 1, 30));
        return TimeSpan.FromMilliseconds(Math.Min(delay, MaxRetryDelay.TotalMilliseconds));
    }

    private void Check()
    {
        Require(nameof(Name), Name.Length > 0 && !Name.Any(char.IsWhiteSpace), "must be a name without spaces");
        Require(nameof(Concurrency), Served.Count > 0, "must be above 0 for one queue at least");
        Require(nameof(MaxTasksPerChild), MaxTasksPerChild >= 0, "must be 0 or above");
        Require(nameof(MaxAttempts), MaxAttempts >= 1, "must be 1 or above");
        Require(nameof(MaxDeliveries), MaxDeliveries >= 2, "must be 2 or above, or no task survives its worker's death");
        Require(nameof(Heartbeat), Heartbeat > TimeSpan.Zero, "must be above 0");
        Require(nameof(Poll), Poll > TimeSpan.Zero, "must be above 0");
        Require(nameof(TaskTimeLimit), TaskTimeLimit > TimeSpan.Zero, "must be above 0");
        // One late heartbeat must not cost a living worker its tasks.
        Require(nameof(ClaimAfter), ClaimAfter >= 3 * Heartbeat, "must be three times Worker__Heartbeat or more");
    }

    private static void Require(string name, bool condition, string message)
    {
        if (!condition)
            throw new MissingSettingException($"Worker__{name}", $"Worker__{name} {message}.");
    }
}
