using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Xunit;

namespace AppHost.Tests;

public sealed class PoolerSettingsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, string, Action<IResourceBuilder<PoolerResource>>> Settings => new()
    {
        { "pool_mode", "session", pooler => pooler.WithPoolMode(PoolMode.Session) },
        { "pool_mode", "statement", pooler => pooler.WithPoolMode(PoolMode.Statement) },
        { "pool_mode", "transaction", pooler => pooler.WithPoolMode(PoolMode.Session).WithPoolMode(PoolMode.Transaction) },
        { "default_pool_size", "25", pooler => pooler.WithPoolSize(25) },
        { "min_pool_size", "0", pooler => pooler.WithPoolSize(25, minimum: 0) },
        { "reserve_pool_size", "5", pooler => pooler.WithPoolSize(25, reserve: 5) },
        { "reserve_pool_timeout", "2.5", pooler => pooler.WithPoolSize(25, reserve: 5, reserveTimeout: TimeSpan.FromSeconds(2.5)) },
        { "max_client_conn", "1000", pooler => pooler.WithMaxClientConnections(1000) },
        { "max_db_connections", "0", pooler => pooler.WithMaxDatabaseConnections(0) },
        { "max_user_connections", "40", pooler => pooler.WithMaxUserConnections(40) },
        { "max_prepared_statements", "0", pooler => pooler.WithMaxPreparedStatements(0) },
        { "server_idle_timeout", "600", pooler => pooler.WithServerIdleTimeout(TimeSpan.FromMinutes(10)) },
        { "server_lifetime", "3600", pooler => pooler.WithServerLifetime(TimeSpan.FromHours(1)) },
        { "server_connect_timeout", "0.25", pooler => pooler.WithServerConnectTimeout(TimeSpan.FromMilliseconds(250)) },
        { "server_login_retry", "1", pooler => pooler.WithServerLoginRetry(TimeSpan.FromSeconds(1)) },
        { "server_check_query", "select 1", pooler => pooler.WithServerCheck("select 1") },
        { "server_check_delay", "30", pooler => pooler.WithServerCheck("select 1", TimeSpan.FromSeconds(30)) },
        { "server_reset_query", "DISCARD ALL", pooler => pooler.WithServerResetQuery("DISCARD ALL") },
        { "query_wait_timeout", "120", pooler => pooler.WithQueryWaitTimeout(TimeSpan.FromMinutes(2)) },
        { "query_timeout", "0", pooler => pooler.WithQueryTimeout(TimeSpan.Zero) },
        { "idle_transaction_timeout", "60", pooler => pooler.WithIdleTransactionTimeout(TimeSpan.FromMinutes(1)) },
        { "client_idle_timeout", "90000", pooler => pooler.WithClientIdleTimeout(TimeSpan.FromHours(25)) },
        { "client_login_timeout", "15", pooler => pooler.WithClientLoginTimeout(TimeSpan.FromSeconds(15)) },
        { "stats_period", "10", pooler => pooler.WithStatsPeriod(TimeSpan.FromSeconds(10)) },
        { "slow_query_time", "0.25", pooler => pooler.WithSlowQueryTime(TimeSpan.FromMilliseconds(250)) },
        { "log_slow_queries", "1", pooler => pooler.WithSlowQueryTime(TimeSpan.FromSeconds(1), log: true) },
        { "slow_wait_time", "0", pooler => pooler.WithSlowWaitTime(TimeSpan.Zero) },
        { "log_slow_waits", "0", pooler => pooler.WithSlowWaitTime(TimeSpan.FromSeconds(1), log: false) },
        { "admin_users", "ann, bob", pooler => pooler.WithAdminUsers("ann", "bob") },
        { "stats_users", "eve", pooler => pooler.WithStatsUsers("eve") },
        { "event_loops", "2", pooler => pooler.WithEventLoops(2) },
        { "io_backend", "sockets", pooler => pooler.WithIoBackend(PoolerIoBackend.Sockets) },
        { "transaction_timeout", "5", pooler => pooler.WithSetting("transaction_timeout", "5") },
        { "transaction_timeout", "6", pooler => pooler.WithSetting("Transaction_Timeout", "6") },
    };

    [Theory]
    [MemberData(nameof(Settings), DisableDiscoveryEnumeration = true)]
    public async Task A_setting_becomes_the_environment_variable_of_its_name(
        string setting, string value, Action<IResourceBuilder<PoolerResource>> configure)
    {
        var builder = Model.PublishMode();
        var pooler = builder.AddServer().AddPooler();

        configure(pooler);

        var environment = await pooler.Resource.EnvironmentAsync(builder.ExecutionContext, Token);
        Assert.Equal(value, environment["POOLER_" + setting.ToUpperInvariant()]);
        Assert.Equal(value, pooler.Resource.Settings[setting]);
    }

    [Fact]
    public async Task A_setting_that_is_not_mentioned_is_left_to_the_pooler()
    {
        var builder = Model.PublishMode();
        var pooler = builder.AddServer().AddPooler().WithPoolSize(25);

        var environment = await pooler.Resource.EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.Equal(["pool_mode", "auth_type", "default_pool_size"], pooler.Resource.Settings.Keys);
        Assert.DoesNotContain("POOLER_MIN_POOL_SIZE", environment.Keys);
    }

    [Fact]
    public async Task A_parameter_or_an_expression_stays_one_when_published()
    {
        var builder = Model.PublishMode();
        var secret = builder.AddParameter("file", secret: true);
        var pooler = builder.AddServer().AddPooler()
            .WithSetting("auth_file", secret)
            .WithSetting("auth_user", ReferenceExpression.Create($"user-{secret}"));

        var environment = await pooler.Resource.EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.Equal("{file.value}", environment["POOLER_AUTH_FILE"]);
        Assert.Equal("user-{file.value}", environment["POOLER_AUTH_USER"]);
    }

    public static TheoryData<string, Action<IResourceBuilder<PoolerResource>>> OutOfRange => new()
    {
        { "mode", pooler => pooler.WithPoolMode((PoolMode)9) },
        { "size", pooler => pooler.WithPoolSize(0) },
        { "minimum", pooler => pooler.WithPoolSize(5, minimum: -1) },
        { "minimum", pooler => pooler.WithPoolSize(5, minimum: 6) },
        { "reserve", pooler => pooler.WithPoolSize(5, reserve: -1) },
        { "reserveTimeout", pooler => pooler.WithPoolSize(5, reserveTimeout: TimeSpan.FromSeconds(-1)) },
        { "count", pooler => pooler.WithMaxClientConnections(0) },
        { "count", pooler => pooler.WithMaxDatabaseConnections(-1) },
        { "count", pooler => pooler.WithMaxUserConnections(-1) },
        { "count", pooler => pooler.WithMaxPreparedStatements(-1) },
        { "timeout", pooler => pooler.WithServerIdleTimeout(TimeSpan.FromTicks(-1)) },
        { "lifetime", pooler => pooler.WithServerLifetime(TimeSpan.FromTicks(-1)) },
        { "timeout", pooler => pooler.WithServerConnectTimeout(TimeSpan.FromTicks(-1)) },
        { "delay", pooler => pooler.WithServerLoginRetry(TimeSpan.FromTicks(-1)) },
        { "delay", pooler => pooler.WithServerCheck("select 1", TimeSpan.FromTicks(-1)) },
        { "timeout", pooler => pooler.WithQueryWaitTimeout(TimeSpan.FromTicks(-1)) },
        { "timeout", pooler => pooler.WithQueryTimeout(TimeSpan.FromTicks(-1)) },
        { "timeout", pooler => pooler.WithIdleTransactionTimeout(TimeSpan.FromTicks(-1)) },
        { "timeout", pooler => pooler.WithClientIdleTimeout(TimeSpan.FromTicks(-1)) },
        { "timeout", pooler => pooler.WithClientLoginTimeout(TimeSpan.FromTicks(-1)) },
        { "period", pooler => pooler.WithStatsPeriod(TimeSpan.Zero) },
        { "period", pooler => pooler.WithStatsPeriod(TimeSpan.FromSeconds(1.5)) },
        { "time", pooler => pooler.WithSlowQueryTime(TimeSpan.FromTicks(-1)) },
        { "time", pooler => pooler.WithSlowWaitTime(TimeSpan.FromTicks(-1)) },
        { "count", pooler => pooler.WithEventLoops(-1) },
        { "backend", pooler => pooler.WithIoBackend((PoolerIoBackend)9) },
    };

    [Theory]
    [MemberData(nameof(OutOfRange), DisableDiscoveryEnumeration = true)]
    public void A_value_out_of_range_is_refused(string parameter, Action<IResourceBuilder<PoolerResource>> configure)
    {
        var pooler = Model.RunMode().AddServer().AddPooler();

        Assert.Throws<ArgumentOutOfRangeException>(parameter, () => configure(pooler));
    }

    [Fact]
    public void A_refused_pool_size_changes_nothing()
    {
        var pooler = Model.RunMode().AddServer().AddPooler();

        Assert.Throws<ArgumentOutOfRangeException>(() => pooler.WithPoolSize(5, minimum: -1, reserve: 3));

        Assert.Equal(["pool_mode", "auth_type"], pooler.Resource.Settings.Keys);
    }

    [Theory]
    [InlineData("")]
    [InlineData("pool mode")]
    [InlineData("pool-mode")]
    [InlineData("9lives")]
    [InlineData("max_client_conn=1")]
    public void What_is_no_name_of_a_setting_is_refused(string name)
    {
        var pooler = Model.RunMode().AddServer().AddPooler();

        Assert.Throws<ArgumentException>("name", () => pooler.WithSetting(name, "1"));
    }

    [Theory]
    [InlineData("listen_addr")]
    [InlineData("listen_port")]
    [InlineData("http_addr")]
    [InlineData("http_port")]
    [InlineData("http_admin_port")]
    [InlineData("HTTP_ADMIN_KEY")]
    public void Settings_that_the_endpoints_make_are_refused(string name)
    {
        var pooler = Model.RunMode().AddServer().AddPooler();

        var exception = Assert.Throws<ArgumentException>("name", () => pooler.WithSetting(name, "1"));

        Assert.Contains("endpoint", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void User_lists_need_names_without_commas()
    {
        var pooler = Model.RunMode().AddServer().AddPooler();

        Assert.Throws<ArgumentException>("users", () => pooler.WithAdminUsers());
        Assert.Throws<ArgumentException>("users", () => pooler.WithAdminUsers("ann", " "));
        Assert.Throws<ArgumentException>("users", () => pooler.WithStatsUsers("ann,bob"));
    }

    [Fact]
    public void Empty_queries_are_refused()
    {
        var pooler = Model.RunMode().AddServer().AddPooler();

        Assert.Throws<ArgumentException>("query", () => pooler.WithServerCheck(" "));
        Assert.Throws<ArgumentException>("query", () => pooler.WithServerResetQuery(""));
    }
}
