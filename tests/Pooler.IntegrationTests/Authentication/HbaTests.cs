using System.Net;
using Npgsql;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>Clients under HBA rules, read from files as they are in use.</summary>
public sealed class HbaTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static int _roles;

    [Theory, MemberData(nameof(Backends))]
    public async Task Rules_choose_the_method_by_database_user_and_address_and_follow_a_reload(Variant variant)
    {
        using var files = new AccessFiles(Postgres, variant, "", "ann", "bob", "eve");
        files.Write("pg_hba.conf",
            """
            # the first line that fits decides
            host  all       eve       all                      reject
            host  postgres  bob       127.0.0.0 255.0.0.0      trust
            host  template1 ann,bob   127.0.0.1/32             md5
            host  "template1"  all    10.0.0.0/8               trust
            hostssl all     all       all                      trust
            host  all       @staff    samehost                 scram-sha-256
            """);
        files.Write("staff", "ann\n# and nobody else\n");
        using var log = new RecordingLog();
        await using var pooler = files.Start(log);

        Assert.Equal((true, "postgres"), await AskAsync(pooler, "postgres", "bob", null));
        Assert.Equal("password authentication failed", Trim(await RefusedAsync(pooler, "template1", "bob", "wrong")));
        Assert.Equal((true, "template1"), await AskAsync(pooler, "template1", "bob", AccessFiles.Password));
        Assert.Equal((true, "postgres"), await AskAsync(pooler, "postgres", "ann", AccessFiles.Password));
        Assert.NotNull(await RefusedAsync(pooler, "postgres", "ann", "wrong"));
        Assert.Equal("FATAL:  login rejected", await RefusedAsync(pooler, "postgres", "eve", AccessFiles.Password));
        Assert.Equal("FATAL:  \"trust\" authentication failed", await RefusedAsync(pooler, "postgres", "bobby", null, "host all all all trust"));
        Assert.Contains(log.Lines, l => l.Contains("HBA Line", StringComparison.Ordinal) && l.Contains("pg_hba.conf:3 is matched: Trust", StringComparison.Ordinal));

        files.Write("pg_hba.conf", "host all bob all reject\nhosts all all all trust\nhost all ann all trust");
        pooler.Reload(_ => files.Read());

        Assert.Equal("FATAL:  login rejected", await RefusedAsync(pooler, "postgres", "bob", AccessFiles.Password));
        Assert.Equal((true, "postgres"), await AskAsync(pooler, "postgres", "ann", null));
        Assert.Equal("FATAL:  no authentication method is found", await RefusedAsync(pooler, "postgres", "eve", AccessFiles.Password));
        Assert.Equal([$"{files.PathOf("pg_hba.conf")}:2: could not parse hba config line 2: unknown type \"hosts\"; it is left out"], files.Warnings);

        File.Delete(files.PathOf("pg_hba.conf"));
        pooler.Reload(_ => files.Read());

        Assert.Equal("FATAL:  no authentication method is found", await RefusedAsync(pooler, "postgres", "ann", AccessFiles.Password));
        Assert.StartsWith("auth_hba_file: could not open hba config file", Assert.Single(files.Warnings), StringComparison.Ordinal);

        async Task<string> RefusedAsync(RunningPooler from, string database, string user, string? password, string? rules = null)
        {
            if (rules is null) return await AssertRefusedAsync(from, database, user, password);
            using var others = new AccessFiles(Postgres, variant, "", "ann");
            others.Write("pg_hba.conf", rules);
            await using var other = others.Start();
            return await AssertRefusedAsync(other, database, user, password);
        }
    }

    [Fact]
    public async Task Set_on_the_console_switches_rules_on_and_off()
    {
        using var files = new AccessFiles(Postgres, AnyVariant, "admin_users = ann\nauth_type = trust", "ann", "bob");
        files.Write("pg_hba.conf", "host pgbouncer ann all trust\nhost all ann all trust\nhost all bob all reject");
        await using var pooler = files.Start();
        Assert.True((await AskAsync(pooler, "postgres", "bob", null)).Succeeded);

        await SetAsync("SET auth_type = 'hba'");
        await AssertRefusedAsync(pooler, "postgres", "bob", null);
        Assert.True((await AskAsync(pooler, "postgres", "ann", null)).Succeeded);

        await SetAsync($"SET auth_hba_file = '{files.Write("other.conf", "host all all all trust")}'");
        Assert.True((await AskAsync(pooler, "postgres", "bob", null)).Succeeded);

        async Task SetAsync(string sql)
        {
            var (succeeded, output) = await Psql.AskAsync(pooler, "pgbouncer", "ann", null, sql);
            Assert.True(succeeded, output);
        }
    }

    [Fact]
    public async Task Host_names_and_networks_are_those_of_the_machine()
    {
        var name = (await Dns.GetHostEntryAsync(IPAddress.Loopback)).HostName;
        using var files = new AccessFiles(Postgres, AnyVariant, "", "ann", "bob", "cid");
        files.Write("pg_hba.conf", $"host all ann {name} trust\nhost all ann samehost reject\nhost all bob not-{name} trust\nhost all bob samenet reject\nhost all cid samehost trust");
        await using var pooler = files.Start();

        Assert.Equal((true, "postgres"), await AskAsync(pooler, "postgres", "ann", null));
        Assert.Equal("FATAL:  login rejected", await AssertRefusedAsync(pooler, "postgres", "bob", null));
        Assert.Equal((true, "postgres"), await AskAsync(pooler, "postgres", "cid", null));
    }

    [Fact]
    public async Task Members_of_roles_are_asked_of_the_server()
    {
        var number = Interlocked.Increment(ref _roles);
        var (group, subgroup, member, stranger) = ($"hba_g{number}", $"hba_s{number}", $"hba_m{number}", $"hba_x{number}");
        await Postgres.Server.ExecuteAsync(
            $"CREATE ROLE {group}; CREATE ROLE {subgroup} ROLE {group}; CREATE ROLE {member} LOGIN IN ROLE {group}; CREATE ROLE {stranger} LOGIN",
            cancellationToken: Cancelled);
        using var files = new AccessFiles(Postgres, AnyVariant, $"auth_user = {PostgresForPooler.Trusted}", member, stranger, PostgresForPooler.Trusted);
        files.Write("pg_hba.conf", $"host all +{subgroup} all trust\nhost template1 all all reject\nhost all all all scram-sha-256");
        using var log = new RecordingLog();
        await using var pooler = files.Start(log);

        Assert.Equal((true, "template1"), await AskAsync(pooler, "template1", member, null));
        Assert.Equal("FATAL:  login rejected", await AssertRefusedAsync(pooler, "template1", stranger, AccessFiles.Password));
        Assert.Equal((true, "postgres"), await AskAsync(pooler, "postgres", stranger, AccessFiles.Password));
        // A superuser is a member of what it was made a member of, as in pg_hba.conf.
        Assert.Equal("FATAL:  login rejected", await AssertRefusedAsync(pooler, "template1", PostgresForPooler.Trusted, AccessFiles.Password));

        pooler.Reload(c => c with { Settings = c.Settings with { AuthUser = null } });

        Assert.Equal("FATAL:  no authentication method is found", await AssertRefusedAsync(pooler, "postgres", stranger, AccessFiles.Password));
        Assert.Contains(log.Lines, l => l.Contains($"pg_hba.conf:1 asks for members of role \"{subgroup}\", and the server can't be asked", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Peer_lets_users_of_the_machine_in_over_the_Unix_socket(Variant variant)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The pooler has no Unix sockets on Windows.");
        var own = Environment.UserName;
        using var files = new AccessFiles(Postgres, variant, "", own, "nobody", "app", "shop_ro");
        files.Write("pg_hba.conf", "local postgres all peer\nlocal all all peer map=staff\nhost all all all peer");
        files.Write("pg_ident.conf", $"staff {own} app\nstaff /^no(bod)y$ \"shop_ro\"\nstaff /^(no)body$ \\1body\n");
        await using var pooler = files.Start();

        Assert.Equal((true, "postgres"), await files.AskOverSocketAsync(pooler, "postgres", own));
        AssertRejected(await files.AskOverSocketAsync(pooler, "postgres", "app"));
        Assert.Equal((true, "template1"), await files.AskOverSocketAsync(pooler, "template1", "app"));
        AssertRejected(await files.AskOverSocketAsync(pooler, "template1", own));
        Assert.Equal("FATAL:  unix socket login rejected", await AssertRefusedAsync(pooler, "postgres", own, null));

        if (!Environment.IsPrivilegedProcess || !OperatingSystem.IsLinux()) return;
        Assert.Equal((true, "postgres"), await files.AskOverSocketAsync(pooler, "postgres", "nobody", unixUser: "nobody"));
        Assert.Equal((true, "template1"), await files.AskOverSocketAsync(pooler, "template1", "shop_ro", unixUser: "nobody"));
        Assert.Equal((true, "template1"), await files.AskOverSocketAsync(pooler, "template1", "nobody", unixUser: "nobody"));
        AssertRejected(await files.AskOverSocketAsync(pooler, "template1", "app", unixUser: "nobody"));
        AssertRejected(await files.AskOverSocketAsync(pooler, "postgres", own, unixUser: "nobody"));

        static void AssertRejected((bool Succeeded, string Output) answer)
        {
            Assert.False(answer.Succeeded);
            Assert.EndsWith("FATAL:  unix socket login rejected", answer.Output, StringComparison.Ordinal);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Who_runs_the_pooler_administers_it_over_the_Unix_socket_without_a_password(Variant variant)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The pooler has no Unix sockets on Windows.");
        using var files = new AccessFiles(Postgres, variant, "auth_type = scram-sha-256", "pgbouncer", "ann");
        using var log = new RecordingLog();
        await using var pooler = files.Start(log);

        var (succeeded, output) = await files.AskOverSocketAsync(pooler, "pgbouncer", "pgbouncer", "SET query_timeout = 7");
        Assert.True(succeeded, output);
        Assert.Equal(TimeSpan.FromSeconds(7), pooler.Engine.Configuration.Settings.QueryTimeout);
        Assert.Contains(log.Lines, l => l.EndsWith("pgbouncer access from unix socket", StringComparison.Ordinal));

        // Nobody else, not that user elsewhere, and not over TCP.
        Assert.Contains("fe_sendauth: no password supplied", (await files.AskOverSocketAsync(pooler, "pgbouncer", "ann")).Output);
        Assert.Contains("fe_sendauth: no password supplied", (await files.AskOverSocketAsync(pooler, "postgres", "pgbouncer")).Output);
        Assert.Equal("FATAL:  not allowed", await AssertRefusedAsync(pooler, "pgbouncer", "pgbouncer", AccessFiles.Password));
        if (Environment.IsPrivilegedProcess && OperatingSystem.IsLinux())
            Assert.Contains("fe_sendauth: no password supplied", (await files.AskOverSocketAsync(pooler, "pgbouncer", "pgbouncer", unixUser: "nobody")).Output);
    }

    [Fact]
    public async Task With_any_everybody_may_look_at_the_console_and_admins_may_do_more()
    {
        using var files = new AccessFiles(Postgres, AnyVariant, "auth_type = any\nadmin_users = boss");
        await using var pooler = files.Start();

        Assert.True((await Psql.AskAsync(pooler, "pgbouncer", "anybody", null, "SHOW VERSION")).Succeeded);
        Assert.False((await Psql.AskAsync(pooler, "pgbouncer", "anybody", null, "RELOAD")).Succeeded);
        Assert.True((await Psql.AskAsync(pooler, "pgbouncer", "boss", null, "RELOAD")).Succeeded);
    }

    [Fact]
    public async Task Any_needs_a_forced_user()
    {
        using var log = new RecordingLog();
        var configuration = RunningPooler.Configuration(Postgres, AnyVariant, s => s with { AuthType = Engine.Configuration.AuthType.Any });
        await using var pooler = RunningPooler.Start(configuration, log);

        Assert.Equal("FATAL:  bouncer config error", await AssertRefusedAsync(pooler, "postgres", "anybody", null));
        Assert.Contains(log.Lines, l => l.EndsWith("auth_type=any requires forced user", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Of_many_clients_that_come_at_once_max_client_conn_gets_in()
    {
        await using var pooler = RunningPooler.Start(Postgres, new Variant(AnyVariant.Backend, 4), s => s with { MaxClientConn = 5 });
        await using (await pooler.ConnectAsync("postgres"))
        {
        }

        for (var round = 0; round < 5; round++)
        {
            await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 0, cancellationToken: Cancelled);
            var attempts = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => Task.Run(async () =>
            {
                try
                {
                    return await pooler.ConnectAsync("postgres");
                }
                catch (PostgresException e) when (e.MessageText == "no more connections allowed (max_client_conn)")
                {
                    return null;
                }
            })));
            Assert.Equal(5, attempts.Count(a => a is not null));
            foreach (var connection in attempts)
                if (connection is not null) await connection.DisposeAsync();
        }
    }

    private static Task<(bool Succeeded, string Output)> AskAsync(RunningPooler pooler, string database, string user, string? password) =>
        Psql.AskAsync(pooler, database, user, password, "SELECT current_database()");

    /// <summary>The client must be refused; the server's own words.</summary>
    private static async Task<string> AssertRefusedAsync(RunningPooler pooler, string database, string user, string? password)
    {
        var (succeeded, output) = await AskAsync(pooler, database, user, password);
        Assert.False(succeeded);
        return output[Math.Max(0, output.IndexOf("FATAL:", StringComparison.Ordinal))..].Split('\n')[0];
    }

    private static string Trim(string refusal) => refusal.Replace("FATAL:  ", "", StringComparison.Ordinal).Split(" for user")[0];
}
