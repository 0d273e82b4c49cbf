using System.Net;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace AppHost.Tests;

/// <summary>What the integration does while an application runs, driven by the events the orchestrator would send.</summary>
public sealed class PoolerLifecycleTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void A_pooled_database_has_not_started_at_first()
    {
        var server = Model.RunMode().AddServer();
        var pooled = server.AddPooler().AddDatabase("shop-pooled", server.AddDatabase("shop")).Resource;

        var snapshot = pooled.Annotations.OfType<ResourceSnapshotAnnotation>().Single().InitialSnapshot;

        Assert.Equal("PooledDatabase", snapshot.ResourceType);
        Assert.Equal(KnownResourceStates.NotStarted, snapshot.State?.Text);
    }

    [Fact]
    public async Task Every_pooled_database_follows_the_poolers_state()
    {
        var builder = Model.RunMode();
        var server = builder.AddServer();
        var pooler = server.AddPooler();
        var databases = new[]
        {
            pooler.AddDatabase("shop-pooled", server.AddDatabase("shop")).Resource,
            pooler.AddDatabase("stock-pooled", server.AddDatabase("stock")).Resource,
        };
        using var app = builder.Build();
        var notifications = app.Services.GetRequiredService<ResourceNotificationService>();

        await builder.Eventing.PublishAsync(new BeforeResourceStartedEvent(pooler.Resource, app.Services), Token);
        Assert.Equal([KnownResourceStates.Starting, KnownResourceStates.Starting], States());

        await builder.Eventing.PublishAsync(new ResourceReadyEvent(pooler.Resource, app.Services), Token);
        Assert.Equal([KnownResourceStates.Running, KnownResourceStates.Running], States());

        await StopAsync(KnownResourceStates.FailedToStart);
        Assert.Equal([KnownResourceStates.FailedToStart, KnownResourceStates.FailedToStart], States());

        IEnumerable<string?> States() => databases.Select(database =>
            notifications.TryGetCurrentState(database.Name, out var current) ? current.Snapshot.State?.Text : null);

        async Task StopAsync(string state)
        {
            var snapshot = new CustomResourceSnapshot { ResourceType = "Project", Properties = [], State = state };
            var stopped = new ResourceStoppedEvent(pooler.Resource, app.Services, new ResourceEvent(pooler.Resource, "pooler-1", snapshot));
            await builder.Eventing.PublishAsync(stopped, Token);
        }
    }

    [Fact]
    public void The_commands_are_pause_resume_reload_and_reconnect()
    {
        var pooler = Model.RunMode().AddServer().AddPooler().Resource;

        var commands = Commands(pooler);

        Assert.Equal(["Pause", "Resume", "Reload", "Reconnect"], commands.Select(command => command.DisplayName));
        Assert.All(commands, command => Assert.False(string.IsNullOrEmpty(command.IconName)));
        Assert.All(commands, command => Assert.False(string.IsNullOrEmpty(command.DisplayDescription)));
        Assert.Equal(
            ["pause", "reconnect"],
            commands.Where(command => command.ConfirmationMessage is not null).Select(command => command.Name));
    }

    [Theory]
    [InlineData("Running", ResourceCommandState.Enabled)]
    [InlineData("NotStarted", ResourceCommandState.Disabled)]
    [InlineData("Starting", ResourceCommandState.Disabled)]
    [InlineData("Exited", ResourceCommandState.Disabled)]
    public void Commands_are_enabled_only_while_the_pooler_runs(string state, ResourceCommandState expected)
    {
        var builder = Model.RunMode();
        var pooler = builder.AddServer().AddPooler().Resource;
        using var app = builder.Build();
        var context = new UpdateCommandStateContext
        {
            ResourceSnapshot = new CustomResourceSnapshot { ResourceType = "Project", Properties = [], State = state },
            Services = app.Services,
        };

        Assert.All(Commands(pooler), command => Assert.Equal(expected, command.UpdateState(context)));
    }

    [Theory]
    [InlineData("pause")]
    [InlineData("resume")]
    [InlineData("reload")]
    [InlineData("reconnect")]
    public async Task A_command_is_posted_to_the_admin_endpoint_with_the_key(string name)
    {
        await using var admin = WebApplication.CreateSlimBuilder().Build();
        admin.Urls.Add("http://127.0.0.1:0");
        var requests = new List<string>();
        admin.Run(context =>
        {
            requests.Add($"{context.Request.Method} {context.Request.Path} {context.Request.Headers["X-Admin-Key"]}");
            context.Response.StatusCode = (int)HttpStatusCode.NoContent;
            return Task.CompletedTask;
        });
        await admin.StartAsync(Token);

        var builder = Model.RunMode();
        var pooler = builder.AddServer().AddPooler().Resource;
        var port = new Uri(admin.Urls.Single()).Port;
        pooler.Allocate("admin", port, port);
        using var app = builder.Build();

        var result = await app.Services.GetRequiredService<ResourceCommandService>().ExecuteCommandAsync(pooler, name, Token);

        Assert.True(result.Success, result.Message);
        Assert.Equal([$"POST /admin/{name} the-key"], requests);
    }

    [Fact]
    public async Task A_command_that_the_pooler_refuses_fails()
    {
        await using var admin = WebApplication.CreateSlimBuilder().Build();
        admin.Urls.Add("http://127.0.0.1:0");
        admin.Run(context =>
        {
            context.Response.StatusCode = (int)HttpStatusCode.Unauthorized;
            return Task.CompletedTask;
        });
        await admin.StartAsync(Token);

        var builder = Model.RunMode();
        var pooler = builder.AddServer().AddPooler().Resource;
        var port = new Uri(admin.Urls.Single()).Port;
        pooler.Allocate("admin", port, port);
        using var app = builder.Build();

        var result = await app.Services.GetRequiredService<ResourceCommandService>().ExecuteCommandAsync(pooler, "pause", Token);

        Assert.False(result.Success);
    }

    private static ResourceCommandAnnotation[] Commands(PoolerResource pooler)
    {
        string[] ours = ["pause", "resume", "reload", "reconnect"];
        return [.. pooler.Annotations.OfType<ResourceCommandAnnotation>().Where(command => ours.Contains(command.Name))];
    }
}
