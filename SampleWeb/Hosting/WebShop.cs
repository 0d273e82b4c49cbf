using System.Text.Json;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.Extensions.Options;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using SampleQueue;
using SampleWeb.Api;
using SampleWeb.Data;
using SampleWeb.Monitoring;
using SampleWeb.Pricing;
using ServiceDefaults;
using ServiceDefaults.Configuration;
using ServiceDefaults.Database;

namespace SampleWeb.Hosting;

/// <summary>Puts the web together.</summary>
internal static class WebShop
{
    /// <summary>The web, not started yet.</summary>
    /// <param name="args">Command line: settings as <c>--key=value</c>.</param>
    /// <param name="configure">Changes the builder last, for tests.</param>
    /// <exception cref="MissingSettingException">A setting it can't do without is missing.</exception>
    public static WebApplication Create(string[] args, Action<WebApplicationBuilder>? configure = null)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions
        {
            Args = args,
            ApplicationName = typeof(WebShop).Assembly.GetName().Name,
            ContentRootPath = AppContext.BaseDirectory,
        });
        configure?.Invoke(builder);

        builder.AddServiceDefaults(defaults =>
        {
            defaults.ServiceName = "web";
            defaults.ActivitySources.Add(QueueTelemetry.ActivitySourceName);
            defaults.Meters.Add(QueueTelemetry.MeterName);
            defaults.Meters.Add("Microsoft.EntityFrameworkCore");
        });
        AddDatabase(builder);
        _ = builder.Configuration.GetRequiredConnectionString("redis");
        builder.AddTaskQueue();
        AddPages(builder);
        builder.Services.AddHealthChecks()
            .AddCheck<DatabaseHealthCheck>("database")
            .AddCheck<RedisHealthCheck>("redis");

        RemoveEagerKeyReader(builder.Services);
        var app = builder.Build();
        app.Use(SecurityHeaders.AddAsync);
        app.UseFailureAnswers();
        app.UseStaticFiles();
        app.Use(DatabaseGate.WaitForDatabaseAsync);
        app.UseRouting();
        app.MapDefaultEndpoints();
        app.MapRazorPages();
        app.MapTaskStream();
        app.MapProducts();
        app.MapCheckout();
        app.MapPublicAuth();
        return app;
    }

    private static void AddDatabase(WebApplicationBuilder builder)
    {
        var settings = new DatabaseSettings(builder.Configuration.GetDatabaseConnectionString("shop"));
        builder.Services.AddSingleton(settings);
        builder.Services.AddSingleton(services => CreateDataSource(settings, services.GetRequiredService<ILoggerFactory>()));
        builder.Services.AddDbContextPool<ShopContext>((services, options) => options.UseNpgsql(
            services.GetRequiredService<NpgsqlDataSource>(),
            // A server connection that dies while it is ours is the pool's everyday life: the unit of work is repeated.
            npgsql => npgsql.EnableRetryOnFailure(maxRetryCount: 3, maxRetryDelay: TimeSpan.FromSeconds(2), errorCodesToAdd: null)));
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddSingleton<DatabaseState>();
        builder.Services.AddHostedService<DatabaseMigrator>();
        builder.Services.AddDataProtection().SetApplicationName("price-watch");
        builder.Services.AddSingleton<SharedKeyRepository>();
        builder.Services.AddSingleton<IConfigureOptions<KeyManagementOptions>>(services => new ConfigureOptions<KeyManagementOptions>(
            options => options.XmlRepository = services.GetRequiredService<SharedKeyRepository>()));
    }

    private static NpgsqlDataSource CreateDataSource(DatabaseSettings settings, ILoggerFactory loggers)
    {
        var source = new NpgsqlDataSourceBuilder(settings.ConnectionString) { Name = "shop" };
        source.ConnectionStringBuilder.ApplicationName ??= "web";
        return source.UseLoggerFactory(loggers).SendTraceContext().Build();
    }

    private static void AddPages(WebApplicationBuilder builder)
    {
        builder.Services.AddScoped<Catalog>();
        builder.Services.AddScoped<Checkout>();
        builder.Services.AddSingleton<WatchedPage>();
        builder.Services.AddSingleton<TaskBoardFeed>();
        builder.Services.AddHostedService(services => services.GetRequiredService<TaskBoardFeed>());
        builder.Services.AddRazorPages();
        builder.Services.AddProblemDetails();
        builder.Services.AddExceptionHandler<Failures.ApiHandler>();
        builder.Services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower;
            json.SerializerOptions.DictionaryKeyPolicy = JsonNamingPolicy.SnakeCaseLower;
        });
    }

    /// <summary>
    /// Takes out the service that reads the data protection keys while the host starts: there need be no database then,
    /// and it logs that as an error. The keys are read when first needed. It is internal, hence found by its name.
    /// </summary>
    private static void RemoveEagerKeyReader(IServiceCollection services)
    {
        if (services.FirstOrDefault(service => service.ImplementationType?.Name == "DataProtectionHostedService") is { } reader)
            services.Remove(reader);
    }
}
