using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Process;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>A server that a user has never been meant for does not get to see the user's password.</summary>
public sealed class StrangeServerTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    [Fact]
    public async Task Health_shows_no_password_of_auth_file_to_a_server()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await using var pooler = Start(AnyVariant, configure: c => c with
        {
            Databases = new Dictionary<string, DatabaseSettings> { ["strange"] = Entry(((IPEndPoint)listener.LocalEndpoint).Port) },
        });

        var report = pooler.Engine.CheckHealthAsync(Cancelled);
        using var socket = await listener.AcceptSocketAsync(Cancelled);

        Assert.Equal(0, await socket.ReceiveAsync(new byte[1], Cancelled));
        Assert.Equal(new Pooler.Engine.HealthReport(true, "a server answers; there is no user to log in to it as"), await report);
    }

    [Fact]
    public async Task Health_misses_a_server_that_there_is_nobody_to_log_in_to_as()
    {
        await using var pooler = Start(AnyVariant, configure: c => c with
        {
            Databases = new Dictionary<string, DatabaseSettings> { ["strange"] = Entry(PoolerProgram.FreePort()) },
        });

        var report = await pooler.Engine.CheckHealthAsync(Cancelled);

        Assert.False(report.IsHealthy);
        Assert.StartsWith("could not connect to server ", report.Description);
    }

    [Fact]
    public async Task A_check_shows_no_password_of_auth_file_to_a_server()
    {
        using var directory = new ThrowawayDirectory();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        directory.Write("users.txt", "\"u\" \"s3cret\"\n");
        directory.Write("pooler.ini", $"[databases]\nstrange = host=127.0.0.1 port={port}\n[pgbouncer]\npool_mode = session\nauth_file = users.txt\n");

        var (exitCode, _, lines) = await PoolerProgram.RunAsync(directory.Path, ["--check", "pooler.ini"]);

        Assert.Equal(0, exitCode);
        Assert.False(listener.Pending());
        Assert.Contains(lines, l => l.EndsWith($"the server 127.0.0.1:{port} could not be asked for its max_connections: no user is given for it (user=, auth_user)", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("USER", "")]
    [InlineData("", "auth_user=USER")]
    public async Task A_check_logs_in_as_whom_the_configuration_sends_there(string target, string entry)
    {
        using var directory = new ThrowawayDirectory();
        directory.Write("users.txt", $"\"{PostgresForPooler.Trusted}\" \"any\"\n");
        directory.Write("pooler.ini", $"[databases]\npostgres = host=127.0.0.1 port={Postgres.Server.Port} pool_size=300 {entry.Replace("USER", PostgresForPooler.Trusted)}\n[pgbouncer]\npool_mode = session\nauth_file = users.txt\n");

        var (_, _, lines) = await PoolerProgram.RunAsync(
            directory.Path, ["--check", "pooler.ini"],
            target.Length == 0 ? [] : [("DATABASES_USER", PostgresForPooler.Trusted), ("DATABASES_DBNAME", "postgres")]);

        Assert.Contains(lines, l => l.Contains("of its max_connections = 400", StringComparison.Ordinal));
    }

    private static DatabaseSettings Entry(int port) => new() { Name = "strange", Host = "127.0.0.1", Port = port };
}
