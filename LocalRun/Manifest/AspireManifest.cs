using System.Text.Json;

namespace LocalRun.Manifest;

/// <summary>An Aspire manifest: the resources of a topology, by name. Format: Aspire's repository, src/Schema.</summary>
/// <param name="directory">Where the manifest lies; its paths are relative to it.</param>
/// <param name="resources">The resources in the manifest's order.</param>
internal sealed class AspireManifest(string directory, IReadOnlyList<ManifestResource> resources)
{
    private readonly Dictionary<string, ManifestResource> _byName = resources.ToDictionary(resource => resource.Name, StringComparer.Ordinal);

    /// <summary>The folder that relative paths start from.</summary>
    public string Directory => directory;

    /// <summary>The resources in the manifest's order.</summary>
    public IReadOnlyList<ManifestResource> Resources => resources;

    /// <summary>The resource of that name, or null.</summary>
    public ManifestResource? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Reads a manifest file.</summary>
    public static AspireManifest Load(string path)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ManifestException($"Cannot read the manifest {path}: {e.Message}");
        }

        return Parse(text, Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>Reads a manifest's text.</summary>
    public static AspireManifest Parse(string text, string directory)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(text);
        }
        catch (JsonException e)
        {
            throw new ManifestException($"The manifest is not JSON: {e.Message}");
        }

        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("resources", out var resources)
                || resources.ValueKind != JsonValueKind.Object)
                throw new ManifestException("The manifest has no object \"resources\".");
            return new AspireManifest(directory, [.. resources.EnumerateObject().Select(ManifestResource.Read)]);
        }
    }
}
