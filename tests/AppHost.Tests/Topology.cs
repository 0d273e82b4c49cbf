using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;

namespace AppHost.Tests;

/// <summary>The model that AppHost/Program.cs makes.</summary>
internal static class Topology
{
    /// <summary>The folder with Aspire.sln and aspire-manifest.json.</summary>
    internal static string Root { get; } = Path.GetDirectoryName(Projects.AppHost.ProjectPath.TrimEnd('/', '\\'))!;

    internal static Task<IDistributedApplicationTestingBuilder> CreateAsync(CancellationToken cancellationToken, params string[] args) =>
        DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>(
            // Given, so that no generated secret is written to the user's secrets.
            ["--Parameters:postgres-password=pg", "--Parameters:redis-password=redis", "--Parameters:pooler-admin-key=key", .. args],
            cancellationToken);

    internal static T Resource<T>(this IDistributedApplicationBuilder builder, string name) where T : IResource =>
        (T)builder.Resources.Single(resource => resource.Name == name);

    internal static IReadOnlyList<string> WaitsFor(this IDistributedApplicationBuilder builder, string name) =>
        [.. builder.Resource<IResource>(name).Annotations.OfType<WaitAnnotation>()
            .Where(wait => wait.WaitType == WaitType.WaitUntilHealthy)
            .Select(wait => wait.Resource.Name).Distinct().Order(StringComparer.Ordinal)];
}
