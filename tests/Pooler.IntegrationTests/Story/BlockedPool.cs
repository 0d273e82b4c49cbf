using System.Diagnostics;
using System.Net;
using LocalRun.Processes;
using Npgsql;
using Pooler.IntegrationTests.Process;
using Testing;
using Testing.Otlp;

namespace Pooler.IntegrationTests.Story;

/// <summary>
/// The real program with a pool of <see cref="Servers"/>, exporting to a collector, and <see cref="Requests"/> clients, each
/// in a trace of its own, that ask for a table which somebody else has locked.
/// </summary>
internal sealed class BlockedPool : IAsyncDisposable
{
    public const int Servers = 5;
    public const int Requests = 30;
    public const int Waiting = Requests - Servers;
    public const string Database = "shop";
    public const string User = PostgresForPooler.Trusted;
    public const string Application = "checkout";

    private readonly ThrowawayDirectory _directory = new();
    private readonly HttpClient _http = new();
    private readonly List<RawClient> _clients = [];
    private readonly IPEndPoint _endPoint = new(IPAddress.Loopback, Ports.Take());
    private readonly int _httpPort = Ports.Take();
    private NpgsqlConnection? _locker;
    private NpgsqlTransaction? _lock;
    private PoolerProgram? _pooler;
    private OtlpReceiver? _collector;

    private BlockedPool()
    {
    }

    /// <summary>The trace of each client, and the span in it that it says it works for.</summary>
    public IReadOnlyList<(string TraceId, string SpanId)> Traces { get; } =
        [.. Enumerable.Range(0, Requests).Select(_ => (ActivityTraceId.CreateRandom().ToHexString(), ActivitySpanId.CreateRandom().ToHexString()))];

    public OtlpReceiver Collector => _collector!;

    public static async Task<BlockedPool> StartAsync(PostgresForPooler postgres, CancellationToken cancellationToken)
    {
        var pool = new BlockedPool();
        try
        {
            await pool.BeginAsync(postgres, cancellationToken);
            return pool;
        }
        catch
        {
            await pool.DisposeAsync();
            throw;
        }
    }

    /// <summary>Lets all clients ask at once.</summary>
    public async Task AskAsync()
    {
        for (var i = 0; i < Requests; i++)
            await _clients[i].Query($"SELECT count(*) FROM stock /*traceparent='00-{Traces[i].TraceId}-{Traces[i].SpanId}-01'*/").SendAsync();
    }

    /// <summary>Gives the table free.</summary>
    /// <returns>What the clients are answered.</returns>
    public async Task<string[]> ReleaseAsync()
    {
        await _lock!.CommitAsync();
        return await Task.WhenAll(_clients.Select(async c => RawClient.Transcript(await c.ReadToReadyAsync())));
    }

    /// <summary>The rows of a table of the console.</summary>
    public async Task<IReadOnlyList<IReadOnlyDictionary<string, object>>> ShowAsync(string query)
    {
        await using var connection = new NpgsqlConnection($"Host=127.0.0.1;Port={_endPoint.Port};Username={User};Database=pgbouncer;Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(query, connection);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<IReadOnlyDictionary<string, object>>();
        while (await reader.ReadAsync())
            rows.Add(Enumerable.Range(0, reader.FieldCount).ToDictionary(reader.GetName, reader.GetValue));
        return rows;
    }

    /// <summary>The line of the log that holds a text.</summary>
    public Task<string> LogLineAsync(string text) => _pooler!.LineAsync(text);

    public Task<string> GetAsync(string path) => _http.GetStringAsync($"http://127.0.0.1:{_httpPort}{path}");

    public async ValueTask DisposeAsync()
    {
        _clients.ForEach(c => c.Dispose());
        if (_pooler is not null) await _pooler.DisposeAsync();
        if (_locker is not null) await _locker.DisposeAsync();
        if (_collector is not null) await _collector.DisposeAsync();
        _http.Dispose();
        _directory.Dispose();
    }

    private async Task BeginAsync(PostgresForPooler postgres, CancellationToken cancellationToken)
    {
        var database = await postgres.NewDatabaseAsync(cancellationToken);
        _locker = new NpgsqlConnection(new NpgsqlConnectionStringBuilder
        {
            Host = postgres.Server.Host, Port = postgres.Server.Port, Username = User, Database = database, Pooling = false,
        }.ConnectionString);
        await _locker.OpenAsync(cancellationToken);
        await ExecuteAsync("CREATE TABLE stock (item int)");
        _lock = await _locker.BeginTransactionAsync(cancellationToken);
        await ExecuteAsync("LOCK TABLE stock");

        _collector = await OtlpReceiver.StartAsync();
        _directory.Write("pooler.ini", $"""
            [databases]
            {Database} = host={postgres.Server.Host} port={postgres.Server.Port} dbname={database} pool_size={Servers} min_pool_size={Servers}
            [users]
            {User} = password=unasked
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {_endPoint.Port}
            unix_socket_dir =
            auth_type = trust
            admin_users = {User}
            pool_mode = transaction
            http_port = {_httpPort}
            """);
        _pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"], [.. _collector.Environment(OtlpReceiver.Http).Select(v => (v.Key, v.Value!))]);
        await _pooler.UpAsync();
        for (var i = 0; i < Requests; i++)
            _clients.Add(await RawClient.LoginAsync(_endPoint, Database, User, ("application_name", Application)));
        // Nobody has to wait for a server to be opened.
        await Eventually.TrueAsync(
            async () => (await ShowAsync($"SELECT * FROM SHOW POOLS WHERE database = '{Database}' AND sv_idle = {Servers}")).Count == 1,
            cancellationToken: cancellationToken);
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = new NpgsqlCommand(sql, _locker, _lock);
        await command.ExecuteNonQueryAsync();
    }
}
