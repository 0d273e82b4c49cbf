using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Configuration;

public sealed class IniFileTests : IDisposable
{
    private readonly ThrowawayFiles _files = new();

    public void Dispose() => _files.Dispose();

    private static PoolerConfiguration Good(ConfigurationResult result)
    {
        Assert.Empty(result.Errors);
        return result.Configuration!;
    }

    private static string[] Messages(ConfigurationResult result)
    {
        Assert.Null(result.Configuration);
        return [.. result.Errors.Select(e => e.ToString()[(e.ToString().LastIndexOf(Path.DirectorySeparatorChar) + 1)..])];
    }

    [Fact]
    public void A_file_in_PgBouncers_format_is_read()
    {
        var auth = _files.Write("userlist.txt", "\"alice\" \"wonder\"\n\"bob\" \"md5d8578edf8458ce06fbc5bb76a58c5ca4\"\n");
        var configuration = Good(_files.Load(
            $""""
            ; a comment
            # another
            [databases]
            shop = host=db1 port=5433 dbname=shop_prod pool_size=25 pool_mode=session
            "odd ""name""" = host=/run/postgresql password='it''s a secret' user=owner connect_query='SET search_path TO a, b'
            * = host=db2 timezone=UTC reserve_pool=3 max_db_connections=0 query_wait_timeout=-1

            [users]
            alice = pool_mode=statement max_user_connections=7 query_timeout=1.5
            [pgbouncer]
            listen_addr = 127.0.0.1,::1
            auth_file = {auth}
              pool_mode   =   session
            pool_mode = transaction
            server_reset_query =
            verbose=2
            """"));

        Assert.Equal("127.0.0.1,::1", configuration.Settings.ListenAddr);
        Assert.Equal(PoolMode.Transaction, configuration.Settings.PoolMode);
        Assert.Equal("", configuration.Settings.ServerResetQuery);
        Assert.Equal(2, configuration.Settings.Verbose);

        var shop = configuration.Databases["shop"];
        Assert.Equal(("db1", 5433, "shop_prod", 25, PoolMode.Session), (shop.Host, shop.Port, shop.DbName, shop.PoolSize, shop.PoolMode));
        var odd = configuration.Databases["odd \"name\""];
        Assert.Equal(("/run/postgresql", "it's a secret", "owner", "SET search_path TO a, b"), (odd.Host, odd.Password, odd.User, odd.ConnectQuery));
        var any = configuration.Databases["*"];
        Assert.Equal((3, null, null), (any.ReservePoolSize, any.MaxDbConnections, any.QueryWaitTimeout));
        Assert.Equal("UTC", any.StartupParameters["timezone"]);

        var alice = configuration.Users["alice"];
        Assert.Equal(("wonder", PoolMode.Statement, 7, TimeSpan.FromSeconds(1.5)), (alice.Secret, alice.PoolMode, alice.MaxUserConnections, alice.QueryTimeout));
        Assert.Equal("md5d8578edf8458ce06fbc5bb76a58c5ca4", configuration.Users["bob"].Secret);
    }

    [Fact]
    public void All_mistakes_are_reported_with_file_and_line()
    {
        var messages = Messages(_files.Load(
            """
            stray = 1
            [pgbouncer]
            pool_mod = transaction
            listen_port = 70000
            auth_file = /nowhere/userlist.txt
            no equals sign
            [database]
            [databases]
            pgbouncer = host=here
            shop = host=h pasword=hunter2
            shop2 = host=h port=x
            shop3 = host=h password='hunter2
            shop4 = host=h hunter2 more
            [users]
            bob = pool_mode=never
            [peers]
            x = host=h
            2 = port=7000
            """));

        Assert.Equal(
            [
                "pooler.ini:1: stray stands before any section; start with [pgbouncer]",
                "pooler.ini:3: unknown setting pool_mod; did you mean pool_mode?",
                "pooler.ini:6: expected name = value",
                "pooler.ini:7: unknown section [database]; did you mean [databases]?",
                "pooler.ini:10: unknown setting pasword; did you mean password?",
                "pooler.ini:12: shop3: the value of password has no closing quote",
                "pooler.ini:13: shop4: expected key=value at column 8 of the value; write values with spaces in single quotes",
                "pooler.ini:4: listen_port = \"70000\": allowed: a whole number from 0 to 65535",
                "pooler.ini:15: user bob: pool_mode = \"never\": allowed: session, transaction, statement",
                "pooler.ini:9: the database name pgbouncer is reserved for the admin console",
                "pooler.ini:11: database shop2: port = \"x\": allowed: a whole number from 1 to 65535, or a comma list of them",
                "pooler.ini:17: peer x: the id must be a whole number from 1 to 16383",
                "pooler.ini:18: peer 2: host is missing",
            ],
            messages.Where(m => !m.Contains("userlist.txt")));
        Assert.Contains(messages, m => m.Contains("userlist.txt"));
        Assert.DoesNotContain(messages, m => m.Contains("hunter2"));
    }

    [Fact]
    public void An_included_file_goes_on_in_the_section_and_names_itself_in_mistakes()
    {
        var extra = _files.Write("extra.ini", "pool_mode = session\nmax_client_con = 5\n");
        var result = _files.Load($"[pgbouncer]\n%include {extra}\nlisten_port = 6000\n");
        Assert.Equal([$"{extra}:2: unknown setting max_client_con; did you mean max_client_conn?"], result.Errors.Select(e => e.ToString()));
    }

    [Fact]
    public void A_file_that_includes_itself_is_an_error()
    {
        var path = _files.Write("loop.ini", "");
        File.WriteAllText(path, $"%include {path}\n");
        var result = ConfigurationLoader.Load(new ConfigurationSources { File = path });
        Assert.Equal($"{path}:1: more than 10 files include one another", Assert.Single(result.Errors).ToString());
    }

    [Fact]
    public void A_missing_file_is_an_error_that_names_it()
    {
        var result = ConfigurationLoader.Load(new ConfigurationSources { File = "/nowhere/pooler.ini" });
        Assert.StartsWith("/nowhere/pooler.ini: cannot read the configuration file: ", Assert.Single(result.Errors).ToString());
    }

    [Fact]
    public void Settings_without_effect_are_taken_with_a_warning()
    {
        var result = _files.Load("[pgbouncer]\npool_mode = session\nsbuf_loopcnt = 7\npkt_buf = 4096\n[databases]\n* = host=x\n");
        Good(result);
        Assert.Equal(
            ["sbuf_loopcnt: no effect: loops share their time by themselves",
             "no user has a password here: set auth_file, or DATABASES_USER and DATABASES_PASSWORD"],
            result.Warnings.Select(w => w.Message));
    }

    [Fact]
    public void Reload_keeps_what_needs_a_restart_and_says_so()
    {
        var before = Good(_files.Load("[pgbouncer]\nlisten_port = 6000\ndefault_pool_size = 5\n[databases]\n* = host=x\n"));
        var after = ConfigurationLoader.Load(
            _files.Sources("[pgbouncer]\ndefault_pool_size = 6\nlisten_port = 6001\n[databases]\n* = host=y\n"), before);

        Assert.Equal((6000, 6), (Good(after).Settings.ListenPort, after.Configuration!.Settings.DefaultPoolSize));
        Assert.Equal("y", after.Configuration.Databases["*"].Host);
        Assert.Contains(after.Warnings, w => w.ToString().EndsWith("pooler.ini:3: listen_port changes at the next restart only (6000 now, 6001 then)"));
    }

    [Fact]
    public void A_later_line_replaces_the_whole_entry_of_a_database()
    {
        var configuration = Good(_files.Load("[databases]\nshop = host=a pool_size=3\nshop = host=b\n"));
        Assert.Equal(("b", null), (configuration.Databases["shop"].Host, configuration.Databases["shop"].PoolSize));
    }
}
