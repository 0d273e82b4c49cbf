using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Configuration;

public sealed class ConfigurationAdviceTests : IDisposable
{
    private readonly ThrowawayFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    // One database, one forced user.
    [InlineData("a = host=h user=u", "", "", 20, false)]
    [InlineData("a = host=h user=u pool_size=5 reserve_pool_size=2", "", "", 7, false)]
    // Each database and user has a pool of its own.
    [InlineData("a = host=h\nb = host=h", "u = pool_mode=session\nv = pool_size=3", "", 46, false)]
    [InlineData("a = host=h\nb = host=h max_db_connections=10", "u = pool_mode=session\nv = pool_size=3", "", 33, false)]
    [InlineData("a = host=h\nb = host=h", "u = max_user_connections=4\nv = pool_size=3", "", 10, false)]
    [InlineData("a = host=h\nb = host=h", "u = pool_mode=session", "max_db_connections = 12", 24, false)]
    [InlineData("a = host=h\nb = host=h", "u = pool_mode=session", "max_user_connections = 15\nreserve_pool_size = 5", 15, false)]
    // There may be more than those that are named.
    [InlineData("* = host=h", "u = pool_mode=session", "", 20, true)]
    [InlineData("a = host=h", "", "", 20, true)]
    [InlineData("a = host=h auth_user=asker", "u = pool_mode=session", "", 20, true)]
    // Without any limit.
    [InlineData("a = host=h", "u = pool_mode=session", "default_pool_size = 0", null, false)]
    [InlineData("a = host=h", "u = pool_mode=session", "default_pool_size = 0\nmax_db_connections = 30", 30, false)]
    public void The_demand_on_a_server_is_the_sum_of_its_pools_within_the_limits(string databases, string users, string settings, int? expected, bool atLeast)
    {
        var demand = Assert.Single(ConnectionDemand.Of(Read($"[databases]\n{databases}\n[users]\n{users}\n[pgbouncer]\n{settings}\n").Configuration!));
        Assert.Equal((expected, atLeast, "h:5432"), (demand.Connections, demand.IsAtLeast, demand.Server));
    }

    [Fact]
    public void Each_server_has_a_demand_of_its_own()
    {
        var demands = ConnectionDemand.Of(Read("[databases]\na = host=h user=u\nb = host=h port=5433 user=u pool_size=3\nc = user=u\n[pgbouncer]\n").Configuration!);
        Assert.Equal(["h:5432 20", "h:5433 3", "local socket:5432 20"], demands.Select(d => $"{d.Server} {d.Connections}").Order());
    }

    [Theory]
    [InlineData(14, 20, false)]
    [InlineData(15, 20, true)]
    [InlineData(null, 20, true)]
    public void More_than_seventy_percent_of_the_servers_connections_are_warned_of(int? demand, int maxConnections, bool warned)
    {
        var issue = ConfigurationAdvice.OnServer(new ConnectionDemand("h", 5432, demand, false, []), maxConnections);
        Assert.Equal(warned, issue is not null);
        if (issue is not null) Assert.Contains($"max_connections = {maxConnections}", issue.Message);
    }

    [Theory]
    [InlineData("default_pool_size = 0", "default_pool_size: 0 leaves pools without a limit")]
    [InlineData("max_db_connections = 10", "default_pool_size: 20 is never reached")]
    [InlineData("max_client_conn = 900", "max_client_conn: 900 clients and 20 server connections need more than the 1000 file descriptors")]
    [InlineData("pool_mode = transaction\nmax_prepared_statements = 0", "max_prepared_statements: 0 makes prepared statements of drivers fail")]
    [InlineData("query_wait_timeout = 0", "query_wait_timeout: 0 lets clients wait")]
    [InlineData("reserve_pool_size = 1\nreserve_pool_timeout = 0", "reserve_pool_timeout: 0 switches the reserve off")]
    [InlineData("reserve_pool_size = 1\nreserve_pool_timeout = 120", "reserve_pool_timeout: not below query_wait_timeout")]
    [InlineData("server_lifetime = 0", "server_lifetime: 0 uses each server connection once")]
    [InlineData("server_lifetime = 10", "server_lifetime: server connections are replaced every 10 seconds")]
    [InlineData("pool_mode = session\nserver_reset_query =", "server_reset_query: empty lets a session see")]
    [InlineData("auth_type = trust\nlisten_addr = *", "auth_type: trust asks for no password")]
    [InlineData("server_tls_sslmode = verify-ca", "server_tls_sslmode: verify-ca without server_tls_ca_file")]
    [InlineData("auth_user = u", "database a: its forced user u is also an auth_user")]
    [InlineData("min_pool_size = 30", "database a: min_pool_size 30 is above the pool's size 20")]
    public void Harmful_settings_are_named_with_their_place(string settings, string expected)
    {
        var advice = Advice($"[databases]\na = host=h user=u\n[pgbouncer]\n{settings}\n");
        Assert.Contains(advice, a => a.Message.StartsWith(expected, StringComparison.Ordinal) && (a.Where?.Contains(".ini:", StringComparison.Ordinal) ?? expected.StartsWith("default_pool_size: 20", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_good_configuration_needs_no_advice() =>
        Assert.Empty(Advice("[databases]\na = host=h user=u\n[pgbouncer]\npool_mode = transaction\nmax_client_conn = 500\n"));

    [Theory]
    [InlineData("host=127.0.0.1 pool_size=33", true)]
    [InlineData("host=127.0.0.1 pool_size=32", false)]
    [InlineData("user=u pool_size=33", true)]
    [InlineData("host=db.example pool_size=33", false)]
    public void Pools_far_beyond_the_cores_are_named_where_the_server_is_this_machine(string database, bool warned) =>
        Assert.Equal(warned, Advice($"[databases]\na = {database}\n[pgbouncer]\n").Any(a => a.Message.Contains("connections per core", StringComparison.Ordinal)));

    [Fact]
    public void An_auth_file_that_everybody_can_read_is_named()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no such modes");
        var file = _files.Write("userlist.txt", "\"u\" \"p\"\n");
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        Assert.Contains(Advice($"[databases]\na = host=h\n[pgbouncer]\nauth_file = {file}\n"), a => a.Message.Contains("can be read by every user", StringComparison.Ordinal));
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.GroupRead);
        Assert.DoesNotContain(Advice($"[databases]\na = host=h\n[pgbouncer]\nauth_file = {file}\n"), a => a.Message.Contains("auth_file", StringComparison.Ordinal));
    }

    private ConfigurationIssue[] Advice(string file) => [.. ConfigurationAdvice.OnSettings(Read(file), cores: 4, descriptors: 1000)];

    private ConfigurationResult Read(string file)
    {
        var result = _files.Load(file);
        Assert.Empty(result.Errors);
        return result;
    }
}
