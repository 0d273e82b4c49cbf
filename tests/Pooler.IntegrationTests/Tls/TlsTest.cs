using LocalRun.Processes;
using LocalRun.Provisioning;
using Microsoft.Extensions.Logging;
using Npgsql;
using Pooler.Engine.Configuration;
using Xunit;
using SslMode = Pooler.Engine.Configuration.SslMode;

namespace Pooler.IntegrationTests.Tls;

/// <summary>What the tests of TLS share.</summary>
[Collection(TlsCollection.Name)]
public abstract class TlsTest(TlsPostgres postgres)
{
    public static TheoryData<Variant> Backends => PoolerTest.Backends;

    public static TheoryData<Variant> BackendsAndLoops => PoolerTest.BackendsAndLoops;

    public static TheoryData<Variant> ManyLoops => PoolerTest.ManyLoops;

    protected static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    protected TlsPostgres Postgres => postgres;

    protected Task<string> NewDatabaseAsync() => postgres.NewDatabaseAsync(Cancelled);

    /// <summary>A pooler whose clients may use TLS, and whose servers must.</summary>
    internal RunningPooler Start(
        Variant variant, Func<PoolerSettings, PoolerSettings>? change = null, string host = "127.0.0.1", ILoggerFactory? log = null)
    {
        var settings = RunningPooler.Settings(variant) with
        {
            ServerLoginRetry = TimeSpan.Zero,
            AdminUsers = TlsPostgres.Anyone,
            ClientTlsSslMode = SslMode.Allow,
            ClientTlsCertFile = postgres["pooler.crt"],
            ClientTlsKeyFile = postgres["pooler.key"],
            ServerTlsSslMode = SslMode.Require,
        };
        return RunningPooler.Start(new PoolerConfiguration
        {
            Settings = change?.Invoke(settings) ?? settings,
            Databases = new Dictionary<string, DatabaseSettings>
            {
                ["*"] = new() { Name = "*", Host = host, Port = postgres.Server.Port },
            },
            Users = new[] { TlsPostgres.Anyone, TlsPostgres.Secured, TlsPostgres.Certified, "alice" }
                .ToDictionary(name => name, name => new UserSettings { Name = name }),
        }, log);
    }

    /// <summary>Logs in over TLS.</summary>
    internal static async Task<RawClient> LoginAsync(RunningPooler pooler, string database)
    {
        var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.SecureAsync();
        client.Startup(database, TlsPostgres.Anyone);
        await client.SendAsync();
        var answer = await client.ReadToReadyAsync();
        Assert.Equal('Z', answer.LastOrDefault()?.Type);
        return client;
    }

    internal static Task<CommandResult> PsqlAsync(RunningPooler pooler, string database, string parameters, string sql = "SELECT 1") =>
        PsqlAsync(pooler, database, TlsPostgres.Anyone, parameters, sql);

    internal static async Task<CommandResult> PsqlAsync(RunningPooler pooler, string database, string user, string parameters, string sql)
    {
        var command = new Command(
            await Tools.PsqlAsync(cancellationToken: Cancelled),
            $"host=localhost hostaddr=127.0.0.1 port={pooler.EndPoint.Port} dbname={database} user={user} connect_timeout=30 {parameters}", "-X", "-w", "-t", "-A", "-c", sql);
        // Nothing of the machine's own is to be taken.
        foreach (var name in (string[])["PGSSLMODE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGUSER", "PGHOST"]) command.Environment[name] = null;
        command.Environment["HOME"] = Path.GetTempPath();
        return await command.RunAsync(Cancelled);
    }

    internal static string ConnectionString(RunningPooler pooler, string database, string more) => new NpgsqlConnectionStringBuilder(more)
    {
        Host = "localhost",
        Port = pooler.EndPoint.Port,
        Username = TlsPostgres.Anyone,
        Database = database,
        Timeout = 60,
        Pooling = false,
    }.ConnectionString;

    /// <summary>What PostgreSQL says of the connections to a database: the number with TLS, and without.</summary>
    protected async Task<string> SecuredAndPlainAsync(string database) => (string)(await postgres.Server.ExecuteAsync(
        "SELECT count(*) FILTER (WHERE ssl) || ' ' || count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        + $"WHERE datname = '{database}'", cancellationToken: Cancelled))!;
}
