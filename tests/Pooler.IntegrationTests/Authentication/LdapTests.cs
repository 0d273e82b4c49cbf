using System.Net;
using System.Net.Sockets;
using System.Text;
using LocalRun.Processes;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Process;
using Xunit;
using static Pooler.IntegrationTests.Authentication.LdapServer;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>Passwords that an LDAP server knows.</summary>
public sealed class LdapTests(PostgresForPooler postgres, LdapServer ldap) : PoolerTest(postgres), IClassFixture<LdapServer>, IAsyncLifetime
{
    public async ValueTask InitializeAsync()
    {
        // PostgreSQL stores the same password: what the client gave opens the server, too.
        foreach (var name in new[] { User, RemoteUser, AmbiguousUser })
        {
            await Postgres.Server.ExecuteAsync(
                $"DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD '{Password}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$", cancellationToken: Cancelled);
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Theory]
    [InlineData("ldapserver=127.0.0.1 ldapport=PORT ldapprefix=\"uid=\" ldapsuffix=\",dc=example,dc=net\"", User)]
    [InlineData("ldapserver=127.0.0.1 ldapport=PORT ldapbasedn=\"dc=example,dc=net\"", User, RemoteUser)]
    [InlineData("ldapserver=127.0.0.1 ldapport=PORT ldapbasedn=\"dc=example,dc=net\" ldapsearchattribute=cn", User, RemoteUser)]
    [InlineData("ldapserver=127.0.0.1 ldapport=PORT ldapbasedn=\"dc=example,dc=net\" ldapsearchfilter=\"(&(objectClass=inetOrgPerson)(uid=$username))\"", User, RemoteUser)]
    [InlineData("ldapserver=127.0.0.1 \"ldapport\"=PORT ldapbasedn=\"dc=example,dc=net\" ,ldapsearchfilter=\"uid=$username\"", User, RemoteUser)]
    [InlineData("ldapurl=\"ldap://127.0.0.1:PORT/dc=example,dc=net?uid?sub\"", User, RemoteUser)]
    [InlineData("ldapurl=\"ldap://127.0.0.1:PORT/dc=example,dc=net?uid?one\"", User)]
    [InlineData("ldapurl=\"ldap://127.0.0.1:PORT/dc=example,dc=net??sub?(|(uid=$username)(mail=$username))\"", User, RemoteUser)]
    [InlineData("ldapurl=\"ldap://127.0.0.1:PORT/ou=%D0%B4%D0%B0%D0%BB%D0%B5%D0%BA%D0%BE,dc=example,dc=net?uid?sub\"", RemoteUser)]
    // Nobody listens at the first.
    [InlineData("ldapserver=\"127.0.0.3 127.0.0.1\" ldapport=PORT ldapbasedn=\"dc=example,dc=net\"", User, RemoteUser)]
    [InlineData("ldapserver=127.0.0.1 ldapport=PORT ldaptls=1 ldapbasedn=\"dc=example,dc=net\"", User, RemoteUser)]
    [InlineData("ldapserver=127.0.0.1 ldapport=PORT ldaptls=1 ldapprefix=\"uid=\" ldapsuffix=\",dc=example,dc=net\"", User)]
    [InlineData("ldapserver=127.0.0.1 ldapport=SECURE ldapscheme=ldaps ldapbasedn=\"dc=example,dc=net\"", User, RemoteUser)]
    [InlineData("ldapurl=\"ldaps://127.0.0.1:SECURE/dc=example,dc=net?uid?sub\"", User, RemoteUser)]
    public async Task The_server_is_asked_in_every_way_that_pg_hba_conf_has(string options, params string[] users)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(options, log);

        foreach (var user in users)
        {
            Assert.True((true, user) == await Psql.AskAsync(pooler, "postgres", user, Password), string.Join('\n', log.Lines));
            await AssertRefusedAsync(pooler, user, "wrong");
        }
        if (!users.Contains(RemoteUser)) await AssertRefusedAsync(pooler, RemoteUser, Password);
        await AssertRefusedAsync(pooler, "ldap_nobody", Password);
    }

    [Fact]
    public async Task A_search_may_need_a_login_of_its_own()
    {
        var search = $"ldapserver=127.0.0.1 ldapport={ldap.Port} ldapbasedn=\"{Base}\" ldapsearchfilter=\"(mail=$username@example.net)\"";
        await Postgres.Server.ExecuteAsync(
            $"DO $$ BEGIN CREATE ROLE hans LOGIN PASSWORD '{Password}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$", cancellationToken: Cancelled);

        await using (var pooler = Start($"{search} ldapbinddn=\"{SearcherDn}\" ldapbindpasswd=\"{SearcherPassword.Replace("\"", "\"\"")}\""))
            Assert.Equal((true, "hans"), await Psql.AskAsync(pooler, "postgres", "hans", Password));
        await using (var pooler = Start(search))
            await AssertRefusedAsync(pooler, "hans", Password);
        await using (var pooler = Start($"{search} ldapbinddn=\"{SearcherDn}\" ldapbindpasswd=wrong"))
            await AssertRefusedAsync(pooler, "hans", Password);
    }

    [Theory]
    [InlineData("an ambiguous name", "ldapurl=\"ldap://127.0.0.1:PORT/dc=example,dc=net?uid?sub\"", AmbiguousUser, "is not unique")]
    [InlineData("a name that would be a filter", "ldapurl=\"ldap://127.0.0.1:PORT/dc=example,dc=net?uid?sub\"", "ldap_h*", "invalid character in user name")]
    [InlineData("a name that would end a filter", "ldapurl=\"ldap://127.0.0.1:PORT/dc=example,dc=net?uid?sub\"", "ldap_hans)(uid=ldap_hans", "invalid character in user name")]
    [InlineData("TLS with a server that speaks none there", "ldapurl=\"ldaps://127.0.0.1:PORT/dc=example,dc=net?uid?sub\"", User, "could not")]
    [InlineData("StartTLS with a server that speaks TLS already", "ldapserver=127.0.0.1 ldapport=SECURE ldaptls=1 ldapbasedn=\"dc=example,dc=net\"", User, "could not")]
    [InlineData("TLS and StartTLS within it", "ldapurl=\"ldaps://127.0.0.1:SECURE/dc=example,dc=net?uid?sub\" ldaptls=1", User, "could not")]
    [InlineData("TLS and StartTLS with a server that speaks only the latter", "ldapurl=\"ldaps://127.0.0.1:PORT/dc=example,dc=net?uid?sub\" ldaptls=1", User, "could not")]
    [InlineData("a certificate for another address", "ldapurl=\"ldaps://127.0.0.2:SECURE/dc=example,dc=net?uid?sub\"", User, "could not")]
    [InlineData("nobody there", "ldapurl=\"ldap://127.0.0.1:1/dc=example,dc=net?uid?sub\"", User, "could not")]
    public async Task What_cannot_be_decided_lets_nobody_in_and_is_in_the_log(string what, string options, string user, string logged)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(options, log);

        await AssertRefusedAsync(pooler, user, Password, what);
        Assert.Contains(log.Lines, line => line.Contains(logged));
        Assert.DoesNotContain(log.Lines, line => line.Contains(Password));
    }

    [Fact]
    public async Task An_empty_password_never_reaches_the_server()
    {
        // To LDAP a bind without a password is an anonymous one, which succeeds.
        await using var pooler = Start($"ldapserver=127.0.0.1 ldapport={ldap.Port} ldapprefix=\"uid=\" ldapsuffix=\",{Base}\"");
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup("postgres", User).SendAsync();
        Assert.Equal('R', (await client.ReadAsync())!.Type);

        await client.Bytes((byte)'p', 0, 0, 0, 5, 0).SendAsync();

        Assert.Equal("28P01", Assert.Single(await client.ReadToEndAsync()).Field('C'));
    }

    [Fact]
    public async Task Hba_lines_choose_the_server_and_a_slow_one_keeps_nobody_else_out()
    {
        using var directory = new ThrowawayDirectory();
        var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var silentPort = ((IPEndPoint)silent.LocalEndpoint).Port;
        var rules = directory.Write("hba.conf", $"""
            host all {User} 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={ldap.Port} ldapprefix="uid=" ldapsuffix=",{Base}"
            host all {RemoteUser} 127.0.0.1/32 ldap ldapurl="ldap://127.0.0.1:{silentPort}/{Base}?uid?sub"
            host all all 127.0.0.1/32 trust
            """);
        await using var pooler = RunningPooler.Start(Load(directory, $"""
            auth_type = hba
            auth_hba_file = {rules}
            """));
        using var waiting = await RawClient.ConnectAsync(pooler.EndPoint);
        await waiting.Startup("postgres", RemoteUser).SendAsync();
        await waiting.ReadAsync();
        await waiting.Bytes([(byte)'p', 0, 0, 0, 6, (byte)'x', 0]).SendAsync();
        using var accepted = await silent.AcceptSocketAsync(Cancelled);

        Assert.Equal((true, User), await Psql.AskAsync(pooler, "postgres", User, Password));
        await AssertRefusedAsync(pooler, User, "wrong");
        silent.Stop();
    }

    [Fact]
    public async Task StartTLS_is_the_first_request()
    {
        // slapd refuses it while it is still putting away a request before it, so that some logins would fail, at random.
        using var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        await using var pooler = Start($"ldapserver=127.0.0.1 ldapport={((IPEndPoint)server.LocalEndpoint).Port} ldaptls=1 ldapbasedn=\"{Base}\"");
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup("postgres", User).SendAsync();
        await client.ReadAsync();
        await client.Bytes([(byte)'p', 0, 0, 0, 6, (byte)'x', 0]).SendAsync();

        using var connection = await server.AcceptTcpClientAsync(Cancelled);
        var request = new byte[1000];
        var length = await connection.GetStream().ReadAsync(request, Cancelled);

        Assert.Contains("1.3.6.1.4.1.1466.20037", Encoding.ASCII.GetString(request, 0, length));
    }

    [Theory]
    [InlineData("ldapserver=a ldapprefix=x ldapbasedn=y", "cannot mix options")]
    [InlineData("", "requires argument")]
    public void Options_that_make_no_sense_are_refused_at_once(string options, string complaint)
    {
        using var directory = new ThrowawayDirectory();
        var result = ConfigurationLoader.Load(new ConfigurationSources
        {
            File = directory.Write("pgbouncer.ini", $"[databases]\n* = host=127.0.0.1\n[pgbouncer]\nauth_type = ldap\nauth_ldap_options = {options}\n"),
        });

        Assert.Contains(result.Errors, e => e.Message.Contains(complaint));
    }

    private PoolerConfiguration Load(ThrowawayDirectory directory, string settings)
    {
        var result = ConfigurationLoader.Load(new ConfigurationSources
        {
            File = directory.Write("pgbouncer.ini", $"""
                [databases]
                * = host={Postgres.Server.Host} port={Postgres.Server.Port}
                [pgbouncer]
                listen_addr = 127.0.0.1
                listen_port = {Ports.Take()}
                unix_socket_dir =
                {settings}
                """),
        });
        Assert.Empty(result.Errors);
        return result.Configuration!;
    }

    private RunningPooler Start(string options, RecordingLog? log = null)
    {
        using var directory = new ThrowawayDirectory();
        var given = options.Replace("PORT", ldap.Port.ToString()).Replace("SECURE", ldap.SecurePort.ToString());
        return RunningPooler.Start(Load(directory, $"auth_type = ldap\nauth_ldap_options = {given}"), log);
    }

    private static async Task AssertRefusedAsync(RunningPooler pooler, string user, string password, string? what = null)
    {
        var (succeeded, output) = await Psql.AskAsync(pooler, "postgres", $"'{user}'", password);
        Assert.False(succeeded, what);
        Assert.Contains($"LDAP authentication failed for user \"{user}\"", output);
    }
}
