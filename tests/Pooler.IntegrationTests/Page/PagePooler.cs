using Npgsql;
using Pooler.IntegrationTests.Process;

namespace Pooler.IntegrationTests.Page;

/// <summary>The program with its web page on both HTTP ports, in front of the PostgreSQL of the tests.</summary>
internal sealed class PagePooler : IAsyncDisposable
{
    /// <summary>What the log calls SIGQUIT: the end at once.</summary>
    public const int Quit = 3;

    private readonly ThrowawayDirectory _directory = new();
    private readonly PostgresForPooler _postgres;
    private readonly int _port = PoolerProgram.FreePort();
    private PoolerProgram _program = null!;

    private PagePooler(PostgresForPooler postgres) => _postgres = postgres;

    public int PublicPort { get; } = PoolerProgram.FreePort();

    public int AdminPort { get; } = PoolerProgram.FreePort();

    public string PublicPage => $"http://127.0.0.1:{PublicPort}/";

    public string AdminPage => $"http://127.0.0.1:{AdminPort}/";

    public static async Task<PagePooler> StartAsync(PostgresForPooler postgres, string settings = "")
    {
        var pooler = new PagePooler(postgres);
        pooler.Write(settings);
        pooler._program = PoolerProgram.Start(pooler._directory.Path, ["pooler.ini"]);
        await pooler._program.UpAsync();
        return pooler;
    }

    /// <summary>Writes its configuration; a reload reads it.</summary>
    public void Write(string settings) => _directory.Write("pooler.ini", $"""
        [databases]
        * = host=127.0.0.1 port={_postgres.Server.Port} user={PostgresForPooler.Trusted}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {_port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        http_port = {PublicPort}
        http_admin_port = {AdminPort}
        {settings}
        """);

    /// <summary>A client that says who it is.</summary>
    public async Task<NpgsqlConnection> ConnectAsync(string database, string application)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder
        {
            Host = "127.0.0.1", Port = _port, Database = database, Username = "app", ApplicationName = application, Pooling = false,
        }.ToString());
        await connection.OpenAsync();
        return connection;
    }

    public async Task EndAsync()
    {
        _program.Signal(Quit);
        await _program.ExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _program.DisposeAsync();
        _directory.Dispose();
    }
}
