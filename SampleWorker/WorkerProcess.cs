using SampleQueue;
using SampleWorker.Supervision;
using ServiceDefaults;
using ServiceDefaults.Configuration;

namespace SampleWorker;

/// <summary>The worker as seen from outside: health endpoints, and the supervision of the process that runs the tasks.</summary>
internal static class WorkerProcess
{
    public static async Task<int> RunAsync(string[] args)
    {
        var builder = WebApplication.CreateBuilder(
            new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        builder.AddServiceDefaults();
        var options = WorkerOptions.Read(builder.Configuration);
        // The executor needs these; say so here, once, and not at each of its restarts.
        builder.Configuration.GetRequiredConnectionString("redis");
        builder.Configuration.GetDatabaseConnectionString("shop");

        builder.AddTaskQueue();
        builder.Services.AddSingleton(options);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ExecutorSupervisor.StopLimit(options));
        builder.Services.AddHostedService<ExecutorSupervisor>();
        builder.Services.AddHealthChecks().AddCheck<ExecutorHealthCheck>("executor");

        await using var app = builder.Build();
        app.MapDefaultEndpoints();
        await app.RunAsync();
        return 0;
    }
}
