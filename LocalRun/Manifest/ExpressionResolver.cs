using System.Globalization;

namespace LocalRun.Manifest;

/// <summary>Gives expressions their values on this machine: ports of our own choice, generated secrets.</summary>
/// <param name="manifest">The manifest.</param>
/// <param name="port">Gives the local port of a resource's binding.</param>
/// <param name="configuration">Gives a parameter's value by its name, or null. Goes before defaults.</param>
internal sealed class ExpressionResolver(AspireManifest manifest, Func<string, string, int> port, Func<string, string?> configuration)
{
    /// <summary>The address that everything listens on: the stack is for this machine only.</summary>
    public const string Host = "127.0.0.1";

    private readonly Dictionary<string, string> _inputs = new(StringComparer.Ordinal);
    private readonly List<string> _path = [];

    /// <summary>The values of secret inputs that have been resolved, by parameter name.</summary>
    public IReadOnlyDictionary<string, string> Secrets =>
        _inputs.Where(input => Parameter(input.Key).Secret).ToDictionary(input => input.Key.Split('.')[0], input => input.Value);

    /// <summary>Resolves a text.</summary>
    /// <param name="text">The text with its references.</param>
    /// <param name="where">Where it stands, for messages.</param>
    /// <exception cref="ManifestException">A reference leads nowhere, or to itself.</exception>
    public string Resolve(string text, string where) => Expression.Replace(text, where, reference => Value(reference, where));

    /// <summary>A resource's connection string, or null.</summary>
    public string? ConnectionString(ManifestResource resource) =>
        resource.ConnectionString is { } text ? Resolve(text, $"Resource '{resource.Name}', connectionString") : null;

    private string Value(string reference, string where)
    {
        if (_path.Contains(reference))
            throw new ManifestException($"{where}: the reference leads to itself: {string.Join(" → ", [.. _path, reference])}.");

        _path.Add(reference);
        try
        {
            return Follow(reference, where);
        }
        finally
        {
            _path.RemoveAt(_path.Count - 1);
        }
    }

    private string Follow(string reference, string where)
    {
        var words = reference.Split('.');
        var resource = manifest.Find(words[0])
            ?? throw new ManifestException($"{where}: '{{{reference}}}' names the resource '{words[0]}', which is not in the manifest.");

        return words[1..] switch
        {
            ["connectionString"] => Resolve(
                resource.ConnectionString ?? throw Missing("a connectionString"), $"Resource '{resource.Name}', connectionString"),
            ["value"] when resource.Type == "annotated.string" => Filtered(resource, Resolve(
                resource.Value ?? throw Missing("a value"), $"Resource '{resource.Name}', value")),
            ["value"] => Resolve(resource.Value ?? throw Missing("a value"), $"Resource '{resource.Name}', value"),
            ["inputs", var input] when resource.Inputs.ContainsKey(input) => Input(resource, input),
            ["inputs", var input] => throw Missing($"an input '{input}'"),
            ["env", var name] => Resolve(
                resource.Environment.GetValueOrDefault(name) ?? throw Missing($"an environment variable '{name}'"), $"Resource '{resource.Name}', env {name}"),
            ["bindings", var name, var property] => Binding(resource, name, property),
            _ => throw new ManifestException(
                $"{where}: '{{{reference}}}' is not understood. Known are .connectionString, .value, .inputs.NAME, .env.NAME and "
                + ".bindings.NAME.{host,port,targetPort,url,scheme}."),
        };

        ManifestException Missing(string what) => new($"{where}: '{{{reference}}}': the resource '{resource.Name}' has not {what}.");

        string Binding(ManifestResource owner, string name, string property)
        {
            if (!owner.Bindings.TryGetValue(name, out var binding))
                throw Missing($"a binding '{name}'");
            var number = port(owner.Name, name).ToString(CultureInfo.InvariantCulture);
            return property switch
            {
                "host" => Host,
                "port" or "targetPort" => number,
                "scheme" => binding.Scheme,
                "url" => $"{binding.Scheme}://{Host}:{number}",
                _ => throw new ManifestException($"{where}: '{{{reference}}}': a binding has host, port, targetPort, url and scheme, but no '{property}'."),
            };
        }
    }

    private string Input(ManifestResource resource, string name)
    {
        var key = $"{resource.Name}.{name}";
        if (_inputs.TryGetValue(key, out var known))
            return known;

        var input = resource.Inputs[name];
        return _inputs[key] = configuration(resource.Name)
            ?? input.Default
            ?? input.Generate?.Make()
            ?? throw new ManifestException(
                $"The parameter '{resource.Name}' has no value. Set the environment variable Parameters__{resource.Name.Replace('-', '_')}.");
    }

    private static string Filtered(ManifestResource resource, string value) => resource.Filter switch
    {
        null => value,
        "uri" => Uri.EscapeDataString(value),
        _ => throw new ManifestException($"Resource '{resource.Name}': the filter '{resource.Filter}' is not known."),
    };

    private ManifestInput Parameter(string key)
    {
        var words = key.Split('.');
        return manifest.Find(words[0])!.Inputs[words[1]];
    }
}
