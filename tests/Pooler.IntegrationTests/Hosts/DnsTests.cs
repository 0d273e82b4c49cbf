using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Hosts;

/// <summary>Host names, with a name server whose answers change.</summary>
[Collection(nameof(PrimaryAndStandby))]
public sealed class DnsTests(PrimaryAndStandby servers)
{
    private const string WhereAmI = "SELECT host(inet_server_addr())";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Servers_move_when_the_name_does()
    {
        SkipOnWindows();
        await using var names = await NameServer.StartAsync(Cancelled, "127.0.0.1 db.pool.test");
        await using var pooler = Start("db.pool.test", names.Settings);
        using var client = await pooler.LoginAsync("postgres");
        using var busy = await pooler.LoginAsync("postgres");
        await busy.Query("BEGIN").AskAsync();
        Assert.Equal("127.0.0.1", await busy.ScalarAsync(WhereAmI));
        Assert.Equal("127.0.0.1", await client.ScalarAsync(WhereAmI));
        Assert.Equal("db.pool.test 127.0.0.1:0", await PrimaryAndStandby.ShowAsync(pooler, "SELECT hostname, addrs FROM SHOW DNS_HOSTS"));

        await names.ChangeAsync("127.0.0.2 db.pool.test");

        await Eventually.TrueAsync(async () => await client.ScalarAsync(WhereAmI) == "127.0.0.2", cancellationToken: Cancelled);
        Assert.Equal("127.0.0.1", await busy.ScalarAsync(WhereAmI));
        await busy.Query("COMMIT").AskAsync();
        Assert.Equal("127.0.0.2", await busy.ScalarAsync(WhereAmI));
        Assert.Equal("db.pool.test 127.0.0.2:0", await PrimaryAndStandby.ShowAsync(pooler, "SELECT hostname, addrs FROM SHOW DNS_HOSTS"));
        Assert.Equal("127.0.0.2 up", await PrimaryAndStandby.ShowAsync(pooler, "SELECT address, state FROM SHOW HOSTS WHERE servers > 0"));
    }

    [Fact]
    public async Task A_changed_serial_has_the_zones_names_looked_up_before_their_time()
    {
        SkipOnWindows();
        await using var names = await NameServer.StartAsync(Cancelled, "127.0.0.1 db.pool.test");
        await using var pooler = Start("db.pool.test", s => names.Settings(s) with
        {
            DnsMaxTtl = TimeSpan.FromHours(1), DnsZoneCheckPeriod = TimeSpan.FromMilliseconds(200),
        });
        using var client = await pooler.LoginAsync("postgres");
        Assert.Equal("127.0.0.1", await client.ScalarAsync(WhereAmI));
        await Eventually.TrueAsync(
            async () => await PrimaryAndStandby.ShowAsync(pooler, "SHOW DNS_ZONES") == "pool.test 7 1", cancellationToken: Cancelled);

        await names.ChangeAsync("127.0.0.2 db.pool.test");

        await Eventually.TrueAsync(async () => await client.ScalarAsync(WhereAmI) == "127.0.0.2", cancellationToken: Cancelled);
        Assert.Equal("pool.test 8 1", await PrimaryAndStandby.ShowAsync(pooler, "SHOW DNS_ZONES"));
        Assert.Equal("dns_names 1; dns_zones 1", await PrimaryAndStandby.ShowAsync(pooler, "SELECT * FROM SHOW LISTS WHERE list IN ('dns_names', 'dns_zones')"));
    }

    [Fact]
    public async Task All_addresses_of_a_name_are_used_but_those_that_are_down()
    {
        SkipOnWindows();
        // Nobody listens on the third. The name is a short one: the domain comes from resolv.conf.
        await using var names = await NameServer.StartAsync(
            Cancelled, "127.0.0.1 db.pool.test", "127.0.0.2 db.pool.test", "127.0.0.3 db.pool.test");
        await using var pooler = Start("db", s => names.Settings(s) with { ServerLifetime = TimeSpan.Zero });
        using var client = await pooler.LoginAsync("postgres");
        var seen = new HashSet<string?>();
        for (var i = 0; i < 12; i++) seen.Add(await client.ScalarAsync(WhereAmI));

        Assert.Equal(["127.0.0.1", "127.0.0.2"], seen.Order());
        Assert.Equal(
            "127.0.0.1 up; 127.0.0.2 up; 127.0.0.3 down",
            await PrimaryAndStandby.ShowAsync(pooler, "SELECT address, state FROM SHOW HOSTS ORDER BY address"));
    }

    [Fact]
    public async Task A_name_that_does_not_exist_is_an_error_until_it_does()
    {
        SkipOnWindows();
        using var log = new RecordingLog();
        await using var names = await NameServer.StartAsync(Cancelled, "127.0.0.1 other.pool.test");
        await using var pooler = Start("db.pool.test", names.Settings, log);
        Assert.Contains("could not translate host name \"db.pool.test\"", await pooler.WaitInVainAsync("postgres", Cancelled), StringComparison.Ordinal);
        await Eventually.TrueAsync(
            () => log.Lines.Any(l => l.Contains("closing because: server DNS lookup failed", StringComparison.Ordinal)), cancellationToken: Cancelled);

        await names.ChangeAsync("127.0.0.1 db.pool.test");

        await Eventually.TrueAsync(async () =>
        {
            using var client = await pooler.LoginAsync("postgres");
            return await client.ScalarAsync(WhereAmI) == "127.0.0.1";
        }, cancellationToken: Cancelled);
    }

    [Theory, InlineData("localhost"), InlineData("nowhere.invalid,127.0.0.1")]
    public async Task The_operating_systems_resolver_is_asked_by_default(string host)
    {
        await using var pooler = Start(host, s => s);
        using var client = await pooler.LoginAsync("postgres");

        Assert.Equal("127.0.0.1", await client.ScalarAsync(WhereAmI));
    }

    private static void SkipOnWindows() => Assert.SkipWhen(OperatingSystem.IsWindows(), "dnsmasq is not to be had there.");

    private RunningPooler Start(string host, Func<PoolerSettings, PoolerSettings> settings, RecordingLog? log = null) =>
        PrimaryAndStandby.Start([servers.Primary.Port], d => d with { Host = host }, settings, log);
}
