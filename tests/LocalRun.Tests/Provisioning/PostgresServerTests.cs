using LocalRun.Processes;
using LocalRun.Provisioning;
using Npgsql;
using Xunit;

namespace LocalRun.Tests.Provisioning;

public class PostgresServerTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_starts_with_the_given_settings_and_databases()
    {
        await using var server = await PostgresServer.StartAsync(
            new() { User = "owner", Password = "pass'word", Databases = ["shop", "odd \"name\""], Settings = new Dictionary<string, string> { ["max_connections"] = "37" } },
            Cancelled);

        Assert.Equal("37", await server.ExecuteAsync("SHOW max_connections", "shop", Cancelled));
        Assert.Equal("127.0.0.1", await server.ExecuteAsync("SHOW listen_addresses", "odd \"name\"", Cancelled));
        Assert.Equal("owner", await server.ExecuteAsync("SELECT current_user::text", cancellationToken: Cancelled));
    }

    [Fact]
    public async Task It_refuses_a_wrong_password()
    {
        await using var server = await PostgresServer.StartAsync(cancellationToken: Cancelled);
        await using var connection = new NpgsqlConnection(
            new NpgsqlConnectionStringBuilder(server.ConnectionString()) { Password = "wrong", Pooling = false }.ConnectionString);

        var refusal = await Assert.ThrowsAsync<PostgresException>(() => connection.OpenAsync(Cancelled));

        Assert.Equal("28P01", refusal.SqlState);
    }

    [Fact]
    public async Task Rules_of_the_caller_stand_before_the_others()
    {
        await using var server = await PostgresServer.StartAsync(new() { HbaRules = ["host all all 127.0.0.1/32 trust"] }, Cancelled);
        await using var connection = new NpgsqlConnection($"Host={server.Host};Port={server.Port};Username={server.User};Pooling=false;Database=postgres");

        await connection.OpenAsync(Cancelled);
    }

    [Fact]
    public async Task Its_data_survives_a_restart_and_nothing_survives_its_end()
    {
        var server = await PostgresServer.StartAsync(cancellationToken: Cancelled);
        var directory = server.DataDirectory;
        await server.ExecuteAsync("CREATE TABLE kept AS SELECT 42 AS answer", cancellationToken: Cancelled);

        await server.StopAsync();
        await server.StartAgainAsync(Cancelled);
        Assert.Equal(42, await server.ExecuteAsync("SELECT answer FROM kept", cancellationToken: Cancelled));
        var process = server.ProcessId;
        await server.DisposeAsync();

        Assert.False(Directory.Exists(directory));
        Assert.False(ProcessGroup.IsAlive(process));
    }

    [Fact]
    public async Task A_killed_backend_ends_its_client_only()
    {
        await using var server = await PostgresServer.StartAsync(cancellationToken: Cancelled);
        await using var connection = new NpgsqlConnection(server.ConnectionString() + ";Pooling=false");
        await connection.OpenAsync(Cancelled);

        Assert.True(await server.KillBackendAsync(connection.ProcessID, Cancelled));

        await using var command = new NpgsqlCommand("SELECT 1", connection);
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => command.ExecuteScalarAsync(Cancelled));
        Assert.Equal(1, await server.ExecuteAsync("SELECT 1", cancellationToken: Cancelled));
    }

    [Fact]
    public async Task Many_servers_start_side_by_side()
    {
        var servers = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => PostgresServer.StartAsync(cancellationToken: Cancelled)));

        Assert.Equal(3, servers.Select(server => server.Port).Distinct().Count());
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_wrong_setting_is_reported_with_the_servers_own_words()
    {
        var failure = await Assert.ThrowsAsync<ProvisioningException>(() => PostgresServer.StartAsync(
            new() { Settings = new Dictionary<string, string> { ["max_connections"] = "many" } }, Cancelled));

        Assert.Contains("max_connections", failure.Message, StringComparison.Ordinal);
    }
}
