using System.Text.Json.Nodes;
using LocalRun.Health;
using LocalRun.Processes;
using Npgsql;
using Testing;
using Testing.Otlp;
using Xunit;

namespace LocalRun.Tests.Stacks;

/// <summary>
/// The whole product with a collector of OTLP, as Aspire's dashboard is one, and with two server connections only, so
/// that a test can make all of them busy.
/// </summary>
public sealed class TracedStack : IAsyncLifetime
{
    /// <summary>Server connections of the pool.</summary>
    public const int PoolSize = 2;

    private readonly TemporaryDirectory _directory = TemporaryDirectory.Create("localrun-test-");
    private Runner? _runner;
    private OtlpReceiver? _collector;

    /// <summary>What the services have exported.</summary>
    public OtlpReceiver Collector => _collector!;

    /// <summary>A client of the web service, whose own requests are no spans.</summary>
    public HttpClient Web { get; } = new(new SocketsHttpHandler { ActivityHeadersPropagator = null });

    /// <summary>Where the pooler listens.</summary>
    public int PoolerPort => new NpgsqlConnectionStringBuilder(Pooled).Port;

    /// <summary>Where PostgreSQL listens.</summary>
    public int PostgresPort => new NpgsqlConnectionStringBuilder(ConnectionString("shop")).Port;

    private string Pooled => ConnectionString("shop-pooled");

    public async ValueTask InitializeAsync()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "As the other tests of the kept manifest.");
        _collector = await OtlpReceiver.StartAsync();
        _runner = await Runner.StartAndWaitAsync(Manifest(), _collector.Environment(OtlpReceiver.Grpc));
        Web.BaseAddress = new Uri(_runner.State.WebUrl!);
    }

    public async ValueTask DisposeAsync()
    {
        Web.Dispose();
        if (_runner is not null)
            await _runner.DisposeAsync();
        if (_collector is not null)
            await _collector.DisposeAsync();
        _directory.Dispose();
    }

    /// <summary>Keeps every server connection of the pool busy until the result is disposed.</summary>
    public async Task<IAsyncDisposable> HoldServersAsync(CancellationToken cancellationToken)
    {
        var held = new HeldServers();
        for (var i = 0; i < PoolSize; i++)
            held.Add(await BeginAsync(cancellationToken));
        return held;
    }

    /// <summary>Asks the pooler's console.</summary>
    public async Task<object?> ConsoleAsync(string command, CancellationToken cancellationToken)
    {
        var target = new NpgsqlConnectionStringBuilder(Pooled) { Database = "pgbouncer", Pooling = false };
        await using var connection = new NpgsqlConnection(target.ConnectionString);
        await connection.OpenAsync(cancellationToken);
        return await new NpgsqlCommand(command, connection).ExecuteScalarAsync(cancellationToken);
    }

    private string ConnectionString(string database) =>
        _runner!.State.Services.Single(service => service.Name == database).Probes.OfType<PostgresProbe>().Single().ConnectionString;

    private string Manifest()
    {
        var manifest = JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "aspire-manifest.json")))!;
        foreach (var (_, resource) in manifest["resources"]!.AsObject())
        {
            if (resource!["path"] is { } path)
                resource["path"] = Path.Combine(Repository.Root, path.GetValue<string>());
        }

        var settings = manifest["resources"]!["pooler"]!["env"]!;
        settings["POOLER_DEFAULT_POOL_SIZE"] = $"{PoolSize}";
        settings["POOLER_MIN_POOL_SIZE"] = "0";
        settings["POOLER_RESERVE_POOL_SIZE"] = "0";
        var file = Path.Combine(_directory.Path, "aspire-manifest.json");
        File.WriteAllText(file, manifest.ToJsonString());
        return file;
    }

    private async Task<NpgsqlConnection> BeginAsync(CancellationToken cancellationToken)
    {
        var connection = new NpgsqlConnection(Pooled + ";Application Name=holder;Pooling=false");
        await connection.OpenAsync(cancellationToken);
        await new NpgsqlCommand("BEGIN", connection).ExecuteNonQueryAsync(cancellationToken);
        return connection;
    }

    private sealed class HeldServers : List<NpgsqlConnection>, IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            foreach (var connection in this)
            {
                await new NpgsqlCommand("ROLLBACK", connection).ExecuteNonQueryAsync();
                await connection.DisposeAsync();
            }
        }
    }
}
