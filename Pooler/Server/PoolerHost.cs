using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;
using Pooler.Server.Http;
using Pooler.Server.Http.Page;
using Pooler.Server.Logging;
using ServiceDefaults;

namespace Pooler.Server;

/// <summary>Builds the .NET host around the engine: logging, telemetry, and the web server when one is wanted.</summary>
internal static class PoolerHost
{
    // The host would watch the working directory for changed settings, with all that is below it: from / the whole system.
    // A reload is asked for.
    private static readonly string[] WithoutWatching = ["--hostBuilder:reloadConfigOnChange=false"];

    // After a change of user the working directory may be out of reach.
    private static string ContentRoot => Directory.Exists(Directory.GetCurrentDirectory()) ? Directory.GetCurrentDirectory() : AppContext.BaseDirectory;

    /// <summary>Builds it; nothing listens yet.</summary>
    /// <param name="urls">Where the web server listens; none: there is none.</param>
    /// <param name="log">The log.</param>
    /// <param name="createEngine">Makes the engine from the host's services.</param>
    public static IHost Build(IReadOnlyList<string> urls, LogWriter log, Func<IServiceProvider, PoolerEngine> createEngine)
    {
        // The command line is ours, not the host's.
        if (urls.Count == 0)
        {
            var bare = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "pooler", Args = WithoutWatching, ContentRootPath = ContentRoot });
            Configure(bare, log, createEngine);
            return bare.Build();
        }

        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ApplicationName = "pooler", Args = WithoutWatching, ContentRootPath = ContentRoot });
        Configure(builder, log, createEngine);
        builder.WebHost.UseSetting(WebHostDefaults.HttpPortsKey, "").UseUrls([.. urls]);
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            // Of each port.
            kestrel.Limits.MaxConcurrentConnections = ConfigurationAdvice.MostWebConnections;
        });
        builder.Services.AddProblemDetails();

        var app = builder.Build();
        app.UseExceptionHandler().UseStatusCodePages();
        app.MapDefaultEndpoints();
        var engine = app.Services.GetRequiredService<PoolerEngine>();
        app.MapGet("/metrics", (HttpContext context) => AdminGuard.ObjectionToReader(context, engine.Configuration.Settings) is { } objection
            ? Results.Problem(objection, statusCode: StatusCodes.Status403Forbidden)
            : Results.Text(PrometheusText.Write(engine.Metrics.Read()), PrometheusText.ContentType)).DisableHttpMetrics();
        AdminEndpoints.Map(app, engine);
        PageEndpoints.Map(app, engine);
        return app;
    }

    /// <summary>The addresses the web server listens on.</summary>
    public static IEnumerable<string> Addresses(IHost host) => host is WebApplication app ? app.Urls : [];

    private static void Configure(IHostApplicationBuilder builder, LogWriter log, Func<IServiceProvider, PoolerEngine> createEngine)
    {
        builder.Logging.ClearProviders().AddProvider(log).SetMinimumLevel(LogLevel.Trace);
        builder.Logging.AddFilter((category, level) =>
            level >= log.MinimumLevel && (level >= LogLevel.Warning || category?.StartsWith("Microsoft.", StringComparison.Ordinal) != true));

        builder.AddServiceDefaults(defaults =>
        {
            defaults.ActivitySources.Add(PoolerTelemetry.Name);
            defaults.Meters.Add(PoolerTelemetry.Name);
            defaults.LogProcessors.Add(new LogRecordAttributes());
        });
        builder.Services.AddHealthChecks().AddCheck<PoolHealthCheck>("pool", timeout: TimeSpan.FromSeconds(5));
        builder.Services.AddSingleton(createEngine);

        // Signals are the pooler's own, with PgBouncer's meanings; requests still under way get little time at the end.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
