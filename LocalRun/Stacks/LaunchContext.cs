using LocalRun.Health;
using LocalRun.Manifest;
using LocalRun.Terminal;
using Npgsql;

namespace LocalRun.Stacks;

/// <summary>What the launchers share while a stack starts.</summary>
internal sealed class LaunchContext
{
    /// <summary>Plans the ports of a manifest and prepares its expressions.</summary>
    public LaunchContext(AspireManifest manifest, Screen screen)
    {
        Manifest = manifest;
        Screen = screen;
        Ports = new PortPlan(manifest);
        Resolver = new ExpressionResolver(manifest, (resource, binding) => Ports[resource, binding], Parameter);
    }

    /// <summary>The manifest that is being run.</summary>
    public AspireManifest Manifest { get; }

    /// <summary>Where progress and logs go.</summary>
    public Screen Screen { get; }

    /// <summary>The ports.</summary>
    public PortPlan Ports { get; }

    /// <summary>The values of expressions.</summary>
    public ExpressionResolver Resolver { get; }

    /// <summary>Resolves every expression once, so that a mistake in the manifest is told before anything has started.</summary>
    public void ResolveAll()
    {
        foreach (var resource in Manifest.Resources)
        {
            Resolver.ConnectionString(resource);
            if (resource.Runs)
            {
                Environment(resource);
                Arguments(resource);
            }
        }
    }

    /// <summary>A resource's environment.</summary>
    public Dictionary<string, string?> Environment(ManifestResource resource) => resource.Environment.ToDictionary(
        variable => variable.Key,
        string? (variable) => Resolver.Resolve(variable.Value, $"Resource '{resource.Name}', env {variable.Key}"),
        StringComparer.Ordinal);

    /// <summary>A resource's arguments.</summary>
    public IReadOnlyList<string> Arguments(ManifestResource resource) =>
        [.. resource.Arguments.Select(argument => Resolver.Resolve(argument, $"Resource '{resource.Name}', args"))];

    /// <summary>The databases (<c>value.v0</c> with an Npgsql connection string) of the manifest.</summary>
    public IEnumerable<(string Name, NpgsqlConnectionStringBuilder Connection)> Databases()
    {
        foreach (var resource in Manifest.Resources.Where(resource => resource.Type == "value.v0"))
        {
            NpgsqlConnectionStringBuilder connection;
            try
            {
                connection = new NpgsqlConnectionStringBuilder(Resolver.ConnectionString(resource) ?? "");
            }
            catch (ArgumentException)
            {
                // Another kind of connection string.
                continue;
            }

            if (connection is { Host: not null, Database: not null })
                yield return (resource.Name, connection);
        }
    }

    /// <summary>Takes a service's log line to the screen, without the secrets of this run.</summary>
    public Action<string> LogOf(string service) => line => Screen.Log(service, Mask(line));

    /// <summary>Replaces the secrets of this run by asterisks.</summary>
    public string Mask(string text)
    {
        foreach (var secret in Resolver.Secrets.Values)
        {
            if (secret.Length > 0)
                text = text.Replace(secret, "********", StringComparison.Ordinal);
        }

        return text;
    }

    /// <summary>A resource's endpoints, for people, and the probes that ask them.</summary>
    public (IReadOnlyList<string> Addresses, IReadOnlyList<HealthProbe> Probes) Endpoints(ManifestResource resource)
    {
        var addresses = new List<string>();
        var probes = new List<HealthProbe>();
        foreach (var (name, binding) in resource.Bindings)
        {
            var port = Ports[resource.Name, name];
            var address = $"{ExpressionResolver.Host}:{port}";
            var label = name == binding.Scheme ? "" : $" ({name})";
            if (binding.Scheme == "http")
            {
                addresses.Add($"http://{address}{label}");
                probes.Add(new HttpProbe($"http://{address}/health"));
            }
            else
            {
                addresses.Add(address + label);
                probes.Add(new TcpProbe(ExpressionResolver.Host, port));
            }
        }

        // The page that says most comes last: its answer is the one that a table shows.
        return (addresses, [.. probes.OrderBy(probe => probe is HttpProbe)]);
    }

    // Aspire reads a parameter from the configuration key Parameters:NAME; a dash cannot stand in a shell's variable.
    private static string? Parameter(string name) =>
        System.Environment.GetEnvironmentVariable($"Parameters__{name}")
        ?? System.Environment.GetEnvironmentVariable($"Parameters__{name.Replace('-', '_')}");
}
