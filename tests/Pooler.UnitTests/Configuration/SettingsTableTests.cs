using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Configuration;

public sealed class SettingsTableTests
{
    public static TheoryData<string> GlobalNames => [.. GlobalSettings.All.Select(s => s.Name)];

    [Fact]
    public void Describe_lists_PgBouncers_settings_in_its_order_and_then_our_own()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has other rows");
        var keys = SettingsTable.Describe(new PoolerSettings()).Select(r => r.Key).ToList();
        Assert.Equal(GlobalSettings.All.Where(s => s.Own).Select(s => s.Name), keys[100..]);
        Assert.Equal(keys[..100].Where(k => k != "pool_mode").Order(StringComparer.Ordinal), keys[..100].Where(k => k != "pool_mode"));
        Assert.Equal(["pkt_buf", "pool_mode", "pool_idle_timeout"], keys[keys.IndexOf("pkt_buf")..(keys.IndexOf("pkt_buf") + 3)]);
    }

    [Theory]
    [MemberData(nameof(GlobalNames))]
    public void Every_default_can_be_written_as_it_is_shown(string name)
    {
        var setting = SettingsTable.Find(name)!;
        var defaults = new PoolerSettings();
        Assert.True(setting.TrySet(defaults, setting.Show(defaults) ?? "", out var same, out var error), error);
        Assert.Equal(setting.Show(defaults), setting.Show(same));
    }

    [Theory]
    [InlineData("default_pool_size", "20", "25", "25")]
    [InlineData("default_pool_size", "20", " +0x10", "16")]
    [InlineData("default_pool_size", "20", "017", "15")]
    [InlineData("max_db_connections", "0", "-1", "0")]
    [InlineData("max_packet_size", "2147483647", "4294967295", "4294967295")]
    [InlineData("server_lifetime", "3600", "31536000", "3.1536e+07")]
    [InlineData("query_timeout", "0", "1e1", "10")]
    [InlineData("query_timeout", "0", ".00001", "1e-05")]
    [InlineData("log_stats", "1", "2", "1")]
    [InlineData("log_stats", "1", "0x0", "0")]
    [InlineData("verbose", "0", "2", "2", false)]
    [InlineData("server_idle_timeout", "600", "0.25", "0.25")]
    [InlineData("log_stats", "1", "off", "0")]
    [InlineData("pool_mode", "transaction", "SESSION", "session")]
    [InlineData("max_packet_size", "2147483647", "8192", "8192")]
    [InlineData("auth_type", "md5", "scram-sha-256", "scram-sha-256")]
    [InlineData("auth_user", null, "asker", "asker")]
    [InlineData("dns_max_ttl", "15", "1.5", "1.5")]
    [InlineData("syslog", "0", "yes", "1")]
    [InlineData("server_reset_query", "DISCARD ALL", "", "")]
    public void Set_changes_what_Describe_shows(string name, string? before, string value, string after, bool hasDefault = true)
    {
        var defaults = new PoolerSettings();
        Assert.True(SettingsTable.TrySet(defaults, name, value, out var changed, out var error), error);
        Assert.Equal(new SettingRow(name, after, hasDefault ? before : null, true), SettingsTable.Describe(changed).Single(r => r.Key == name));
        Assert.Equal(before, SettingsTable.Describe(defaults).Single(r => r.Key == name).Value);
    }

    [Theory]
    [InlineData("default_pool_size", "many", "default_pool_size = \"many\": allowed: a whole number from 0 up")]
    [InlineData("default_pool_size", "-1", "default_pool_size = \"-1\": allowed: a whole number from 0 up")]
    [InlineData("query_timeout", "-1", "query_timeout = \"-1\": allowed: seconds, from 0 up, decimals allowed")]
    [InlineData("default_pool_size", "08", "default_pool_size = \"08\": allowed: a whole number from 0 up")]
    [InlineData("default_pool_size", "0x", "default_pool_size = \"0x\": allowed: a whole number from 0 up")]
    [InlineData("default_pool_size", "", "default_pool_size = \"\": allowed: a whole number from 0 up")]
    [InlineData("default_pool_size", "5 ", "default_pool_size = \"5 \": allowed: a whole number from 0 up")]
    [InlineData("default_pool_size", "99999999999999999999", "default_pool_size = \"99999999999999999999\": allowed: a whole number from 0 up")]
    [InlineData("query_timeout", "NaN", "query_timeout = \"NaN\": allowed: seconds, from 0 up, decimals allowed")]
    [InlineData("log_stats", "maybe", "log_stats = \"maybe\": allowed: 0 or 1 (also off/on, no/yes, false/true)")]
    [InlineData("pool_mode", "transactoin", "pool_mode = \"transactoin\": allowed: session, transaction, statement; did you mean transaction?")]
    [InlineData("auth_type", "kerberos", "auth_type = \"kerberos\": allowed: any, trust, plain, md5, scram-sha-256, cert, hba, ldap, pam")]
    [InlineData("client_tls_sslmode", "on", "client_tls_sslmode = \"on\": allowed: disable, allow, prefer, require, verify-ca, verify-full")]
    [InlineData("listen_port", "6433", "listen_port cannot be changed while running: change the configuration and restart")]
    [InlineData("pool_mod", "session", "unknown setting pool_mod; did you mean pool_mode?")]
    [InlineData("http_addr", "intranet", "http_addr cannot be changed while running: change the configuration and restart")]
    [InlineData("colour", "blue", "unknown setting colour")]
    public void Set_refuses_with_what_is_allowed(string name, string value, string expected)
    {
        Assert.False(SettingsTable.TrySet(new PoolerSettings(), name, value, out _, out var error));
        Assert.Equal(expected, error);
    }

    [Theory]
    [InlineData("777", "0777")]
    [InlineData("0600", "0600")]
    [InlineData("0", "0000")]
    public void File_modes_are_octal_with_and_without_a_leading_zero(string text, string shown)
    {
        var setting = SettingsTable.Find("unix_socket_mode")!;
        Assert.True(setting.TrySet(new PoolerSettings(), text, out var changed, out _));
        Assert.Equal(shown, setting.Show(changed));
        // In SHOW CONFIG it is decimal, as in PgBouncer.
        Assert.Equal(Convert.ToInt32(shown, 8).ToString(), SettingsTable.Describe(changed).Single(r => r.Key == "unix_socket_mode").Value);
        Assert.False(setting.TrySet(new PoolerSettings(), "0888", out _, out _));
        Assert.False(setting.TrySet(new PoolerSettings(), "1777", out _, out _));
    }

    [Fact]
    public void Secrets_are_neither_shown_nor_repeated()
    {
        Assert.True(SettingsTable.TrySet(new PoolerSettings(), "http_admin_key", "s3cret", out var settings, out _));
        Assert.Equal("******", SettingsTable.Describe(settings).Single(r => r.Key == "http_admin_key").Value);
        Assert.Equal("", SettingsTable.Describe(new PoolerSettings()).Single(r => r.Key == "http_admin_key").Value);
        Assert.DoesNotContain("s3cret", settings.ToString());
        Assert.DoesNotContain("s3cret", new DatabaseSettings { Name = "shop", Password = "s3cret" }.ToString());
        Assert.DoesNotContain("s3cret", new UserSettings { Name = "bob", Secret = "s3cret" }.ToString());
    }

    [Fact]
    public void The_reference_in_docs_is_the_tables()
    {
        var root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "NoAspire.slnf")))
            root = Path.GetDirectoryName(root) ?? throw new InvalidOperationException("the repository's root was not found");
        var written = File.ReadAllText(Path.Combine(root, "docs", "configuration.md")).ReplaceLineEndings("\n");
        Assert.True(
            written == SettingsReference.Markdown(),
            "docs/configuration.md is stale: dotnet run --project Pooler/Server -- --print-reference > docs/configuration.md");
    }
}
