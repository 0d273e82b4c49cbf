using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using StackExchange.Redis;

namespace SampleQueue;

/// <summary>Registers the queue with a host.</summary>
public static class TaskQueueServices
{
    /// <summary>
    /// Registers <see cref="TaskQueue"/>, <see cref="TaskMonitor"/> and the <see cref="IConnectionMultiplexer"/> they
    /// use, on connection string <c>redis</c> (StackExchange.Redis syntax, e.g. <c>localhost:6379,password=…</c>).
    /// Connects on first use, and goes on trying: Redis may start later and may be restarted.
    /// </summary>
    public static TBuilder AddTaskQueue<TBuilder>(this TBuilder builder) where TBuilder : IHostApplicationBuilder
    {
        var options = builder.Configuration.GetSection("TaskQueue").Get<TaskQueueOptions>() ?? new TaskQueueOptions();
        builder.Services.AddSingleton(options);
        builder.Services.TryAddSingleton<IConnectionMultiplexer>(services =>
        {
            var redis = Connect(
                services.GetRequiredService<IConfiguration>().GetConnectionString("redis")
                ?? throw new InvalidOperationException("The connection string 'redis' is missing: set ConnectionStrings__redis."));
            // Disposing version 1.2.6 sends QUIT and then waits in vain for its answers until the timeout; once closed
            // in this way it has nothing left to wait for. Whoever uses Redis has stopped by then.
            services.GetService<IHostApplicationLifetime>()?.ApplicationStopped.Register(() => redis.Close(allowCommandsToComplete: false));
            return redis;
        });
        builder.Services.AddSingleton<TaskQueue>();
        builder.Services.AddSingleton<TaskMonitor>();
        return builder;
    }

    internal static ConnectionMultiplexer Connect(string connectionString)
    {
        var configuration = ConfigurationOptions.Parse(connectionString);
        configuration.AbortOnConnectFail = false;
        configuration.ConnectTimeout = Math.Max(configuration.ConnectTimeout, 5000);
        configuration.SyncTimeout = Math.Max(configuration.SyncTimeout, 5000);
        return ConnectionMultiplexer.Connect(configuration);
    }
}
