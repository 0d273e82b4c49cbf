using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Testing;

namespace Pooler.IntegrationTests;

/// <summary>An engine in this process on a free port, in front of a PostgreSQL.</summary>
internal sealed class RunningPooler : IAsyncDisposable
{
    private readonly PoolerEngine _engine;
    private PoolerConfiguration _next;

    private RunningPooler(PoolerConfiguration configuration, ILoggerFactory? log, TimeSpan? historyPeriod = null)
    {
        _next = configuration;
        var options = new EngineOptions
        {
            LoggerFactory = log ?? NullLoggerFactory.Instance,
            Reload = _ => new ConfigurationResult { Configuration = _next },
        };
        _engine = new PoolerEngine(configuration, historyPeriod is { } period ? options with { HistoryPeriod = period } : options);
    }

    public PoolerEngine Engine => _engine;

    public IPEndPoint EndPoint => (IPEndPoint)_engine.ListenEndPoints[0];

    /// <summary>Starts an engine; the configuration is <see cref="Configuration"/> unless changed.</summary>
    /// <param name="configuration">Of the engine.</param>
    /// <param name="log">Of the engine.</param>
    /// <param name="historyPeriod">How long the intervals of its history are, and how often it looks for advice; 5 s as a rule.</param>
    public static RunningPooler Start(PoolerConfiguration configuration, ILoggerFactory? log = null, TimeSpan? historyPeriod = null)
    {
        var pooler = new RunningPooler(configuration, log, historyPeriod);
        pooler._engine.Start();
        return pooler;
    }

    /// <summary>Starts an engine that takes over from the one with the same Unix socket, as <c>-R</c> does.</summary>
    /// <param name="configuration">Of the new engine.</param>
    /// <param name="log">Of the new engine.</param>
    /// <param name="meanwhile">What happens between its first word to the running one and its start.</param>
    public static RunningPooler TakeOver(PoolerConfiguration configuration, ILoggerFactory? log = null, Action? meanwhile = null)
    {
        var predecessor = Predecessor.Find(configuration.Settings) ?? throw new InvalidOperationException("there is nobody to take over from");
        meanwhile?.Invoke();
        var pooler = new RunningPooler(configuration, log);
        pooler._engine.Start(predecessor);
        return pooler;
    }

    /// <summary>On a free port of the loopback interface, trusting whoever it knows; what a test needs otherwise it changes.</summary>
    public static PoolerSettings Settings(Variant variant) => new()
    {
        ListenAddr = "127.0.0.1",
        ListenPort = 0,
        UnixSocketDir = "",
        AuthType = AuthType.Trust,
        IoBackend = variant.Backend,
        EventLoops = variant.Loops,
        MaxClientConn = 5000,
        DefaultPoolSize = 4,
        // Silent clients are to be seen at once.
        TcpDeferAccept = false,
    };

    /// <summary>
    /// A configuration with one <c>*</c> database on the server, where known users are let in without a password:
    /// <see cref="PostgresForPooler.Trusted"/> and the server's superuser.
    /// </summary>
    public static PoolerConfiguration Configuration(
        PostgresForPooler postgres, Variant variant, Func<PoolerSettings, PoolerSettings>? change = null,
        Func<DatabaseSettings, DatabaseSettings>? database = null)
    {
        var settings = Settings(variant);
        var fallback = new DatabaseSettings { Name = "*", Host = postgres.Server.Host, Port = postgres.Server.Port };
        return new PoolerConfiguration
        {
            Settings = change?.Invoke(settings) ?? settings,
            Databases = new Dictionary<string, DatabaseSettings> { ["*"] = database?.Invoke(fallback) ?? fallback },
            Users = new[]
            {
                new UserSettings { Name = PostgresForPooler.Trusted },
                new UserSettings { Name = postgres.Server.User, Secret = postgres.Server.Password },
            }.ToDictionary(u => u.Name),
        };
    }

    /// <summary>Starts an engine with <see cref="Configuration"/>.</summary>
    public static RunningPooler Start(
        PostgresForPooler postgres, Variant variant, Func<PoolerSettings, PoolerSettings>? change = null,
        Func<DatabaseSettings, DatabaseSettings>? database = null) =>
        Start(Configuration(postgres, variant, change, database));

    /// <summary>Reads another configuration, as RELOAD does.</summary>
    public void Reload(Func<PoolerConfiguration, PoolerConfiguration> change)
    {
        _next = change(_engine.Configuration);
        _engine.Reload();
    }

    /// <summary>
    /// Reads other settings. A limit of time that a test waits for begins here: set at the start it would hold for the logins
    /// before it, too, which may take longer on a busy machine.
    /// </summary>
    public void Change(Func<PoolerSettings, PoolerSettings> change) => Reload(c => c with { Settings = change(c.Settings) });

    /// <summary>The counts of the pool of a database; zeros before it exists.</summary>
    public PoolSnapshot Pool(string database, string user = PostgresForPooler.Trusted) =>
        _engine.Snapshot().Pools.FirstOrDefault(p => p.Database == database && p.User == user)
        ?? new PoolSnapshot(database, user, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, default);

    /// <summary>
    /// Why a client that logs in waits for ever: there is no server to learn from, and the health check says why.
    /// </summary>
    public async Task<string> WaitInVainAsync(string database, CancellationToken cancellationToken, string user = PostgresForPooler.Trusted)
    {
        using var client = await RawClient.ConnectAsync(EndPoint);
        await client.Startup(database, user).SendAsync();
        var reason = "";
        await Eventually.TrueAsync(async () =>
        {
            var health = await _engine.CheckHealthAsync(cancellationToken);
            reason = health.Description;
            return Pool(database, user).ClientsWaiting > 0 && !health.IsHealthy;
        }, cancellationToken: cancellationToken);
        return reason;
    }

    public Task<RawClient> LoginAsync(string database, params (string Name, string Value)[] parameters) =>
        RawClient.LoginAsync(EndPoint, database, PostgresForPooler.Trusted, parameters);

    /// <summary>An Npgsql connection string to a database through the pooler. Npgsql's own pool is off.</summary>
    public string ConnectionString(string database, string more = "") => new NpgsqlConnectionStringBuilder(more)
    {
        Host = "127.0.0.1",
        Port = EndPoint.Port,
        Username = PostgresForPooler.Trusted,
        Database = database,
        Pooling = more.Contains("Pooling=true", StringComparison.OrdinalIgnoreCase),
        Timeout = 60,
    }.ConnectionString;

    public async Task<NpgsqlConnection> ConnectAsync(string database, string more = "")
    {
        var connection = new NpgsqlConnection(ConnectionString(database, more));
        await connection.OpenAsync();
        return connection;
    }

    /// <summary>libpq's environment, for psql, pgbench and psycopg.</summary>
    public Dictionary<string, string?> Environment(string database) => new()
    {
        ["PGHOST"] = "127.0.0.1",
        ["PGPORT"] = EndPoint.Port.ToString(),
        ["PGUSER"] = PostgresForPooler.Trusted,
        ["PGDATABASE"] = database,
        ["PGAPPNAME"] = null,
        ["PGPASSWORD"] = null,
        ["PGCONNECT_TIMEOUT"] = "60",
    };

    public ValueTask DisposeAsync() => _engine.DisposeAsync();
}

/// <summary>Which kind of loop, and how many.</summary>
public sealed record Variant(string Backend, int Loops)
{
    public override string ToString() => $"{Backend} x{Loops}";
}
