using System.Net;
using Npgsql;
using Pooler.Engine.Telemetry.Metrics;
using Testing;
using Testing.Otlp;
using Xunit;

namespace Pooler.IntegrationTests.Process;

/// <summary>The program in front of a real PostgreSQL, configured as the Aspire integration does it.</summary>
public sealed class PooledTests(PostgresFixture postgres) : IClassFixture<PostgresFixture>, IDisposable
{
    private readonly ThrowawayDirectory _directory = new();
    private readonly HttpClient _client = new();
    private readonly int _port = PoolerProgram.FreePort();
    private readonly int _httpPort = PoolerProgram.FreePort();

    public void Dispose()
    {
        _client.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Variables_alone_give_a_pool_that_is_healthy_and_measured()
    {
        await using var pooler = await StartAsync(postgres.Server.Port);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync("/health"));

        await using (var connection = await ConnectAsync(postgres.Server.Password))
        {
            await using var command = new NpgsqlCommand("SELECT current_user::text", connection);
            Assert.Equal(postgres.Server.User, await command.ExecuteScalarAsync(TestContext.Current.CancellationToken));
        }

        var metrics = PrometheusMetrics.Parse(await _client.GetStringAsync($"http://127.0.0.1:{_httpPort}/metrics", TestContext.Current.CancellationToken));
        (string, string)[] pool = [("database", "postgres"), ("user", postgres.Server.User)];
        Assert.Equal(25, metrics["pooler_server_connections_max", pool]);
        Assert.InRange(metrics["pooler_client_logins_total", pool], 1, 10);
        Assert.InRange(metrics["pooler_query_duration_seconds_count", pool], 1, 10);
        Assert.Equal(metrics["pooler_query_duration_seconds_count", pool], metrics["pooler_query_duration_seconds_bucket", [.. pool, ("le", "+Inf")]]);
        Assert.DoesNotContain(pooler.Lines, l => l.Contains(postgres.Server.Password, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_strict_reader_takes_the_metrics_whatever_a_database_is_called()
    {
        const string Database = """strange "name" with \ in it""";
        await postgres.Server.ExecuteAsync($"""CREATE DATABASE "{Database.Replace("\"", "\"\"", StringComparison.Ordinal)}" """, cancellationToken: TestContext.Current.CancellationToken);
        await using var pooler = await StartAsync(postgres.Server.Port);
        await using (var connection = await ConnectAsync(postgres.Server.Password, Database))
        {
            await using var command = new NpgsqlCommand("SELECT 1", connection);
            await command.ExecuteScalarAsync(TestContext.Current.CancellationToken);
        }

        var metrics = PrometheusMetrics.Parse(await _client.GetStringAsync($"http://127.0.0.1:{_httpPort}/metrics", TestContext.Current.CancellationToken));
        Assert.InRange(metrics["pooler_queries_total", ("database", Database), ("user", postgres.Server.User)], 1, 10);
        // Those that are about what is not there now are left out.
        string[] optional = ["pooler_database_servers_max", "pooler_database_clients_max", "pooler_user_servers_max", "pooler_user_clients_max", "pooler_advice"];
        Assert.Equal(
            PoolerMetrics.Definitions.Select(d => d.PrometheusName).OfType<string>().Except(optional), metrics.Names.Except(optional));
        foreach (var metric in PoolerMetrics.Definitions.Where(d => d.PrometheusName is { } name && metrics.Names.Contains(name)))
        {
            Assert.Equal(
                metric.Kind switch { MetricKind.Counter => "counter", MetricKind.Histogram => "histogram", _ => "gauge" },
                metrics.TypeOf(metric.PrometheusName!));
        }
    }

    [Fact]
    public async Task The_last_export_has_what_was_counted_last()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals");
        await using var collector = await OtlpReceiver.StartAsync();
        // The next export would be an hour from now.
        (string, string)[] telemetry =
            [.. collector.Environment(OtlpReceiver.Http).Select(v => (v.Key, v.Key == "OTEL_METRIC_EXPORT_INTERVAL" ? "3600000" : v.Value!))];
        await using var pooler = await StartAsync(postgres.Server.Port, telemetry);
        await using (var connection = await ConnectAsync(postgres.Server.Password))
        {
            for (var i = 0; i < 20; i++)
            {
                await using var command = new NpgsqlCommand("SELECT 1", connection);
                await command.ExecuteScalarAsync(TestContext.Current.CancellationToken);
            }
        }
        pooler.Signal(15);
        Assert.Equal(0, await pooler.ExitAsync());

        OtlpPoint Last(string name) => collector.Points.Last(p => p.Name == name && p.Attributes.Text("db.client.connection.pool.name") == $"postgres/{postgres.Server.User}");
        Assert.InRange(Last("pooler.queries").Value, 20, 30);
        Assert.Equal(Last("pooler.queries").Value, Last("pooler.query.duration").Count);
        Assert.Equal(1, Last("pooler.client.logins").Value);
    }

    [Fact]
    public async Task A_wrong_password_is_refused()
    {
        await using var pooler = await StartAsync(postgres.Server.Port);
        var refused = await Assert.ThrowsAsync<PostgresException>(() => ConnectAsync("wrong"));
        Assert.Equal("28P01", refused.SqlState);
    }

    [Fact]
    public async Task Without_a_server_it_is_alive_but_not_healthy()
    {
        await using var pooler = await StartAsync(PoolerProgram.FreePort());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await StatusAsync("/health"));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync("/alive"));
    }

    [Fact]
    public async Task Term_waits_for_clients_and_a_second_one_does_not()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals");
        await using var pooler = await StartAsync(postgres.Server.Port);
        await using var connection = await ConnectAsync(postgres.Server.Password);
        pooler.Signal(15);
        await pooler.LineAsync("got SIGTERM, shutting down, waiting for all clients disconnect");
        await using (var command = new NpgsqlCommand("SELECT 1", connection))
            Assert.Equal(1, await command.ExecuteScalarAsync(TestContext.Current.CancellationToken));

        pooler.Signal(15);
        Assert.Equal(0, await pooler.ExitAsync());
        await pooler.LineAsync("got SIGTERM while shutting down, fast exit");
    }

    [Fact]
    public async Task After_Term_it_ends_when_the_last_client_has_left()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals");
        await using var pooler = await StartAsync(postgres.Server.Port);
        await using (var connection = await ConnectAsync(postgres.Server.Password))
        {
            pooler.Signal(15);
            await pooler.LineAsync("got SIGTERM, shutting down, waiting for all clients disconnect");
        }

        Assert.Equal(0, await pooler.ExitAsync());
    }

    private async Task<PoolerProgram> StartAsync(int serverPort, params (string, string)[] more)
    {
        var pooler = PoolerProgram.Start(
            _directory.Path, [],
            [.. more, ("DATABASES_HOST", "127.0.0.1"), ("DATABASES_PORT", $"{serverPort}"),
            ("DATABASES_USER", postgres.Server.User), ("DATABASES_PASSWORD", postgres.Server.Password), ("POOLER_LISTEN_PORT", $"{_port}"),
            ("POOLER_UNIX_SOCKET_DIR", ""), ("POOLER_AUTH_TYPE", "scram-sha-256"), ("POOLER_DEFAULT_POOL_SIZE", "25"), ("HTTP_PORTS", $"{_httpPort}")]);
        await pooler.UpAsync();
        return pooler;
    }

    private async Task<NpgsqlConnection> ConnectAsync(string password, string database = "postgres")
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder
        {
            Host = "127.0.0.1",
            Port = _port,
            Username = postgres.Server.User,
            Password = password,
            Database = database,
            Pooling = false,
            SslMode = SslMode.Disable,
        }.ConnectionString);
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        return connection;
    }

    private async Task<HttpStatusCode> StatusAsync(string path)
    {
        using var answer = await _client.GetAsync($"http://127.0.0.1:{_httpPort}{path}", TestContext.Current.CancellationToken);
        return answer.StatusCode;
    }
}
