using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Hosts;

/// <summary>Servers that change their role while clients work.</summary>
[Collection(nameof(PrimaryAndStandby))]
public sealed class FailoverTests(PrimaryAndStandby servers)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Writers_go_on_at_the_standby_that_is_promoted_when_the_primary_dies()
    {
        await using var standby = await servers.NewStandbyAsync();
        await servers.Primary.ExecuteAsync("CREATE TABLE IF NOT EXISTS written (client int, value int)", cancellationToken: Cancelled);
        await using var pooler = PrimaryAndStandby.Start([servers.Primary.Port, standby.Port], d => d with { TargetSessionAttrs = TargetSessionAttrs.ReadWrite });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        var ports = new System.Collections.Concurrent.ConcurrentDictionary<string, int>();
        var writers = Enumerable.Range(0, 4).Select(client => Task.Run(() => WriteAsync(pooler, client, ports, stop.Token), Cancelled)).ToArray();
        var (before, after) = (servers.Primary.Port.ToString(), standby.Port.ToString());
        await Eventually.TrueAsync(() => ports.GetValueOrDefault(before) > 20, cancellationToken: Cancelled);
        Assert.DoesNotContain(after, ports.Keys);
        await Eventually.TrueAsync(
            async () => await standby.ExecuteAsync("SELECT to_regclass('written') IS NOT NULL") is true, cancellationToken: Cancelled);

        await servers.Primary.StopAsync();
        try
        {
            await standby.ExecuteAsync("SELECT pg_promote()", cancellationToken: Cancelled);

            await Eventually.TrueAsync(() => ports.GetValueOrDefault(after) > 20, cancellationToken: Cancelled);
            Assert.Equal(
                $"{servers.Primary.Port} down; {standby.Port} up",
                await PrimaryAndStandby.ShowAsync(pooler, "SELECT port, state FROM SHOW HOSTS"));
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(writers);
            await servers.Primary.StartAgainAsync(CancellationToken.None);
        }
    }

    [Fact]
    public async Task Readers_leave_a_standby_that_is_promoted()
    {
        await using var promoted = await servers.NewStandbyAsync();
        await using var pooler = PrimaryAndStandby.Start(
            [promoted.Port, servers.Standby.Port], d => d with { TargetSessionAttrs = TargetSessionAttrs.Standby, LoadBalanceHosts = "disable" });
        using var client = await pooler.LoginAsync("postgres");
        using var busy = await pooler.LoginAsync("postgres");
        Assert.Equal(promoted.Port.ToString(), await client.ScalarAsync("SELECT inet_server_port()"));
        await busy.Query("BEGIN").AskAsync();
        Assert.Equal(promoted.Port.ToString(), await busy.ScalarAsync("SELECT inet_server_port()"));

        await promoted.ExecuteAsync("SELECT pg_promote()", cancellationToken: Cancelled);

        await Eventually.TrueAsync(
            async () => await client.ScalarAsync("SELECT inet_server_port()") == servers.Standby.Port.ToString(), cancellationToken: Cancelled);
        // A transaction stays where it is, and its client goes to the other host afterwards.
        Assert.Equal(promoted.Port.ToString(), await busy.ScalarAsync("SELECT inet_server_port()"));
        await busy.Query("COMMIT").AskAsync();
        Assert.Equal(servers.Standby.Port.ToString(), await busy.ScalarAsync("SELECT inet_server_port()"));
        Assert.Equal(
            $"{promoted.Port} unfit primary; {servers.Standby.Port} up standby",
            await PrimaryAndStandby.ShowAsync(pooler, "SELECT port, state, role FROM SHOW HOSTS"));
    }

    [Fact]
    public async Task A_primary_that_is_made_read_only_loses_its_writers()
    {
        await using var other = await servers.NewStandbyAsync();
        await other.ExecuteAsync("SELECT pg_promote()", cancellationToken: Cancelled);
        await using var pooler = PrimaryAndStandby.Start(
            [other.Port, servers.Primary.Port], d => d with { TargetSessionAttrs = TargetSessionAttrs.ReadWrite, LoadBalanceHosts = "disable" });
        using var client = await pooler.LoginAsync("postgres");
        Assert.Equal(other.Port.ToString(), await client.ScalarAsync("SELECT inet_server_port()"));

        await other.ExecuteAsync("ALTER SYSTEM SET default_transaction_read_only = on", cancellationToken: Cancelled);
        await other.ReloadAsync(Cancelled);

        await Eventually.TrueAsync(async () =>
        {
            await client.Query("CREATE TEMP TABLE t (a int)").SendAsync();
            await client.ReadToReadyAsync();
            return await client.ScalarAsync("SELECT inet_server_port()") == servers.Primary.Port.ToString();
        }, cancellationToken: Cancelled);
    }

    /// <summary>Writes as an application does that tries again after an error, until it is stopped.</summary>
    private static async Task WriteAsync(
        RunningPooler pooler, int client, System.Collections.Concurrent.ConcurrentDictionary<string, int> ports, CancellationToken stop)
    {
        RawClient? connection = null;
        for (var value = 0; !stop.IsCancellationRequested; value++)
        {
            try
            {
                connection ??= await pooler.LoginAsync("postgres");
                await connection.Query($"INSERT INTO written VALUES ({client}, {value}) RETURNING inet_server_port()").SendAsync();
                var answer = await connection.ReadToReadyAsync();
                if (answer.FirstOrDefault(m => m.Type == 'D') is { } row) ports.AddOrUpdate(row.Cells()[0]!, 1, (_, count) => count + 1);
                if (answer[^1].Type == 'Z') continue;
            }
            catch (Exception e) when (e is InvalidOperationException or IOException or System.Net.Sockets.SocketException or EndOfStreamException)
            {
                // Refused, or thrown out: connects again.
            }
            connection?.Dispose();
            connection = null;
        }
        connection?.Dispose();
    }
}
