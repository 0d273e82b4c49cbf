using LocalRun.Processes;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Hosts;

/// <summary>Lists of hosts some of which are down, or not what is wanted.</summary>
[Collection(nameof(PrimaryAndStandby))]
public sealed class HostListTests(PrimaryAndStandby servers)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    private int Primary => servers.Primary.Port;

    private int Standby => servers.Standby.Port;

    [Fact]
    public async Task A_host_that_is_down_is_passed_over_and_clients_notice_nothing()
    {
        using var log = new RecordingLog();
        var dead = Ports.Take();
        // Long enough that nobody tries it a second time.
        await using var pooler = PrimaryAndStandby.Start([dead, Primary], settings: s => s with { ServerLoginRetry = TimeSpan.FromMinutes(1) }, log: log);
        using var client = await pooler.LoginAsync("postgres");
        for (var i = 0; i < 6; i++)
        {
            Assert.Equal(Primary.ToString(), await client.ScalarAsync("SELECT inet_server_port()"));
            pooler.Engine.Reconnect(null);
        }

        Assert.Single(log.Lines, l => l.Contains("server login failed", StringComparison.Ordinal));
        Assert.Equal(
            $"postgres 127.0.0.1 {dead} 127.0.0.1 down any; postgres 127.0.0.1 {Primary} 127.0.0.1 up any",
            await PrimaryAndStandby.ShowAsync(pooler, "SELECT database, host, port, address, state, target_session_attrs FROM SHOW HOSTS"));
        Assert.Contains("refused", await PrimaryAndStandby.ShowAsync(pooler, "SELECT last_error FROM SHOW HOSTS WHERE state = 'down'"), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_host_that_starts_later_is_found_and_used()
    {
        await servers.Standby.StopAsync();
        try
        {
            await using var pooler = PrimaryAndStandby.Start([Standby, Primary], settings: s => s with { ServerLifetime = TimeSpan.Zero });
            using var client = await pooler.LoginAsync("postgres");
            Assert.Equal(Primary.ToString(), await client.ScalarAsync("SELECT inet_server_port()"));
            await servers.Standby.StartAgainAsync(Cancelled);

            await Eventually.TrueAsync(
                async () => await client.ScalarAsync("SELECT inet_server_port()") == Standby.ToString(), cancellationToken: Cancelled);
        }
        finally
        {
            if (!await AnswersAsync()) await servers.Standby.StartAgainAsync(CancellationToken.None);
        }
    }

    [Theory]
    [InlineData(TargetSessionAttrs.ReadWrite, true)]
    [InlineData(TargetSessionAttrs.Primary, true)]
    [InlineData(TargetSessionAttrs.ReadOnly, false)]
    [InlineData(TargetSessionAttrs.Standby, false)]
    [InlineData(TargetSessionAttrs.PreferStandby, false)]
    public async Task Target_session_attrs_chooses_the_host_wherever_it_stands_in_the_list(TargetSessionAttrs wanted, bool isPrimary)
    {
        var expected = isPrimary ? Primary : Standby;
        foreach (var ports in new[] { new[] { Primary, Standby }, [Standby, Primary] })
        {
            await using var pooler = PrimaryAndStandby.Start(ports, d => d with { TargetSessionAttrs = wanted });
            using var first = await pooler.LoginAsync("postgres");
            using var second = await pooler.LoginAsync("postgres");
            foreach (var client in new[] { first, second })
            {
                await client.Query("BEGIN").AskAsync();
                Assert.Equal(expected.ToString(), await client.ScalarAsync("SELECT inet_server_port()"));
            }
            Assert.Contains($"up {(isPrimary ? "primary" : "standby")}", await PrimaryAndStandby.ShowAsync(pooler, "SELECT state, role FROM SHOW HOSTS"), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Prefer_standby_takes_the_primary_when_there_is_no_standby()
    {
        await using var pooler = PrimaryAndStandby.Start([Ports.Take(), Primary], d => d with { TargetSessionAttrs = TargetSessionAttrs.PreferStandby });
        using var client = await pooler.LoginAsync("postgres");

        Assert.Equal(Primary.ToString(), await client.ScalarAsync("SELECT inet_server_port()"));
    }

    [Fact]
    public async Task When_no_host_will_do_the_reason_is_told_for_each()
    {
        var dead = Ports.Take();
        await using var pooler = PrimaryAndStandby.Start([Standby, dead], settings: s => s with { TargetSessionAttrs = TargetSessionAttrs.Primary });

        var error = await pooler.WaitInVainAsync("postgres", Cancelled);

        Assert.Contains($"127.0.0.1:{Standby}: server is in hot standby mode", error, StringComparison.Ordinal);
        Assert.Contains($"127.0.0.1:{dead}: could not connect", error, StringComparison.Ordinal);
        Assert.Contains($"{Standby} unfit standby", await PrimaryAndStandby.ShowAsync(pooler, "SELECT port, state, role FROM SHOW HOSTS"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_reload_of_target_session_attrs_moves_the_servers()
    {
        await using var pooler = PrimaryAndStandby.Start([Primary, Standby], d => d with { TargetSessionAttrs = TargetSessionAttrs.Primary });
        using var client = await pooler.LoginAsync("postgres");
        Assert.Equal("f", await client.ScalarAsync("SELECT pg_is_in_recovery()"));

        pooler.Reload(c => c with
        {
            Databases = new Dictionary<string, DatabaseSettings> { ["postgres"] = c.Databases["postgres"] with { TargetSessionAttrs = TargetSessionAttrs.Standby } },
        });

        await Eventually.TrueAsync(async () => await client.ScalarAsync("SELECT pg_is_in_recovery()") == "t", cancellationToken: Cancelled);
    }

    private async Task<bool> AnswersAsync()
    {
        try
        {
            return await servers.Standby.ExecuteAsync("SELECT true") is true;
        }
        catch (Npgsql.NpgsqlException)
        {
            return false;
        }
    }
}
