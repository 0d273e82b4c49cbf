using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Logging.Abstractions;

namespace AppHost.Tests;

/// <summary>An application model with a pooler in it, for tests of the hosting library.</summary>
internal static class Model
{
    internal const string Password = "pg/pass word";

    private sealed class PoolerProject : IProjectMetadata
    {
        public string ProjectPath { get; } = Path.Combine(AppContext.BaseDirectory, "Pooler", "Pooler.csproj");
    }

    internal static IDistributedApplicationBuilder RunMode() => Builder(
        "--Parameters:pg-password=" + Password, "--Parameters:pooler-admin-key=the-key");

    internal static IDistributedApplicationBuilder PublishMode() => Builder(
        "--operation", "publish", "--publisher", "manifest", "--output-path", Path.Combine(Path.GetTempPath(), "unused-manifest.json"));

    internal static IResourceBuilder<PostgresServerResource> AddServer(this IDistributedApplicationBuilder builder, string name = "pg") =>
        builder.AddPostgres(name);

    internal static IResourceBuilder<PoolerResource> AddPooler(
        this IResourceBuilder<PostgresServerResource> server, string name = "pooler", int? port = null) =>
        server.AddPooler<PoolerProject>(name, port);

    /// <summary>Stands in for the orchestrator, which gives endpoints their addresses in run mode.</summary>
    internal static void Allocate(this IResource resource, string endpointName, int port, int targetPort)
    {
        var endpoint = resource.Annotations.OfType<EndpointAnnotation>().Single(annotation => annotation.Name == endpointName);
        endpoint.AllocatedEndpoint = new AllocatedEndpoint(endpoint, "localhost", port, targetPortExpression: $"{targetPort}");
    }

    internal static void AllocateAll(this PoolerResource pooler)
    {
        pooler.Allocate("tcp", 6000, 16000);
        pooler.Allocate("http", 6001, 16001);
        pooler.Allocate("admin", 6002, 16002);
        pooler.Server.Allocate("tcp", 5000, 5432);
    }

    /// <summary>The environment the resource would be started with, or published with.</summary>
    internal static async Task<IReadOnlyDictionary<string, string>> EnvironmentAsync(
        this IResource resource, DistributedApplicationExecutionContext context, CancellationToken cancellationToken)
    {
        var configuration = await ExecutionConfigurationBuilder.Create(resource)
            .WithEnvironmentVariablesConfig()
            .BuildAsync(context, NullLogger.Instance, cancellationToken);
        if (configuration.Exception is { } exception)
            throw exception;
        return configuration.EnvironmentVariables.ToDictionary(variable => variable.Key, variable => variable.Value);
    }

    /// <summary>The URLs of the dashboard, as the orchestrator makes them once the endpoints have their addresses.</summary>
    internal static async Task<IReadOnlyList<ResourceUrlAnnotation>> UrlsAsync(
        this IResourceWithEndpoints resource, DistributedApplicationExecutionContext context, CancellationToken cancellationToken)
    {
        var urls = resource.Annotations.OfType<EndpointAnnotation>()
            .Select(endpoint => new ResourceUrlAnnotation
            {
                Url = endpoint.AllocatedEndpoint!.UriString,
                Endpoint = new EndpointReference(resource, endpoint),
            })
            .ToList();
        var callbacks = new ResourceUrlsCallbackContext(context, resource, urls, cancellationToken);
        foreach (var annotation in resource.Annotations.OfType<ResourceUrlsCallbackAnnotation>())
            await annotation.Callback(callbacks);
        return urls;
    }

    internal static IReadOnlyDictionary<string, ReferenceExpression> ConnectionProperties(this IResourceWithConnectionString resource) =>
        resource.GetConnectionProperties().ToDictionary(property => property.Key, property => property.Value);

    private static IDistributedApplicationBuilder Builder(params string[] args) =>
        DistributedApplication.CreateBuilder(new DistributedApplicationOptions { Args = args, DisableDashboard = true });
}
