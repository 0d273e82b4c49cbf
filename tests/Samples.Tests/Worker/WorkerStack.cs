using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using SampleQueue;
using StackExchange.Redis;
using Testing;
using Xunit;

namespace Samples.Tests.Worker;

/// <summary>A Redis, a shop database and a product site of one test's own, and workers as real processes on them.</summary>
internal sealed class WorkerStack : IAsyncDisposable
{
    private readonly PostgresFixture _postgres;
    private readonly List<ChildProcess> _processes = [];
    private int _names;

    private WorkerStack(PostgresFixture postgres, RedisServer server, ConnectionMultiplexer redis, string database, ProductSite site)
    {
        _postgres = postgres;
        Server = server;
        Redis = redis;
        Database = database;
        Site = site;
        Queue = new TaskQueue(redis);
        Monitor = new TaskMonitor(redis);
    }

    public RedisServer Server { get; }

    public ConnectionMultiplexer Redis { get; }

    public string Database { get; }

    public ProductSite Site { get; }

    public TaskQueue Queue { get; }

    public TaskMonitor Monitor { get; }

    public static async Task<WorkerStack> StartAsync(PostgresFixture postgres, bool tables = true)
    {
        var cancelled = TestContext.Current.CancellationToken;
        var server = await RedisServer.StartAsync(cancellationToken: cancelled);
        var stack = new WorkerStack(
            postgres,
            server,
            TaskQueueServices.Connect(server.ConnectionString),
            await postgres.NewDatabaseAsync(cancelled),
            await ProductSite.StartAsync());
        if (tables)
            await stack.CreateTablesAsync();
        return stack;
    }

    /// <summary>The tables of SampleWeb that the worker uses.</summary>
    public Task CreateTablesAsync() => SqlAsync(
        """
        CREATE TABLE products (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(200) NOT NULL, url varchar(2000) NOT NULL,
            price numeric(12,2), currency varchar(3) NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
        CREATE TABLE price_history (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id bigint NOT NULL REFERENCES products ON DELETE CASCADE,
            price numeric(12,2) NOT NULL, observed_at timestamptz NOT NULL DEFAULT now());
        INSERT INTO products (name, url, currency) SELECT 'Product ' || n, '/shop-window/' || n, 'USD' FROM generate_series(1, 10) n;
        """);

    public Task<object?> SqlAsync(string sql) =>
        _postgres.Server.ExecuteAsync(sql, Database, TestContext.Current.CancellationToken);

    public async Task<NpgsqlConnection> ConnectAsync()
    {
        var connection = new NpgsqlConnection(_postgres.Server.ConnectionString(Database) + ";Pooling=false");
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        return connection;
    }

    public Task<string> ScrapeAsync(int product) =>
        Queue.EnqueueAsync(TaskQueues.WebScraper, TaskNames.ScrapePrice, new { product_id = product });

    /// <summary>Starts a worker with short times, no schedule, and what else is given (<c>name=value</c>).</summary>
    public (string Name, ChildProcess Process) StartWorker(params string[] settings)
    {
        var name = $"worker{++_names}";
        var environment = new Dictionary<string, string?>
        {
            ["ConnectionStrings__shop"] = _postgres.Server.ConnectionString(Database),
            ["ConnectionStrings__redis"] = Server.ConnectionString,
            ["services__web__http__0"] = Site.Address,
            ["ASPNETCORE_URLS"] = "http://127.0.0.1:0",
            ["Worker__Name"] = name,
            ["Worker__Poll"] = "00:00:00.2",
            ["Worker__Heartbeat"] = "00:00:00.5",
            ["Worker__ClaimAfter"] = "00:00:02",
            ["Worker__RetryDelay"] = "00:00:00.1",
            ["Worker__DeferDelay"] = "00:00:00.2",
            ["Worker__Schedule__refresh_all_prices"] = "00:00:00",
            ["Worker__Schedule__cleanup_history"] = "00:00:00",
            ["Worker__Schedule__price_report"] = "00:00:00",
        };
        foreach (var setting in settings)
            environment[setting[..setting.IndexOf('=')]] = setting[(setting.IndexOf('=') + 1)..];
        var output = TestContext.Current.TestOutputHelper;
        var worker = ChildProcess.Start(new ChildProcessOptions
        {
            Name = name,
            Command = ["dotnet", Repository.Program("SampleWorker", "SampleWorker")],
            Environment = environment,
            OnLine = line =>
            {
                try
                {
                    output?.WriteLine($"{name}: {line}");
                }
                catch (InvalidOperationException)
                {
                    // The last lines may come after the test's end.
                }
            },
        });
        _processes.Add(worker);
        return (name, worker);
    }

    /// <summary>Starts the real web service on the same database and Redis and waits until it is ready.</summary>
    public async Task StartWebAsync(string address)
    {
        _processes.Add(ChildProcess.Start(new ChildProcessOptions
        {
            Name = "web",
            Command = ["dotnet", Repository.Program("SampleWeb", "SampleWeb")],
            WorkingDirectory = Path.Combine(Repository.Root, "SampleWeb"),
            Environment = new Dictionary<string, string?>
            {
                ["ConnectionStrings__shop"] = _postgres.Server.ConnectionString(Database),
                ["ConnectionStrings__redis"] = Server.ConnectionString,
                ["ASPNETCORE_URLS"] = address,
            },
        }));
        using var client = new HttpClient();
        await UntilAsync(async () => (await client.GetAsync(address + "/health")).IsSuccessStatusCode);
    }

    public async Task<WorkerStatus> WorkerAsync(string name) =>
        (await Monitor.ReadWorkersAsync()).Single(worker => worker.Name == name);

    public async Task<QueueStatus> QueueAsync(string name) =>
        (await Monitor.ReadQueuesAsync()).Single(queue => queue.Name == name);

    /// <summary>Waits until a task is in a state and returns it.</summary>
    public async Task<TaskRecord> UntilAsync(string id, TaskState state)
    {
        TaskRecord? task = null;
        await UntilAsync(async () => (task = await Monitor.ReadTaskAsync(id))?.State == state, () => $"{state}: {task}");
        return task!;
    }

    /// <summary>Waits for a condition; a machine with two cores and other tests may take its time.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, Func<string>? what = null)
    {
        try
        {
            await Eventually.TrueAsync(condition, TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        }
        catch (TimeoutException error) when (what is not null)
        {
            throw new TimeoutException($"{error.Message} ({what()})", error.InnerException);
        }
    }

    public static Task UntilAsync(Func<bool> condition, Func<string>? what = null) =>
        UntilAsync(() => Task.FromResult(condition()), what);

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
            await process.KillAsync();
        foreach (var process in _processes)
            await process.DisposeAsync();
        await Site.DisposeAsync();
        Redis.Close(allowCommandsToComplete: false);
        Redis.Dispose();
        await Server.DisposeAsync();
    }
}
