using System.Net;
using LocalRun.Processes;
using Pooler.IntegrationTests.Process;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>The tests that look at one troubled pooler through one Prometheus.</summary>
[CollectionDefinition]
public sealed class ScrapedPoolerCollection : ICollectionFixture<ScrapedPooler>;

/// <summary>
/// The real program in front of a real PostgreSQL, with work and with every trouble a dashboard has a panel for, and a
/// real Prometheus that scrapes it each second by the configuration in docs/prometheus.
/// </summary>
public sealed class ScrapedPooler(PostgresForPooler postgres) : IAsyncLifetime
{
    /// <summary>The database whose clients work, on fewer servers than they are.</summary>
    public const string Busy = "busy";

    /// <summary>The database whose only server is held by a client in an idle transaction.</summary>
    public const string Stuck = "stuck";

    /// <summary>As <see cref="Stuck"/>, and those that wait are soon told to go.</summary>
    public const string Hurried = "hurried";

    /// <summary>The database whose server does not exist.</summary>
    public const string Gone = "gone";

    private readonly ThrowawayDirectory _directory = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _working = [];
    private readonly List<RawClient> _clients = [];
    private PoolerProgram? _pooler;
    private RunningPrometheus? _prometheus;

    internal RunningPrometheus Prometheus => _prometheus!;

    /// <summary>Where the pooler answers HTTP.</summary>
    internal int HttpPort { get; } = Ports.Take();

    /// <summary>Npgsql's words for the console.</summary>
    internal string ConsoleConnectionString =>
        $"Host=127.0.0.1;Port={EndPoint.Port};Username={PostgresForPooler.Trusted};Database=pgbouncer;Pooling=false";

    private IPEndPoint EndPoint { get; } = new(IPAddress.Loopback, Ports.Take());

    public async ValueTask InitializeAsync()
    {
        var server = $"host={postgres.Server.Host} port={postgres.Server.Port} dbname={await postgres.NewDatabaseAsync()}";
        _directory.Write("pooler.ini", $"""
            [databases]
            {Busy} = {server} pool_size=2 server_lifetime=1
            {Stuck} = {server} pool_size=1
            {Hurried} = {server} pool_size=1 query_wait_timeout=0.5
            {Gone} = host=127.0.0.1 port={Ports.Take()} query_wait_timeout=1
            [users]
            {PostgresForPooler.Trusted} = password=unasked
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {EndPoint.Port}
            unix_socket_dir =
            auth_type = trust
            admin_users = {PostgresForPooler.Trusted}
            pool_mode = transaction
            http_port = {HttpPort}
            server_login_retry = 0.2
            max_db_connections = 50
            max_user_connections = 100
            """);
        _pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await _pooler.UpAsync();

        foreach (var database in new[] { Stuck, Hurried })
            await (await LoginAsync(database)).Query("BEGIN").AskAsync();
        await (await LoginAsync(Stuck)).Query("SELECT 1").SendAsync();
        for (var i = 0; i < 6; i++) Repeat(WorkAsync);
        Repeat(() => TryAsync(Hurried, PostgresForPooler.Trusted));
        Repeat(() => TryAsync(Gone, PostgresForPooler.Trusted));
        Repeat(() => TryAsync(Busy, "nobody"));

        _prometheus = await RunningPrometheus.StartAsync(PrometheusFiles.ShortenedInto(_directory, HttpPort));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        if (_prometheus is not null) await _prometheus.DisposeAsync();
        // Those that wait for an answer get an end.
        if (_pooler is not null) await _pooler.DisposeAsync();
        await Task.WhenAll(_working);
        _clients.ForEach(c => c.Dispose());
        _stop.Dispose();
        _directory.Dispose();
    }

    /// <summary>Checks that /metrics has every metric that a text names; some come when there is something to tell.</summary>
    internal Task KnowsAsync(string text) => Eventually.PassesAsync(async () =>
    {
        var page = await MetricsPage.GetAsync(HttpPort);
        Assert.All(MetricsPage.NamesIn(text), n => Assert.True(page.Knows(n), $"/metrics has no {n}"));
    }, cancellationToken: TestContext.Current.CancellationToken);

    private async Task<RawClient> LoginAsync(string database)
    {
        var client = await RawClient.LoginAsync(EndPoint, database, PostgresForPooler.Trusted);
        _clients.Add(client);
        return client;
    }

    private void Repeat(Func<Task> what) => _working.Add(Task.Run(async () =>
    {
        try
        {
            while (!_stop.IsCancellationRequested) await what();
        }
        catch (Exception) when (_stop.IsCancellationRequested)
        {
            // The pooler has been stopped in the middle of it.
        }
    }));

    /// <summary>Logs in and works for a while: more clients than servers, so that they wait for each other.</summary>
    private async Task WorkAsync()
    {
        using var client = await RawClient.LoginAsync(EndPoint, Busy, PostgresForPooler.Trusted);
        await client.Parse("sleep", "SELECT pg_sleep($1::float8)").Sync().AskAsync();
        for (var i = 0; i < 20; i++)
        {
            await client.Query("BEGIN").AskAsync();
            await client.Bind("sleep", "0.005").Execute().Sync().AskAsync();
            await client.Query("COMMIT").AskAsync();
        }
    }

    /// <summary>Wants what it will be refused.</summary>
    private async Task TryAsync(string database, string user)
    {
        using var client = await RawClient.ConnectAsync(EndPoint);
        await client.Startup(database, user).Query("SELECT 1").SendAsync();
        await client.ReadToEndAsync();
        // Some are refused at once: nobody tries without a pause.
        await Task.Delay(TimeSpan.FromMilliseconds(50), _stop.Token);
    }
}
