using LocalRun.Health;
using LocalRun.Manifest;
using LocalRun.Provisioning;

namespace LocalRun.Stacks;

/// <summary>Starts container resources whose image we have a local server for: PostgreSQL and Redis.</summary>
internal static class ContainerLauncher
{
    /// <summary>Throws unless there is a local server for the image.</summary>
    public static void Check(ManifestResource resource)
    {
        if (!IsPostgres(resource) && !IsRedis(resource))
            throw new ManifestException(
                $"Resource '{resource.Name}' is a container of the image '{resource.Image ?? "?"}'. Without a container runtime only postgres and redis images can be run.");
        if (resource.Bindings.Count != 1)
            throw new ManifestException($"Resource '{resource.Name}' has {resource.Bindings.Count} bindings; a {resource.ImageName} has one.");
        if (IsPostgres(resource))
            Settings(resource.Name, resource.Arguments);
    }

    /// <summary>Starts the server and waits until it answers.</summary>
    public static Task<RunningService> StartAsync(ManifestResource resource, LaunchContext context, CancellationToken cancellationToken) =>
        IsPostgres(resource) ? StartPostgresAsync(resource, context, cancellationToken) : StartRedisAsync(resource, context, cancellationToken);

    /// <summary>The settings among the arguments: <c>-c name=value</c> and <c>--name=value</c>.</summary>
    internal static Dictionary<string, string> Settings(string resource, IReadOnlyList<string> arguments)
    {
        var settings = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            if (argument == "postgres" && i == 0)
                continue;
            var pair = argument == "-c" && i + 1 < arguments.Count ? arguments[++i]
                : argument.StartsWith("--", StringComparison.Ordinal) ? argument[2..]
                : argument.StartsWith("-c", StringComparison.Ordinal) ? argument[2..]
                : "";
            if (pair.Split('=', 2) is not [{ Length: > 0 } name, var value])
                throw new ManifestException($"Resource '{resource}': the argument '{argument}' is not understood; known are '-c name=value' and '--name=value'.");
            settings[name.Replace('-', '_')] = value;
        }

        return settings;
    }

    /// <summary>The password that a Redis container is told: by environment, or by <c>--requirepass</c> in its command.</summary>
    internal static string RedisPassword(IReadOnlyDictionary<string, string?> environment, IReadOnlyList<string> arguments)
    {
        if (environment.GetValueOrDefault("REDIS_PASSWORD") is { } password)
            return password;
        var words = arguments.SelectMany(argument => argument.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToList();
        var option = words.IndexOf("--requirepass");
        return option >= 0 && option + 1 < words.Count ? words[option + 1] : "";
    }

    private static bool IsPostgres(ManifestResource resource) => resource.ImageName is "postgres" or "postgresql";

    private static bool IsRedis(ManifestResource resource) => resource.ImageName is "redis" or "valkey" or "garnet";

    private static async Task<RunningService> StartPostgresAsync(ManifestResource resource, LaunchContext context, CancellationToken cancellationToken)
    {
        var environment = context.Environment(resource);
        var port = context.Ports[resource.Name, resource.Bindings.Keys.Single()];
        var user = environment.GetValueOrDefault("POSTGRES_USER") ?? "postgres";
        var databases = context.Databases()
            .Where(database => database.Connection.Host == ExpressionResolver.Host && database.Connection.Port == port)
            .Select(database => database.Connection.Database)
            .Append(environment.GetValueOrDefault("POSTGRES_DB"))
            .OfType<string>()
            .Where(name => name != "postgres")
            .Distinct();

        var server = await PostgresServer.StartAsync(
            new PostgresServerOptions
            {
                User = user,
                Password = environment.GetValueOrDefault("POSTGRES_PASSWORD")
                    ?? throw new ManifestException($"Resource '{resource.Name}' has no POSTGRES_PASSWORD."),
                Port = port,
                Settings = Settings(resource.Name, context.Arguments(resource)),
                Databases = [.. databases],
                OnLog = context.LogOf(resource.Name),
                Progress = context.Screen,
            },
            cancellationToken).ConfigureAwait(false);

        return new RunningService
        {
            Name = resource.Name,
            Kind = $"PostgreSQL {server.Version}",
            Process = server.Process,
            StopAsync = () => server.DisposeAsync().AsTask(),
            Addresses = [$"{server.Host}:{port}"],
            Probes = [new PostgresProbe(server.ConnectionString())],
        };
    }

    private static async Task<RunningService> StartRedisAsync(ManifestResource resource, LaunchContext context, CancellationToken cancellationToken)
    {
        var server = await RedisServer.StartAsync(
            new RedisServerOptions
            {
                Password = RedisPassword(context.Environment(resource), context.Arguments(resource)),
                Port = context.Ports[resource.Name, resource.Bindings.Keys.Single()],
                OnLog = context.LogOf(resource.Name),
                Progress = context.Screen,
            },
            cancellationToken).ConfigureAwait(false);

        return new RunningService
        {
            Name = resource.Name,
            Kind = server.Process.Name,
            Process = server.Process,
            StopAsync = () => server.DisposeAsync().AsTask(),
            Addresses = [$"{server.Host}:{server.Port}"],
            Probes = [new RedisProbe(server.Host, server.Port, server.Password)],
        };
    }
}
