using System.Globalization;
using Npgsql;
using SampleQueue;
using SampleWorker.Execution;
using SampleWorker.Supervision;
using SampleWorker.Tasks;
using ServiceDefaults;
using ServiceDefaults.Configuration;
using ServiceDefaults.Database;

namespace SampleWorker;

/// <summary>The process that runs tasks. It has no HTTP endpoint; the worker that started it answers for it.</summary>
internal static class ExecutorProcess
{
    private const string NameKey = "Worker__Name";
    private const string ConsumerKey = "Worker__Executor__Consumer";
    private const string GenerationKey = "Worker__Executor__Generation";
    private const string PredecessorKey = "Worker__Executor__Predecessor";

    /// <summary>True in a process that a supervisor has started.</summary>
    public static bool IsThis => System.Environment.GetEnvironmentVariable(ConsumerKey) is { Length: > 0 };

    /// <summary>What a supervisor gives to the executor it starts; null takes a variable away.</summary>
    public static IEnumerable<KeyValuePair<string, string?>> Environment(string worker, ExecutorIdentity identity) =>
    [
        new(NameKey, worker),
        new(ConsumerKey, identity.Consumer),
        new(GenerationKey, identity.Generation.ToString(CultureInfo.InvariantCulture)),
        new(PredecessorKey, identity.Predecessor),
    ];

    public static async Task<int> RunAsync(string[] args)
    {
        var builder = Host.CreateApplicationBuilder(
            new HostApplicationBuilderSettings { Args = args, ContentRootPath = AppContext.BaseDirectory });
        builder.AddServiceDefaults(defaults =>
        {
            defaults.ActivitySources.Add(QueueTelemetry.ActivitySourceName);
            defaults.Meters.Add(QueueTelemetry.MeterName);
        });
        AddExecutor(builder, new ExecutorIdentity(
            System.Environment.GetEnvironmentVariable(ConsumerKey)!,
            int.Parse(System.Environment.GetEnvironmentVariable(GenerationKey) ?? "0", CultureInfo.InvariantCulture),
            System.Environment.GetEnvironmentVariable(PredecessorKey)));
        builder.Services.AddSingleton<IHostLifetime, ExecutorLifetime>();

        using var host = builder.Build();
        await host.RunAsync();
        return host.Services.GetRequiredService<ExecutorExit>().Code;
    }

    /// <summary>Registers the executor and its tasks with a host.</summary>
    public static void AddExecutor(IHostApplicationBuilder builder, ExecutorIdentity identity)
    {
        var options = WorkerOptions.Read(builder.Configuration);
        builder.AddTaskQueue();
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(identity);
        builder.Services.AddSingleton<ExecutorExit>();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ExecutorSupervisor.StopLimit(options));

        builder.Services.AddSingleton(services => CreateDataSource(services, builder.Configuration));
        builder.Services.AddSingleton<ShopDatabase>();
        builder.Services.AddHttpClient(ScrapePrice.HttpClientName, client =>
        {
            client.Timeout = TimeSpan.FromSeconds(30);
            client.DefaultRequestHeaders.UserAgent.ParseAdd("price-watch/1.0");
        });
        builder.Services.AddSingleton<ITaskHandler, ScrapePrice>();
        builder.Services.AddSingleton<ITaskHandler, RefreshAllPrices>();
        builder.Services.AddSingleton<ITaskHandler, CleanupHistory>();
        builder.Services.AddSingleton<ITaskHandler, PriceReport>();
        builder.Services.AddHostedService<TaskExecutor>();
    }

    private static NpgsqlDataSource CreateDataSource(IServiceProvider services, IConfiguration configuration)
    {
        var builder = new NpgsqlDataSourceBuilder(configuration.GetDatabaseConnectionString("shop"));
        // Shows in pg_stat_activity and in the pooler's SHOW CLIENTS.
        builder.ConnectionStringBuilder.ApplicationName ??= "sample-worker";
        builder.UseLoggerFactory(services.GetRequiredService<ILoggerFactory>()).SendTraceContext();
        return builder.Build();
    }
}
