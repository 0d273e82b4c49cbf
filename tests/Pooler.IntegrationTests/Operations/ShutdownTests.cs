using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Console;
using Pooler.IntegrationTests.Process;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Operations;

/// <summary>The forms of SHUTDOWN: who may finish, who is turned away, and what stays open meanwhile.</summary>
public sealed class ShutdownTests(PostgresForPooler postgres) : ConsoleTest(postgres)
{
    [Theory]
    [InlineData("WAIT_FOR_CLIENTS")]
    [InlineData("WAIT_FOR_SERVERS")]
    public async Task Tcp_is_closed_and_the_unix_socket_lets_in_administrators_only(string mode)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Unix sockets are not listened on");
        var database = await NewDatabaseAsync();
        using var directory = new ThrowawayDirectory();
        await using var pooler = Start(change: s => s with { UnixSocketDir = directory.Path });
        var unix = pooler.Engine.ListenEndPoints.OfType<UnixDomainSocketEndPoint>().Single();
        using var working = await pooler.LoginAsync(database);
        await working.Query("BEGIN").AskAsync();
        using (var console = await ConsoleAsync(pooler))
            Assert.Equal("C(SHUTDOWN) Z(I)", await console.Query($"SHUTDOWN {mode}").AskAsync());

        await Eventually.TrueAsync(async () => await IsRefusedAsync(pooler.EndPoint), cancellationToken: Cancelled);
        using (var console = await RawClient.LoginAsync(unix, "pgbouncer", PostgresForPooler.Trusted))
        {
            Assert.NotNull(await console.ScalarAsync("SHOW VERSION"));
            Assert.Equal("pooler is shutting down", await ErrorAsync(console, "RESUME"));
        }
        var turnedAway = await Assert.ThrowsAsync<InvalidOperationException>(() => RawClient.LoginAsync(unix, database, PostgresForPooler.Trusted));
        Assert.Contains("57P03", turnedAway.Message);
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        working.Dispose();

        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
        Assert.False(File.Exists(unix.ToString()));
    }

    [Theory]
    [InlineData("WAIT_FOR_CLIENTS", PoolMode.Transaction)]
    [InlineData("WAIT_FOR_CLIENTS", PoolMode.Statement)]
    [InlineData("WAIT_FOR_CLIENTS", PoolMode.Session)]
    public async Task Waiting_for_clients_lets_busy_ones_work_until_they_leave(string mode, PoolMode poolMode)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(change: s => s with { PoolMode = poolMode, DefaultPoolSize = 10 });
        // Short sessions would be turned away at their next login: here they last.
        await using var load = await Load.StartAsync(pooler, database, clients: 6, poolMode == PoolMode.Session ? PoolMode.Transaction : poolMode);
        using (var console = await ConsoleAsync(pooler)) await console.Query($"SHUTDOWN {mode}").AskAsync();
        await load.ProgressAsync(100);
        Assert.False(pooler.Engine.Completion.IsCompleted);
        await load.StopAsync();
        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
        Assert.Equal(load.Transactions, await Postgres.Server.ExecuteAsync("SELECT count(*) FROM work", database, Cancelled));
    }

    [Fact]
    public async Task Waiting_for_servers_turns_away_who_waits_or_begins_to()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(change: s => s with { DefaultPoolSize = 1 });
        using var console = await ConsoleAsync(pooler);
        using var working = await pooler.LoginAsync(database);
        using var waiting = await pooler.LoginAsync(database);
        using var idle = await pooler.LoginAsync(database);
        await working.Query("BEGIN").AskAsync();
        await waiting.Query("SELECT 1").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 1, cancellationToken: Cancelled);

        Assert.Equal("C(SHUTDOWN) Z(I)", await console.Query("SHUTDOWN WAIT_FOR_SERVERS").AskAsync());
        // At once: the answer says that it holds.
        await idle.Query("SELECT 1").SendAsync();

        Assert.Equal("server shutting down", Assert.Single(await waiting.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        Assert.Equal("1", await working.ScalarAsync("SELECT 1"));
        Assert.Equal("server shutting down", Assert.Single(await idle.ReadToEndAsync(), m => m.Type == 'E').Field('M'));
        Assert.Equal("C(COMMIT) Z(I)", await working.Query("COMMIT").AskAsync());
        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
    }

    [Fact]
    public async Task A_shutdown_overtakes_one_that_waits_and_a_suspension()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start();
        using var console = await ConsoleAsync(pooler);
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();
        Assert.Equal("C(SUSPEND) Z(I)", await console.Query("SUSPEND").AskAsync());
        Assert.Equal("C(SHUTDOWN) Z(I)", await console.Query("SHUTDOWN WAIT_FOR_SERVERS").AskAsync());
        await console.Query("SHUTDOWN").SendAsync();
        await client.ReadToEndAsync();
        await pooler.Engine.Completion.WaitAsync(TimeSpan.FromSeconds(30), Cancelled);
    }

    private static async Task<bool> IsRefusedAsync(EndPoint endPoint)
    {
        try
        {
            using var client = await RawClient.ConnectAsync(endPoint);
            return false;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return true;
        }
    }
}
