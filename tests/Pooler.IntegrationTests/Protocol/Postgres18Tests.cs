using LocalRun.Processes;
using LocalRun.Provisioning;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>PostgreSQL 18, which brought protocol 3.2: as the server, and its libpq as the client.</summary>
public sealed class Postgres18Tests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const int Interrupt = 2;

    [Fact]
    public async Task A_server_of_version_18_is_pooled_and_its_queries_can_be_cancelled()
    {
        await using var server = await PostgresServer.StartAsync(new PostgresServerOptions
        {
            Installation = await NewestAsync(),
            HbaRules = [$"host all,replication {PostgresForPooler.Trusted} 127.0.0.1/32 trust"],
        }, Cancelled);
        await server.ExecuteAsync($"CREATE USER {PostgresForPooler.Trusted} SUPERUSER", cancellationToken: Cancelled);
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(
            Postgres, AnyVariant, s => s with { DefaultPoolSize = 1 }, d => d with { Host = server.Host, Port = server.Port }));
        using var client = await pooler.LoginAsync("postgres");
        using var other = await pooler.LoginAsync("postgres");
        Assert.StartsWith("18", client.Parameters["server_version"]);

        // It reports the search path, which is therefore kept per client.
        await client.Query("SET search_path TO pg_catalog, public").AskAsync();
        Assert.Equal("\"$user\", public", await other.ScalarAsync("SHOW search_path"));
        Assert.Equal("pg_catalog, public", await client.ScalarAsync("SHOW search_path"));

        await client.Query("SELECT pg_sleep(600)").SendAsync();
        await Eventually.TrueAsync(
            async () => await server.ExecuteAsync("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", cancellationToken: Cancelled) is 1L,
            cancellationToken: Cancelled);
        await client.CancelAsync(pooler.EndPoint);
        Assert.Equal("57014", Assert.Single(await client.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
        using var replication = await pooler.LoginAsync("postgres", ("replication", "database"));
        Assert.Equal("1", await replication.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task Libpq_18_speaks_protocol_3_2_and_cancels_with_its_long_key()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "LD_LIBRARY_PATH gives psql another libpq on Linux");
        var libraries = (await NewestAsync()).LibraryDirectory;
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant);
        var environment = pooler.Environment(database);
        environment["LD_LIBRARY_PATH"] = libraries;
        await using var psql = ChildProcess.Start(new ChildProcessOptions
        {
            Name = "psql",
            Command = [await Tools.PsqlAsync(cancellationToken: Cancelled), "-X", "min_protocol_version=3.2 max_protocol_version=latest", "-c", "SELECT pg_sleep(600)"],
            Environment = environment,
        });
        await Eventually.TrueAsync(async () => !psql.IsRunning || await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);

        await psql.StopAsync(TimeSpan.FromSeconds(30), Interrupt);

        Assert.Contains(psql.LastLines, line => line.Contains("canceling statement due to user request", StringComparison.Ordinal));
    }

    private static async Task<PostgresInstallation> NewestAsync()
    {
        var installation = await PostgresInstallation.NewestAsync(cancellationToken: Cancelled);
        Assert.SkipUnless(installation.Version.StartsWith("18", StringComparison.Ordinal), $"npm has PostgreSQL {installation.Version}");
        return installation;
    }
}
