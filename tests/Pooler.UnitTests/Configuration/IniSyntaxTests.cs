using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Configuration;

/// <summary>The finer points of PgBouncer's ini format.</summary>
public sealed class IniSyntaxTests : IDisposable
{
    private readonly ThrowawayFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public void A_line_may_go_on_behind_the_section()
    {
        var result = _files.Load("[databases] ; those of the shop\n* = host=x\n[pgbouncer]default_pool_size = 7\n[users]# nobody\n");
        Assert.Empty(result.Errors);
        Assert.Equal(7, result.Configuration!.Settings.DefaultPoolSize);
        Assert.True(result.Configuration.Databases.ContainsKey("*"));
    }

    [Fact]
    public void A_second_main_section_puts_back_the_defaults_that_there_are()
    {
        var result = _files.Load(
            "[pgbouncer]\ndefault_pool_size = 7\nauth_user = asker\nverbose = 2\nmax_client_conn = 9\n[databases]\n* = host=x\n[pgbouncer]\nmax_client_conn = 11\n");
        Assert.Empty(result.Errors);
        var settings = result.Configuration!.Settings;
        Assert.Equal((20, "asker", 2, 11), (settings.DefaultPoolSize, settings.AuthUser, settings.Verbose, settings.MaxClientConn));
        Assert.Contains(result.Warnings, w => w.ToString().EndsWith(
            ":8: [pgbouncer] begins again, which takes back what was set before, as in PgBouncer: default_pool_size, max_client_conn", StringComparison.Ordinal));
    }

    [Fact]
    public void Databases_and_users_of_repeated_sections_add_up_and_the_last_of_a_name_counts()
    {
        var result = _files.Load("[databases]\na = host=x pool_size=3\nb = host=x\n[pgbouncer]\n[databases]\na = host=y\n[users]\nu = pool_size=1\nu = pool_mode=session\n");
        Assert.Empty(result.Errors);
        var configuration = result.Configuration!;
        Assert.Equal(["a", "b"], configuration.Databases.Keys.Order());
        Assert.Equal(("y", null), (configuration.Databases["a"].Host, configuration.Databases["a"].PoolSize));
        Assert.Equal((null, PoolMode.Session), (configuration.Users["u"].PoolSize, configuration.Users["u"].PoolMode));
    }

    [Fact]
    public void Files_that_include_each_other_are_an_error_and_no_endless_loop()
    {
        var (first, second) = (_files.Write("first.ini", ""), _files.Write("second.ini", ""));
        _files.Write("first.ini", $"%include {second}\n");
        _files.Write("second.ini", $"%include {first}\n");
        var result = _files.Load($"[pgbouncer]\n%include {first}\n[databases]\n* = host=x\n");
        Assert.Contains("more than 10 files include one another", Assert.Single(result.Errors).Message);
    }

    [Fact]
    public void Reserved_names_are_refused()
    {
        var result = _files.Load("[databases]\npgbouncer = host=x\n[pgbouncer]\n");
        Assert.Contains("reserved", Assert.Single(result.Errors).Message);
    }

    [Theory]
    [InlineData("query_timeout=0", null)]
    [InlineData("idle_transaction_timeout=0", null)]
    [InlineData("transaction_timeout=0", null)]
    [InlineData("client_idle_timeout=0", null)]
    [InlineData("query_wait_timeout=0", 0)]
    [InlineData("query_wait_timeout=-1", null)]
    [InlineData("query_wait_timeout=3", 3)]
    public void A_users_time_of_zero_means_the_global_one_except_for_waiting(string entry, int? seconds)
    {
        var user = _files.Load($"[databases]\n* = host=x\n[users]\nu = {entry}\n[pgbouncer]\n").Configuration!.Users["u"];
        Assert.Equal(
            seconds is { } s ? TimeSpan.FromSeconds(s) : null,
            user.QueryTimeout ?? user.IdleTransactionTimeout ?? user.TransactionTimeout ?? user.ClientIdleTimeout ?? user.QueryWaitTimeout);
    }

    [Fact]
    public void Settings_of_a_user_make_nobody_known()
    {
        var auth = _files.Write("userlist.txt", "\"listed\" \"\"\n");
        var users = _files.Load($"[databases]\n* = host=x\n[users]\nlisted = pool_size=1\nnamed = pool_size=1\nours = password=p\n[pgbouncer]\nauth_file = {auth}\n").Configuration!.Users;
        Assert.Equal(["listed True", "named False", "ours True"], users.Values.Select(u => $"{u.Name} {u.IsKnown}").Order());
    }

    [Fact]
    public void A_file_that_does_not_set_pool_mode_means_session_as_in_PgBouncer_and_no_file_means_transaction()
    {
        var silent = _files.Load("[pgbouncer]\n[databases]\n* = host=x\n");
        Assert.DoesNotContain(silent.Warnings, w => w.Message.Contains("pool_mode", StringComparison.Ordinal));
        Assert.Equal(("session", "session"), PoolModeOf(silent));
        Assert.Equal(("statement", "session"), PoolModeOf(_files.Load("[pgbouncer]\npool_mode = statement\n[databases]\n* = host=x\n")));
        Assert.Equal(("transaction", "transaction"), PoolModeOf(ConfigurationLoader.Load(
            new ConfigurationSources { Environment = new Dictionary<string, string> { ["DATABASES_HOST"] = "x" } })));
    }

    private static (string? Value, string? Default) PoolModeOf(ConfigurationResult result)
    {
        var row = SettingsTable.Describe(result.Configuration!.Settings).Single(r => r.Key == "pool_mode");
        return (row.Value, row.Default);
    }
}
