using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Configuration;

public sealed class EnvironmentTests : IDisposable
{
    private readonly ThrowawayFiles _files = new();

    public void Dispose() => _files.Dispose();

    private static PoolerConfiguration Good(params (string Name, string Value)[] environment)
    {
        var result = ThrowawayFiles.LoadEnvironment([("DATABASES_HOST", "db"), .. environment]);
        Assert.Empty(result.Errors);
        return result.Configuration!;
    }

    [Theory]
    [InlineData("POOL_MODE")]
    [InlineData("PGBOUNCER_POOL_MODE")]
    [InlineData("POOLER_POOL_MODE")]
    [InlineData("Pooler__PoolMode")]
    [InlineData("Pooler__pool_mode")]
    [InlineData("POOLER__POOLMODE")]
    public void A_setting_is_found_in_every_spelling(string name) =>
        Assert.Equal(PoolMode.Statement, Good((name, "statement")).Settings.PoolMode);

    [Fact]
    public void Settings_of_the_guides_are_understood()
    {
        var settings = Good(
            ("POOL_MODE", "transaction"), ("MAX_CLIENT_CONN", "1000"), ("DEFAULT_POOL_SIZE", "25"), ("MIN_POOL_SIZE", "5"),
            ("RESERVE_POOL_SIZE", "5"), ("MAX_DB_CONNECTIONS", "50"), ("SERVER_IDLE_TIMEOUT", "600"), ("SERVER_LIFETIME", "3600"),
            ("PGBOUNCER_SERVER_TLS_SSLMODE", "disable")).Settings;
        Assert.Equal((1000, 25, 5, 5, 50), (settings.MaxClientConn, settings.DefaultPoolSize, settings.MinPoolSize, settings.ReservePoolSize, settings.MaxDbConnections));
    }

    [Fact]
    public void The_most_specific_spelling_wins()
    {
        (string, string)[] all = [("POOLER_DEFAULT_POOL_SIZE", "4"), ("Pooler__DefaultPoolSize", "3"), ("PGBOUNCER_DEFAULT_POOL_SIZE", "2"), ("DEFAULT_POOL_SIZE", "1")];
        for (var strongest = 0; strongest < all.Length; strongest++)
            Assert.Equal(4 - strongest, Good(all[strongest..]).Settings.DefaultPoolSize);
    }

    [Theory]
    [InlineData("USER", "user")]
    [InlineData("VERBOSE", "verbose")]
    [InlineData("LOGFILE", "logfile")]
    [InlineData("PIDFILE", "pidfile")]
    [InlineData("SYSLOG", "syslog")]
    [InlineData("CONFFILE", "conffile")]
    [InlineData("HTTP_PORT", "http_port")]
    [InlineData("PGBOUNCER_USER", "user")]
    [InlineData("pool_mode", "pool_mode")]
    public void Names_that_belong_to_others_are_left_alone(string variable, string setting)
    {
        var shown = SettingsTable.Describe(Good((variable, "9")).Settings).Single(r => r.Key == setting);
        Assert.Equal(SettingsTable.Describe(new PoolerSettings()).Single(r => r.Key == setting).Value, shown.Value);
    }

    [Fact]
    public void What_a_service_link_or_an_application_sets_is_no_mistake()
    {
        var result = ThrowawayFiles.LoadEnvironment(
            ("DATABASES_HOST", "db"), ("DATABASES_USER", "u"), ("DATABASES_PASSWORD", "p"),
            ("POOLER_PORT", "tcp://10.0.0.1:6432"), ("POOLER_SERVICE_HOST", "10.0.0.1"), ("POOLER_PORT_6432_TCP_PORT", "6432"), ("PGBOUNCER_PASSWORD", "x"));
        Assert.Empty(result.Errors);
        Assert.Empty(result.Warnings);
    }

    [Fact]
    public void A_mistyped_prefixed_name_is_warned_of()
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASES_HOST", "db"), ("POOLER_POL_MODE", "session"));
        Assert.Contains("environment variable POOLER_POL_MODE: unknown setting pol_mode; did you mean pool_mode?", result.Warnings.Select(w => w.ToString()));
    }

    [Fact]
    public void A_mistyped_hierarchical_name_is_an_error()
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASES_HOST", "db"), ("Pooler__PolMode", "session"));
        Assert.Equal("environment variable Pooler__PolMode: unknown setting PolMode; did you mean pool_mode?", Assert.Single(result.Errors).ToString());
    }

    [Fact]
    public void A_wrong_value_names_the_variable_and_a_secret_is_not_repeated()
    {
        var result = ThrowawayFiles.LoadEnvironment(
            ("DATABASES_HOST", "db"), ("DATABASES_PASSWORD", "hunter2"), ("DATABASES_PORT", "many"), ("MAX_CLIENT_CONN", "lots"), ("DATABASE_URL", "mysql://root:hunter2@db/x"));
        Assert.Equal(
            ["environment variable DATABASE_URL: expected postgres://user:password@host:port/dbname",
             "environment variable MAX_CLIENT_CONN: max_client_conn = \"lots\": allowed: a whole number from 0 up",
             "environment variable DATABASES_PORT: database *: port = \"many\": allowed: a whole number from 1 to 65535, or a comma list of them"],
            result.Errors.Select(e => e.ToString()));
    }

    [Fact]
    public void An_empty_variable_counts_as_not_set_except_for_texts()
    {
        var settings = Good(("POOL_MODE", ""), ("DEFAULT_POOL_SIZE", " "), ("SERVER_RESET_QUERY", "")).Settings;
        Assert.Equal((PoolMode.Transaction, 20, ""), (settings.PoolMode, settings.DefaultPoolSize, settings.ServerResetQuery));
    }

    [Fact]
    public void The_target_is_a_fallback_entry_whose_login_is_a_known_admin()
    {
        var configuration = Good(("DATABASES_PORT", "5433"), ("DATABASES_USER", "postgres"), ("DATABASES_PASSWORD", "it's"));
        var target = Assert.Single(configuration.Databases).Value;
        Assert.Equal(("*", "db", 5433, null, null), (target.Name, target.Host, target.Port, target.User, target.DbName));
        Assert.Equal("it's", configuration.Users["postgres"].Secret);
        Assert.Equal("postgres", configuration.Settings.AdminUsers);
        Assert.Equal("127.0.0.1", configuration.Settings.ListenAddr);
    }

    [Fact]
    public void A_named_target_is_found_under_its_name_and_given_admins_stay()
    {
        var configuration = Good(("DATABASES_DBNAME", "shop"), ("DATABASES_USER", "app"), ("POOLER_ADMIN_USERS", "root"), ("DATABASES_POOL_SIZE", "9"));
        Assert.Equal(("shop", "shop", 9), (configuration.Databases["shop"].Name, configuration.Databases["shop"].DbName, configuration.Databases["shop"].PoolSize));
        Assert.Equal("root", configuration.Settings.AdminUsers);
    }

    [Fact]
    public void Where_clients_prove_nothing_the_targets_login_is_forced()
    {
        var target = Good(("DATABASES_USER", "app"), ("DATABASES_PASSWORD", "p"), ("AUTH_TYPE", "any")).Databases["*"];
        Assert.Equal(("app", "p"), (target.User, target.Password));
    }

    [Theory]
    [InlineData("postgres://al%20ice:p%40ss%2Fw@db.example:6000/my%20shop", "al ice", "p@ss/w", "db.example", 6000, "my shop")]
    [InlineData("postgresql://alice:p@ss@db/shop", "alice", "p@ss", "db", 5432, "shop")]
    [InlineData("postgres://alice:pw@[::1]:6000/shop?sslmode=prefer", "alice", "pw", "::1", 6000, "shop")]
    [InlineData("postgres://alice:pw@[fd00::1]/shop", "alice", "pw", "fd00::1", 5432, "shop")]
    [InlineData("postgres://alice:pw@a,b/shop?application_name=x", "alice", "pw", "a,b", 5432, "shop")]
    [InlineData("postgres://alice:pw@/shop?host=/run/pg", "alice", "pw", "/run/pg", 5432, "shop")]
    public void A_database_url_is_taken_apart(string url, string user, string password, string host, int port, string database)
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASE_URL", url));
        Assert.Empty(result.Errors);
        var entry = result.Configuration!.Databases[database];
        Assert.Equal((host, port, database), (entry.Host, entry.Port, entry.DbName));
        Assert.Equal(password, result.Configuration.Users[user].Secret);
    }

    [Fact]
    public void A_database_url_may_name_several_hosts_with_their_ports_and_what_they_must_be()
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASE_URL", "postgres://alice:pw@a:6000,b,[::1]:6001/shop?target_session_attrs=primary"));
        Assert.Empty(result.Errors);
        var entry = result.Configuration!.Databases["shop"];
        Assert.Equal(("a,b,::1", "6000,5432,6001", TargetSessionAttrs.Primary), (entry.Host, entry.PortList, entry.TargetSessionAttrs));
    }

    [Fact]
    public void A_database_url_that_requires_tls_sets_the_mode_towards_servers()
    {
        Assert.Equal(SslMode.Require, ThrowawayFiles.LoadEnvironment(("DATABASE_URL", "postgres://u:p@h/d?sslmode=require")).Configuration!.Settings.ServerTlsSslMode);
        var wrong = ThrowawayFiles.LoadEnvironment(("DATABASE_URL", "postgres://u:p@h/d?sslmode=on"));
        Assert.Contains("environment variable DATABASE_URL: sslmode: server_tls_sslmode = \"on\": allowed: disable, allow, prefer, require, verify-ca, verify-full", wrong.Errors.Select(e => e.ToString()));
    }

    [Fact]
    public void Beside_a_file_a_bare_database_url_is_the_applications()
    {
        const string Ini = "[databases]\nshop = host=db\n";
        Assert.Equal(["shop"], _files.Load(Ini, ("DATABASE_URL", "postgres://u:p@pooler:6432/other")).Configuration!.Databases.Keys);
        Assert.Contains("other", _files.Load(Ini, ("POOLER_DATABASE_URL", "postgres://u:p@h/other")).Configuration!.Databases.Keys);
    }

    [Fact]
    public void The_environment_wins_over_the_file_which_wins_over_appsettings()
    {
        var sources = _files.Sources("[pgbouncer]\ndefault_pool_size = 2\nmin_pool_size = 2\n[databases]\nshop = host=file\n", ("DEFAULT_POOL_SIZE", "3"), ("Pooler__Databases__shop__Password", "p"));
        var settings = ConfigurationLoader.Load(sources with
        {
            Keys =
            [
                new("Pooler:DefaultPoolSize", "1"), new("Pooler:min_pool_size", "1"), new("Pooler:ReservePoolSize", "1"),
                new("Pooler:Databases:shop:Host", "json"), new("Pooler:Databases:wares", "host=json port=6000"),
                new("Pooler:Databases:shop", null), new("Logging:LogLevel", "x"), new("Pooler:Users:alice:Password", "secret"),
            ],
            CommandLine = new Dictionary<string, string> { ["verbose"] = "2" },
        });
        Assert.Empty(settings.Errors);
        var configuration = settings.Configuration!;
        Assert.Equal((3, 2, 1, 2), (configuration.Settings.DefaultPoolSize, configuration.Settings.MinPoolSize, configuration.Settings.ReservePoolSize, configuration.Settings.Verbose));
        Assert.Equal(("file", "p"), (configuration.Databases["shop"].Host, configuration.Databases["shop"].Password));
        Assert.Equal(("json", 6000), (configuration.Databases["wares"].Host, configuration.Databases["wares"].Port));
        Assert.Equal("secret", configuration.Users["alice"].Secret);
    }

    [Fact]
    public void Without_any_database_the_start_says_what_to_set()
    {
        var result = ThrowawayFiles.LoadEnvironment();
        Assert.Equal(
            "no database to pool: name a configuration file, or set DATABASES_HOST, DATABASE_URL or Pooler:Databases",
            Assert.Single(result.Errors).ToString());
    }

    [Theory]
    [InlineData("127.0.0.1, ::1", true)]
    [InlineData("*", true)]
    [InlineData("intranet", false)]
    [InlineData("", true)]
    public void Http_addresses_are_not_host_names(string addresses, bool good)
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASES_HOST", "db"), ("Pooler__HttpAddr", addresses));
        Assert.Equal(good, result.Errors.Count == 0);
    }

    [Fact]
    public void An_open_admin_port_without_a_key_is_warned_of()
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASES_HOST", "db"), ("POOLER_HTTP_ADMIN_PORT", "9"), ("POOLER_HTTP_ADDR", "*"));
        Assert.Contains(result.Warnings, w => w.Message.StartsWith("http_admin_port can be reached from other machines", StringComparison.Ordinal));
    }
}
