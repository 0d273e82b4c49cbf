using System.Text.Json.Nodes;
using Xunit;

namespace AppHost.Tests;

/// <summary>aspire-manifest.json, which LocalRun runs where Aspire is missing, against what the AppHost publishes.</summary>
public sealed class ManifestTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("pooler-manifest-");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public async Task The_kept_manifest_is_what_the_AppHost_publishes()
    {
        var kept = await ReadAsync(Path.Combine(Topology.Root, "aspire-manifest.json"));

        var published = await PublishAsync();

        Assert.True(
            JsonNode.DeepEquals(kept, published),
            $"aspire-manifest.json is out of date; `dotnet run --project AppHost --launch-profile manifest` writes it anew. Published:\n{published}");
    }

    [Fact]
    public async Task Only_the_web_application_is_reachable_from_outside()
    {
        var resources = (await PublishAsync())["resources"]!.AsObject();

        var external =
            from resource in resources
            from binding in resource.Value!["bindings"]?.AsObject() ?? []
            where binding.Value!["external"]?.GetValue<bool>() is true
            select $"{resource.Key}.{binding.Key}";

        Assert.Equal(["web.http"], external);
    }

    [Fact]
    public async Task Secrets_are_parameters()
    {
        var resources = (await PublishAsync())["resources"]!.AsObject();

        var secrets =
            from resource in resources
            where resource.Value!["inputs"]?["value"]?["secret"]?.GetValue<bool>() is true
            select resource.Key;

        Assert.Equal(["pooler-admin-key", "postgres-password", "redis-password"], secrets.Order(StringComparer.Ordinal));
        Assert.Equal("{postgres-password.value}", resources["pooler"]!["env"]!["DATABASES_PASSWORD"]!.GetValue<string>());
        Assert.Equal("{pooler-admin-key.value}", resources["pooler"]!["env"]!["POOLER_HTTP_ADMIN_KEY"]!.GetValue<string>());
    }

    [Fact]
    public async Task Every_expression_names_something_that_the_manifest_has()
    {
        var resources = (await PublishAsync())["resources"]!.AsObject();

        var expressions = Strings(resources)
            .SelectMany(text => text.Split('{').Skip(1).Select(rest => rest[..rest.IndexOf('}', StringComparison.Ordinal)]))
            .Distinct();

        Assert.All(expressions, expression =>
        {
            var path = expression.Split('.');
            var resource = Assert.IsType<JsonObject>(resources[path[0]]);
            switch (path[1])
            {
                case "bindings":
                    Assert.NotNull(resource["bindings"]?[path[2]]);
                    break;
                case "inputs":
                    Assert.NotNull(resource["inputs"]?[path[2]]);
                    break;
                default:
                    Assert.NotNull(resource[path[1]]);
                    break;
            }
        });
    }

    private async Task<JsonNode> PublishAsync()
    {
        var file = Path.Combine(_directory.FullName, "aspire-manifest.json");
        await using var builder = await Topology.CreateAsync(Token, "--operation", "publish", "--publisher", "manifest", "--output-path", file);
        await using var app = await builder.BuildAsync(Token);
        await app.RunAsync(Token);
        return await ReadAsync(file);
    }

    /// <summary>Reads a manifest; paths become relative to the repository, wherever the file is.</summary>
    private static async Task<JsonNode> ReadAsync(string file)
    {
        var manifest = JsonNode.Parse(await File.ReadAllTextAsync(file, Token))!;
        foreach (var (_, resource) in manifest["resources"]!.AsObject())
        {
            if (resource!["path"] is { } path)
            {
                var project = Path.GetFullPath(path.GetValue<string>(), Path.GetDirectoryName(file)!);
                resource["path"] = Path.GetRelativePath(Topology.Root, project).Replace('\\', '/');
            }
        }

        return manifest;
    }

    private static IEnumerable<string> Strings(JsonNode? node) => node switch
    {
        JsonObject item => item.SelectMany(property => Strings(property.Value)),
        JsonArray array => array.SelectMany(Strings),
        JsonValue value when value.TryGetValue(out string? text) => [text],
        _ => [],
    };
}
