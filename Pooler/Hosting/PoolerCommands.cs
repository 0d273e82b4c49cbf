using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting;

/// <summary>The dashboard commands of a pooler: HTTP posts to its admin endpoint.</summary>
internal static class PoolerCommands
{
    internal const string AdminKeyHeader = "X-Admin-Key";

    internal static IResourceBuilder<PoolerResource> WithAdminCommands(this IResourceBuilder<PoolerResource> builder) => builder
        .WithAdminCommand("pause", "Pause", "Pause",
            "Let running transactions end, disconnect from PostgreSQL and make clients wait, until Resume.",
            confirmation: "Clients will wait until you resume. Pause the pool?")
        .WithAdminCommand("resume", "Resume", "Play",
            "Let waiting clients go on after Pause.")
        .WithAdminCommand("reload", "Reload", "ArrowSync",
            "Read the configuration again; no client is disconnected.")
        .WithAdminCommand("reconnect", "Reconnect", "PlugDisconnected",
            "Replace every server connection by a new one as soon as its transaction has ended.",
            confirmation: "All connections to PostgreSQL will be replaced. Reconnect?");

    private static IResourceBuilder<PoolerResource> WithAdminCommand(
        this IResourceBuilder<PoolerResource> builder, string name, string displayName, string icon, string description, string? confirmation = null)
    {
        var pooler = builder.Resource;
        return builder.WithHttpCommand(
            $"/admin/{name}",
            displayName,
            endpointName: PoolerResource.AdminEndpointName,
            commandName: name,
            commandOptions: new HttpCommandOptions
            {
                Method = HttpMethod.Post,
                Description = description,
                ConfirmationMessage = confirmation,
                IconName = icon,
                UpdateState = EnabledWhileRunning,
                PrepareRequest = async context =>
                {
                    var key = await pooler.AdminKeyParameter.GetValueAsync(context.CancellationToken).ConfigureAwait(false);
                    context.Request.Headers.Add(AdminKeyHeader, key);
                },
            });
    }

    // "Runtime unhealthy" is a container runtime that doesn't answer; the pooler itself may still be running then.
    private static ResourceCommandState EnabledWhileRunning(UpdateCommandStateContext context) =>
        context.ResourceSnapshot.State?.Text is "Running" or "RuntimeUnhealthy" ? ResourceCommandState.Enabled : ResourceCommandState.Disabled;
}
