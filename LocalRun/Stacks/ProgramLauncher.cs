using LocalRun.Manifest;
using LocalRun.Processes;
using LocalRun.Provisioning;

namespace LocalRun.Stacks;

/// <summary>Starts project and executable resources as processes.</summary>
internal static class ProgramLauncher
{
    // What a shell or an image may have set for another web server; Kestrel would listen there as well.
    private static readonly string[] ListenVariables =
        ["URLS", "HTTP_PORTS", "HTTPS_PORTS", "ASPNETCORE_URLS", "ASPNETCORE_HTTP_PORTS", "ASPNETCORE_HTTPS_PORTS", "DOTNET_URLS"];

    /// <summary>Throws when the resource asks for what cannot be had locally.</summary>
    public static void Check(ManifestResource resource, AspireManifest manifest)
    {
        if (resource.IsProject)
            ProjectBuild.FileOf(resource, manifest);
        if (resource.IsExecutable && resource.Command is null)
            throw new ManifestException($"Resource '{resource.Name}' has no \"command\".");
        foreach (var (name, binding) in resource.Bindings)
        {
            if (binding.Scheme == "https")
                throw new ManifestException($"Resource '{resource.Name}': the binding '{name}' is https, for which there is no certificate here; use http.");
        }
    }

    /// <summary>Starts a project with dotnet, in its own folder as <c>dotnet run</c> would.</summary>
    public static RunningService StartProject(ManifestResource resource, ProjectBuild build, LaunchContext context)
    {
        var project = ProjectBuild.FileOf(resource, context.Manifest);
        var environment = ProjectEnvironment(resource, context);
        return Start(
            resource, context, $".NET {Path.GetFileNameWithoutExtension(project)}",
            [DotNet.Program(), build.Program(project), .. context.Arguments(resource)],
            environment, Path.GetDirectoryName(project)!);
    }

    /// <summary>Starts an executable.</summary>
    public static RunningService StartExecutable(ManifestResource resource, LaunchContext context)
    {
        var directory = Path.GetFullPath(Path.Combine(context.Manifest.Directory, resource.WorkingDirectory ?? "."));
        var command = context.Resolver.Resolve(resource.Command!, $"Resource '{resource.Name}', command");

        // A path is meant from the working directory; a bare name is looked up.
        if (command.Contains('/', StringComparison.Ordinal) || command.Contains('\\', StringComparison.Ordinal))
            command = Path.GetFullPath(Path.Combine(directory, command));
        else
            command = Executables.Find(command) ?? throw new StackException($"Resource '{resource.Name}': there is no program '{command}' on PATH.");
        return Start(
            resource, context, Path.GetFileName(command), [command, .. context.Arguments(resource)], LocalEnvironment(resource, context), directory);
    }

    /// <summary>The environment of a project's process.</summary>
    internal static Dictionary<string, string?> ProjectEnvironment(ManifestResource resource, LaunchContext context)
    {
        var environment = LocalEnvironment(resource, context);
        var ports = environment.GetValueOrDefault("HTTP_PORTS")?.Split(';', StringSplitOptions.RemoveEmptyEntries)
            ?? [.. resource.Bindings.Where(b => b.Value.Scheme == "http").Select(b => $"{context.Ports[resource.Name, b.Key]}")];
        var urls = environment.GetValueOrDefault("ASPNETCORE_URLS");
        foreach (var name in ListenVariables)
            environment[name] = null;

        // HTTP_PORTS means all interfaces. Port 0, any free one, for a project without an endpoint: never the default 5000.
        environment["ASPNETCORE_URLS"] = urls
            ?? (ports.Length > 0 ? string.Join(';', ports.Select(port => $"http://{ExpressionResolver.Host}:{port}")) : $"http://{ExpressionResolver.Host}:0");

        foreach (var name in (string[])["ASPNETCORE_ENVIRONMENT", "DOTNET_ENVIRONMENT"])
        {
            if (!environment.ContainsKey(name) && Environment.GetEnvironmentVariable(name) is null)
                environment[name] = "Development";
        }

        return environment;
    }

    private static Dictionary<string, string?> LocalEnvironment(ManifestResource resource, LaunchContext context)
    {
        var environment = context.Environment(resource);

        // In a container "all interfaces" is the container's own network; here it would be everybody's.
        foreach (var (name, value) in environment)
        {
            if (value is "*" or "0.0.0.0" or "::" or "[::]"
                && (name.EndsWith("_ADDR", StringComparison.Ordinal) || name.EndsWith("_ADDRESS", StringComparison.Ordinal) || name.EndsWith("_HOST", StringComparison.Ordinal)))
                environment[name] = ExpressionResolver.Host;
        }

        environment.TryAdd("OTEL_SERVICE_NAME", resource.Name);
        return environment;
    }

    private static RunningService Start(
        ManifestResource resource, LaunchContext context, string kind,
        IReadOnlyList<string> command, Dictionary<string, string?> environment, string directory)
    {
        context.Screen.Report($"Starting {resource.Name} …");
        var process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = resource.Name,
            Command = command,
            Environment = environment,
            WorkingDirectory = directory,
            OnLine = context.LogOf(resource.Name),
        });
        var (addresses, probes) = context.Endpoints(resource);
        return new RunningService
        {
            Name = resource.Name,
            Kind = kind,
            Process = process,
            StopAsync = () => process.DisposeAsync().AsTask(),
            Addresses = addresses,
            Probes = probes,
        };
    }
}
