using System.Text.Json;

namespace LocalRun.Manifest;

/// <summary>One resource of a manifest. Texts are still unresolved expressions.</summary>
internal sealed record ManifestResource
{
    /// <summary>Name, unique in the manifest.</summary>
    public required string Name { get; init; }

    /// <summary>Type, such as <c>project.v0</c>.</summary>
    public required string Type { get; init; }

    /// <summary>Connection string of servers and databases.</summary>
    public string? ConnectionString { get; init; }

    /// <summary>Value of parameters and annotated strings.</summary>
    public string? Value { get; init; }

    /// <summary>Filter of annotated strings.</summary>
    public string? Filter { get; init; }

    /// <summary>Image of containers.</summary>
    public string? Image { get; init; }

    /// <summary>Project file of projects.</summary>
    public string? Path { get; init; }

    /// <summary>Program of executables.</summary>
    public string? Command { get; init; }

    /// <summary>Working directory of executables.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Arguments of containers, projects and executables.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>Environment variables.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>Endpoints, by name.</summary>
    public IReadOnlyDictionary<string, ManifestBinding> Bindings { get; init; } = new Dictionary<string, ManifestBinding>();

    /// <summary>Inputs of parameters, by name.</summary>
    public IReadOnlyDictionary<string, ManifestInput> Inputs { get; init; } = new Dictionary<string, ManifestInput>();

    /// <summary>True for what becomes a process.</summary>
    public bool Runs => IsContainer || IsProject || IsExecutable;

    /// <summary>True for containers made from an image.</summary>
    public bool IsContainer => Type is "container.v0" or "container.v1";

    /// <summary>True for .NET projects.</summary>
    public bool IsProject => Type is "project.v0" or "project.v1";

    /// <summary>True for other programs.</summary>
    public bool IsExecutable => Type == "executable.v0";

    /// <summary>All expressions that the resource's process depends on.</summary>
    public IEnumerable<string> Expressions =>
        [.. Environment.Values, .. Arguments, .. new[] { ConnectionString, Value, Command }.OfType<string>()];

    /// <summary>The image's name without registry, organisation, tag and digest.</summary>
    public string? ImageName => Image?.Split('@')[0].Split('/')[^1].Split(':')[0];

    /// <summary>Reads a resource.</summary>
    public static ManifestResource Read(JsonProperty property)
    {
        var (name, json) = (property.Name, property.Value);
        if (json.ValueKind != JsonValueKind.Object)
            throw new ManifestException($"Resource '{name}' is not an object.");

        return new ManifestResource
        {
            Name = name,
            Type = Text(json, name, "type") ?? throw new ManifestException($"Resource '{name}' has no \"type\"."),
            ConnectionString = Text(json, name, "connectionString"),
            Value = Text(json, name, "value"),
            Filter = Text(json, name, "filter"),
            Image = Text(json, name, "image"),
            Path = Text(json, name, "path"),
            Command = Text(json, name, "command"),
            WorkingDirectory = Text(json, name, "workingDirectory"),
            Arguments = Member(json, name, "args", JsonValueKind.Array) is { } arguments
                ? [.. arguments.EnumerateArray().Select(item => Scalar(item, name, "args"))]
                : [],
            Environment = Map(json, name, "env", item => Scalar(item, name, "env")),
            Bindings = Map(json, name, "bindings", item => ManifestBinding.Read(item, name)),
            Inputs = Map(json, name, "inputs", item => ManifestInput.Read(item, name)),
        };
    }

    internal static string? Text(JsonElement json, string resource, string member) =>
        json.TryGetProperty(member, out var value) && value.ValueKind != JsonValueKind.Null ? Scalar(value, resource, member) : null;

    internal static JsonElement? Member(JsonElement json, string resource, string member, JsonValueKind kind)
    {
        if (!json.TryGetProperty(member, out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        return value.ValueKind == kind
            ? value
            : throw new ManifestException($"Resource '{resource}': \"{member}\" is not an {kind.ToString().ToLowerInvariant()}.");
    }

    private static Dictionary<string, T> Map<T>(JsonElement json, string resource, string member, Func<JsonElement, T> read) =>
        Member(json, resource, member, JsonValueKind.Object) is { } map
            ? map.EnumerateObject().ToDictionary(item => item.Name, item => read(item.Value), StringComparer.Ordinal)
            : [];

    private static string Scalar(JsonElement value, string resource, string member) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
        _ => throw new ManifestException($"Resource '{resource}': \"{member}\" holds something that is not a text."),
    };
}

/// <summary>An endpoint of a resource.</summary>
/// <param name="Scheme">Such as http or tcp.</param>
/// <param name="TargetPort">The port that the program listens on, when the manifest fixes it.</param>
/// <param name="External">True for what people outside may reach.</param>
internal sealed record ManifestBinding(string Scheme, int? TargetPort, bool External)
{
    /// <summary>Reads a binding.</summary>
    public static ManifestBinding Read(JsonElement json, string resource)
    {
        if (json.ValueKind != JsonValueKind.Object)
            throw new ManifestException($"Resource '{resource}' has a binding that is not an object.");
        if (ManifestResource.Text(json, resource, "protocol") is { } protocol && protocol != "tcp")
            throw new ManifestException($"Resource '{resource}' has a binding over {protocol}; only tcp can be run locally.");

        int? port = ManifestResource.Text(json, resource, "targetPort") is { } text
            ? int.TryParse(text, out var number) ? number : throw new ManifestException($"Resource '{resource}': targetPort '{text}' is not a number.")
            : null;
        return new ManifestBinding(
            ManifestResource.Text(json, resource, "scheme") ?? "tcp",
            port,
            ManifestResource.Text(json, resource, "external") == "true");
    }
}

/// <summary>An input of a parameter.</summary>
/// <param name="Secret">True when the value must not be shown.</param>
/// <param name="Default">The default value, if any.</param>
/// <param name="Generate">How to make a value, if it is to be made.</param>
internal sealed record ManifestInput(bool Secret, string? Default, GeneratedSecret? Generate)
{
    /// <summary>Reads an input.</summary>
    public static ManifestInput Read(JsonElement json, string resource)
    {
        if (json.ValueKind != JsonValueKind.Object)
            throw new ManifestException($"Resource '{resource}' has an input that is not an object.");

        var fallback = ManifestResource.Member(json, resource, "default", JsonValueKind.Object);
        var generate = fallback is { } value ? ManifestResource.Member(value, resource, "generate", JsonValueKind.Object) : null;
        return new ManifestInput(
            ManifestResource.Text(json, resource, "secret") == "true",
            fallback is { } text ? ManifestResource.Text(text, resource, "value") : null,
            generate is { } rules ? GeneratedSecret.Read(rules, resource) : null);
    }
}
