using System.Globalization;
using System.Text;
using LocalRun.Health;
using LocalRun.Manifest;
using LocalRun.Processes;
using LocalRun.Terminal;

namespace LocalRun.Stacks;

/// <summary>What to run.</summary>
/// <param name="Manifest">Full path of the manifest.</param>
/// <param name="Direct">True to leave the pool out.</param>
/// <param name="Build">False to run what was built before.</param>
internal sealed record StackOptions(string Manifest, bool Direct, bool Build);

/// <summary>The services of a manifest, running as local processes.</summary>
internal sealed class Stack : IAsyncDisposable
{
    private static readonly TimeSpan HealthDeadline = TimeSpan.FromMinutes(3);

    private readonly StackOptions _options;
    private readonly LaunchContext _context;
    private readonly Screen _screen;
    private readonly TemporaryDirectory _directory;
    private readonly Lock _gate = new();
    private readonly List<RunningService> _services = [];
    private StackState? _state;
    private bool _stopping;

    private Stack(StackOptions options, LaunchContext context)
    {
        _options = options;
        _context = context;
        _screen = context.Screen;
        _directory = TemporaryDirectory.Create("pooler-run-");
    }

    /// <summary>The stack as other processes see it.</summary>
    public StackState State => _state ?? throw new InvalidOperationException("The stack has not started.");

    /// <summary>Starts everything and waits until it is healthy. When something fails, stops what was started.</summary>
    /// <exception cref="StackException">A service failed; the message has its last log lines.</exception>
    /// <exception cref="ManifestException">The manifest has a mistake.</exception>
    /// <exception cref="ProvisioningException">PostgreSQL or Redis could not be had.</exception>
    public static async Task<Stack> StartAsync(StackOptions options, Screen screen, CancellationToken cancellationToken)
    {
        var manifest = AspireManifest.Load(options.Manifest);
        if (options.Direct)
            manifest = DirectWiring.Apply(manifest);
        var order = StartOrder.Of(manifest);
        Check(manifest);
        var context = new LaunchContext(manifest, screen);
        context.ResolveAll();
        screen.NameServices(order.Select(step => step.Resource.Name));

        var stack = new Stack(options, context);
        try
        {
            await stack.StartAllAsync(order, cancellationToken).ConfigureAwait(false);
            stack.WriteFiles(manifest);
            return stack;
        }
        catch
        {
            await stack.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Tells of every service that ends without having been asked to, until cancelled.</summary>
    public async Task WatchAsync(CancellationToken cancellationToken)
    {
        var watched = _services.ToDictionary(service => service.Process.Exited, service => service);
        while (watched.Count > 0)
        {
            var ended = await Task.WhenAny(watched.Keys).WaitAsync(cancellationToken).ConfigureAwait(false);
            if (_stopping)
                return;
            watched.Remove(ended, out var service);
            _screen.Error($"{service!.Name} has ended unexpectedly (exit code {await ended.ConfigureAwait(false)}). Its last lines:");
            _screen.Line(service.LogExcerpt(_context.Mask));
        }
    }

    /// <summary>Prints what runs where, and what to try.</summary>
    public void Describe()
    {
        _screen.Line();
        _screen.Table(
            ["service", "what", "address"],
            State.Services.Select(service => (IReadOnlyList<string>)[service.Name, service.Kind, string.Join("  ", service.Addresses)]));
        _screen.Line();

        var files = $"PGPASSFILE={Path.Combine(_directory.Path, "pgpass")}";
        foreach (var (name, connection) in _context.Databases())
            _screen.Line($"  {name,-14} {files} psql -h {connection.Host} -p {connection.Port} -U {connection.Username} {connection.Database}");
        if (Console() is { } console)
            _screen.Line($"  {"admin console",-14} {files} psql -h {console.Host} -p {console.Port} -U {console.Username} pgbouncer   (try: SHOW POOLS;)");
        _screen.Line($"  {"secrets",-14} {Path.Combine(_directory.Path, "secrets.env")} (readable by you alone; gone when the stack stops)");
        _screen.Line();

        _screen.Heading("  What to try");
        if (State.WebUrl is { } web)
            _screen.Line($"  Open {web} and {web}/tasks in a browser.");
        if (PoolsPage() is { } pools)
            _screen.Line($"  Watch the pool live at {pools}");
        _screen.Line("  In another terminal:  dotnet run --project LocalRun -- --check       health of every service");
        _screen.Line("                        dotnet run --project LocalRun -- --load-test   100 requests, 50 at a time");
        _screen.Line("  Ctrl+C stops everything.");
        _screen.Line();
    }

    /// <summary>Stops the services, the last started first, and removes what they leave.</summary>
    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        _state?.Delete();
        List<RunningService> services;
        lock (_gate)
        {
            services = [.. _services];
            _services.Clear();
        }

        services.Reverse();
        foreach (var service in services)
        {
            _screen.Report($"Stopping {service.Name} …");
            await service.StopAsync().ConfigureAwait(false);
        }

        _directory.Dispose();
    }

    private static void Check(AspireManifest manifest)
    {
        foreach (var resource in manifest.Resources)
        {
            if (resource.IsContainer)
                ContainerLauncher.Check(resource);
            else if (resource.Runs)
                ProgramLauncher.Check(resource, manifest);
            else if (resource.Type is not ("value.v0" or "parameter.v0" or "annotated.string"))
                throw new ManifestException($"Resource '{resource.Name}' is of type '{resource.Type}', which cannot be run as a local process.");
        }
    }

    private async Task StartAllAsync(IReadOnlyList<StartStep> order, CancellationToken cancellationToken)
    {
        // The build takes its time; servers can start meanwhile.
        using var abort = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var build = ProjectBuild.RunAsync(_context.Manifest, _options.Build, _screen, abort.Token);
        var started = new Dictionary<string, Task>(StringComparer.Ordinal);
        foreach (var step in order)
            started[step.Resource.Name] = StartAsync(step, [.. step.After.Select(name => started[name])], build, abort.Token);

        var all = new List<Task>([build, .. started.Values]);
        Exception? failure = null;
        while (all.Count > 0)
        {
            var done = await Task.WhenAny(all).ConfigureAwait(false);
            all.Remove(done);
            try
            {
                await done.ConfigureAwait(false);
            }
            catch (Exception e)
            {
                // The first failure is the cause; those after it are cancellations.
                failure ??= e;
                await abort.CancelAsync().ConfigureAwait(false);
            }
        }

        if (failure is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
    }

    private async Task StartAsync(StartStep step, IReadOnlyList<Task> after, Task<ProjectBuild> build, CancellationToken cancellationToken)
    {
        await Task.WhenAll(after).ConfigureAwait(false);
        var resource = step.Resource;
        var projects = resource.IsProject ? await build.ConfigureAwait(false) : null;
        cancellationToken.ThrowIfCancellationRequested();

        var service = resource.IsContainer
            ? await ContainerLauncher.StartAsync(resource, _context, cancellationToken).ConfigureAwait(false)
            : projects is not null
                ? ProgramLauncher.StartProject(resource, projects, _context)
                : ProgramLauncher.StartExecutable(resource, _context);
        lock (_gate)
            _services.Add(service);
        await HealthyAsync(service, cancellationToken).ConfigureAwait(false);
        _screen.Report($"{service.Name} is healthy.");
    }

    private async Task HealthyAsync(RunningService service, CancellationToken cancellationToken)
    {
        var deadline = DateTime.UtcNow + HealthDeadline;
        var last = new HealthResult(true, "");
        while (true)
        {
            foreach (var probe in service.Probes)
            {
                last = await probe.AskAsync(cancellationToken).ConfigureAwait(false);
                if (!last.Healthy)
                    break;
            }

            if (!service.Process.IsRunning)
                throw new StackException(
                    $"{service.Name} ended with exit code {await service.Process.Exited.ConfigureAwait(false)} while it was starting. Its last lines:\n{service.LogExcerpt(_context.Mask)}");
            if (last.Healthy)
                return;
            if (DateTime.UtcNow > deadline)
                throw new StackException(
                    $"{service.Name} was not healthy within {HealthDeadline.TotalMinutes:0} minutes ({last.Detail}). Its last lines:\n{service.LogExcerpt(_context.Mask)}");
            await Task.Delay(100, cancellationToken).ConfigureAwait(false);
        }
    }

    private void WriteFiles(AspireManifest manifest)
    {
        // Together these let a person use the stack's secrets without any of them on a command line or a screen.
        var passwords = new StringBuilder();
        foreach (var (_, connection) in _context.Databases().DistinctBy(database => (database.Connection.Host, database.Connection.Port, database.Connection.Username)))
        {
            string[] fields = [connection.Host!, connection.Port.ToString(CultureInfo.InvariantCulture), "*", connection.Username ?? "", connection.Password ?? ""];
            passwords.AppendJoin(':', fields.Select(field => field.Replace("\\", "\\\\", StringComparison.Ordinal).Replace(":", "\\:", StringComparison.Ordinal))).Append('\n');
        }

        WritePrivate("pgpass", passwords.ToString());
        WritePrivate("secrets.env", string.Concat(_context.Resolver.Secrets.Select(secret => $"{secret.Key.Replace('-', '_').ToUpperInvariant()}='{secret.Value}'\n")));

        // People know the manifest's order; _services has the one in which they happened to start.
        var order = manifest.Resources.Select(resource => resource.Name).ToList();
        var services = _services.OrderBy(service => order.IndexOf(service.Name)).Select(service => new ServiceState(service.Name, service.Kind, service.Process.Id, service.Addresses, service.Probes)).ToList();
        services.AddRange(_context.Databases().Select(database => new ServiceState(
            database.Name, $"database {database.Connection.Database}", null,
            [$"{database.Connection.Host}:{database.Connection.Port}"], [new PostgresProbe(database.Connection.ConnectionString)])));
        var web = manifest.Resources.FirstOrDefault(resource => resource.Bindings.Values.Any(binding => binding is { External: true, Scheme: "http" }))
            ?? manifest.Find("web");
        var binding = web?.Bindings.FirstOrDefault(pair => pair.Value.Scheme == "http").Key;
        _state = new StackState(
            Environment.ProcessId, StackState.StartOf(Environment.ProcessId) ?? 0, _options.Manifest,
            binding is null ? null : $"http://{ExpressionResolver.Host}:{_context.Ports[web!.Name, binding]}",
            services);
        _state.Write();
    }

    private void WritePrivate(string name, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new StreamWriter(Path.Combine(_directory.Path, name), options);
        file.Write(text);
    }

    // The first database that is not at a PostgreSQL of ours is at a pooler.
    /// <summary>The pooler's web page; null without a pooler.</summary>
    private string? PoolsPage() =>
        _options.Direct ? null : State.Services
            .FirstOrDefault(service => service.Name == DirectWiring.PoolerOf(_context.Manifest))?
            .Addresses.FirstOrDefault(address => address.StartsWith("http://", StringComparison.Ordinal) && !address.Contains(' ', StringComparison.Ordinal));

    private Npgsql.NpgsqlConnectionStringBuilder? Console()
    {
        if (_options.Direct || DirectWiring.PoolerOf(_context.Manifest) is not { } pooler)
            return null;
        var ports = _context.Manifest.Find(pooler)!.Bindings.Keys.Select(binding => _context.Ports[pooler, binding]).ToList();
        return _context.Databases().Select(database => database.Connection).FirstOrDefault(connection => ports.Contains(connection.Port));
    }
}
