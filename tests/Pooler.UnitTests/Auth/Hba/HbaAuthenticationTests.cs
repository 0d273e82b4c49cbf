using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Pooler.Engine.Auth;
using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Auth.Hba;

/// <summary>Logins under HBA rules, from the search for a line to the verdict.</summary>
public sealed class HbaAuthenticationTests
{
    [Theory]
    [InlineData("host all all all trust", null)]
    [InlineData("host all all all reject", "login rejected")]
    [InlineData("local all all trust", "no authentication method is found")]
    [InlineData("", "no authentication method is found")]
    public async Task The_line_that_fits_decides_and_without_one_nobody_gets_in(string rules, string? error)
    {
        var end = await LoginAsync(rules, Logins.From("d", "u", "192.0.2.1"));

        Assert.Equal(error, end.Error?.Message);
        Assert.Equal(error is null ? null : "28000", end.Error?.SqlState);
        Assert.Equal(rules.StartsWith("host", StringComparison.Ordinal) ? 1 : null, end.Rule?.Line);
    }

    [Theory]
    [InlineData("web.example", "web.example", "192.0.2.1", true)]
    [InlineData("WEB.Example", "web.example", "192.0.2.1", true)]
    [InlineData(".example", "web.example", "192.0.2.1", true)]
    [InlineData(".example", ".example", "192.0.2.1", false)]
    [InlineData("example", "web.example", "192.0.2.1", false)]
    [InlineData("web.example", "web.example", "192.0.2.2", false)]
    [InlineData("web.example", "other.example", "192.0.2.1", false)]
    [InlineData("web.example", null, "192.0.2.1", false)]
    public async Task A_host_name_counts_when_it_leads_back_to_the_address(string rule, string? name, string address, bool fits)
    {
        var end = await LoginAsync($"host all all {rule} trust", Logins.From("d", "u", "192.0.2.1"), new FixedNames(name, address));

        Assert.Equal(fits ? null : "no authentication method is found", end.Error?.Message);
    }

    [Fact]
    public async Task A_lookup_that_breaks_lets_nobody_in()
    {
        var end = await LoginAsync("host all all web.example reject\nhost all all all trust", Logins.From("d", "u", "192.0.2.1"), new BrokenNames());

        Assert.Equal("no authentication method is found", end.Error?.Message);
    }

    [Fact]
    public async Task Samehost_and_samenet_mean_the_addresses_of_this_machine()
    {
        Assert.Null((await LoginAsync("host all all samehost trust", Logins.From("d", "u", "127.0.0.1"))).Error);
        Assert.Null((await LoginAsync("host all all samenet trust", Logins.From("d", "u", "127.9.9.9"))).Error);
        Assert.NotNull((await LoginAsync("host all all samehost trust", Logins.From("d", "u", "127.9.9.9"))).Error);
        Assert.NotNull((await LoginAsync("host all all samenet trust", Logins.From("d", "u", "198.51.100.1"))).Error);
    }

    [Theory]
    [InlineData("host all +staff all trust", "ann", null)]
    [InlineData("host all +guests,+staff all trust", "ann", null)]
    [InlineData("host all +guests all trust", "ann", "no authentication method is found")]
    [InlineData("host samerole all all trust", "ann", "no authentication method is found")]
    [InlineData("host samerole,staff all all trust", "bob", null)]
    public async Task Members_of_a_role_are_asked_of_the_server(string rules, string user, string? error)
    {
        var login = Logins.From("staff", user, "192.0.2.1") with { UserQueries = new FixedRoles(("ann", "staff", true), ("bob", "staff", true)) };

        Assert.Equal(error, (await LoginAsync(rules, rules.Contains("samerole all", StringComparison.Ordinal) ? login with { Database = "d" } : login)).Error?.Message);
    }

    [Fact]
    public async Task Where_nobody_can_say_who_is_a_member_no_later_line_counts()
    {
        const string rules = "host all +locked all reject\nhost all all all trust";
        var login = Logins.From("d", "ann", "192.0.2.1");

        var end = await LoginAsync(rules, login);
        Assert.Equal("no authentication method is found", end.Error?.Message);
        Assert.StartsWith("pg_hba.conf:1 asks for members of role \"locked\"", end.FailureReason, StringComparison.Ordinal);
        Assert.True(end.IsRefused);

        Assert.NotNull((await LoginAsync(rules, login with { UserQueries = new FixedRoles(("ann", "locked", null)) })).Error);
        Assert.Null((await LoginAsync(rules, login with { UserQueries = new FixedRoles(("ann", "locked", false)) })).Error);
        Assert.Equal("login rejected", (await LoginAsync(rules, login with { UserQueries = new FixedRoles(("ann", "locked", true)) })).Error?.Message);
    }

    [Theory]
    [InlineData("peer", "joe", "joe", true)]
    [InlineData("peer", "joe", "app", false)]
    [InlineData("peer map=staff", "joe", "app", true)]
    [InlineData("peer map=staff", "joe", "joe", false)]
    [InlineData("peer map=staff", "ann@x", "ann", true)]
    [InlineData("peer", null, "joe", false)]
    public async Task Peer_lets_in_who_is_at_the_other_end_of_the_socket(string method, string? systemUser, string user, bool allowed)
    {
        var maps = IdentMaps.Parse("staff joe app\nstaff /^(.*)@x$ \\1", "pg_ident.conf", []);
        var rule = Assert.Single(Logins.Rules($"local all all {method}", maps));
        var login = Logins.From("d", user, null) with
        {
            Access = new AccessRules { Maps = maps }, Rule = rule, Peer = new PeerCredentials(77, 88, 99),
        };

        var end = await Logins.EndOfAsync(new PeerExchange(login, id => id == 77 ? systemUser : "wrong"));

        Assert.Equal(allowed ? null : "unix socket login rejected", end.Error?.Message);
        Assert.NotNull((await Logins.EndOfAsync(new PeerExchange(login with { UserIsKnown = false }, _ => systemUser))).Error);
    }

    [Fact]
    public async Task Peer_needs_a_unix_socket_whose_other_end_is_known()
    {
        Assert.Equal("unix socket login rejected", (await LoginAsync("host all all all peer", Logins.From("d", "u", "127.0.0.1"))).Error?.Message);
        Assert.Equal("unix socket login rejected", (await LoginAsync("local all all peer", Logins.From("d", "u", null))).Error?.Message);
    }

    [Theory]
    [InlineData("cert", "CN=joe", "joe", true)]
    [InlineData("cert", "CN=Joe", "joe", true)]
    [InlineData("cert", "CN=joe", "app", false)]
    [InlineData("cert", "O=joe", "joe", false)]
    [InlineData("cert", "CN=x", "www.joe.example", true)]
    [InlineData("cert", "CN=x", "a.wild.example", false)]
    [InlineData("cert map=staff", "CN=joe", "app", true)]
    [InlineData("cert map=staff", "CN=joe", "joe", false)]
    [InlineData("cert map=dn clientname=DN", "CN=joe,OU=db,O=\"Shop, Ltd\"", "app", true)]
    [InlineData("cert map=dn clientname=DN", "CN=joe,OU=web,O=Shop", "app", false)]
    [InlineData("trust clientcert=verify-full", "CN=joe", "joe", true)]
    [InlineData("trust clientcert=verify-full", "CN=joe", "app", false)]
    [InlineData("trust clientcert=verify-full map=staff", "CN=joe", "app", true)]
    [InlineData("trust clientcert=verify-ca", "CN=joe", "app", true)]
    public async Task A_client_certificate_names_its_user(string method, string subject, string user, bool allowed)
    {
        using var certificate = Certificate(subject);
        var maps = IdentMaps.Parse("staff joe app\ndn \"/^CN=joe,OU=db,\" app", "pg_ident.conf", []);
        var login = Logins.From("d", user, "192.0.2.1") with
        {
            Tls = Logins.Tls with { PeerCertificate = certificate },
            Access = new AccessRules { Rules = Logins.Rules($"hostssl all all all {method}", maps), Maps = maps },
        };

        var end = await Logins.EndOfAsync(ClientAuthentication.Create(login));
        Assert.Equal(allowed, end.Error is null);

        // Without the certificate, and without TLS where the line does not ask for it, nobody gets in.
        Assert.NotNull((await Logins.EndOfAsync(ClientAuthentication.Create(login with { Tls = Logins.Tls }))).Error);
        var anyHost = login.Access with { Rules = Logins.Rules($"host all all all {method}", maps) };
        Assert.NotNull((await Logins.EndOfAsync(ClientAuthentication.Create(login with { Tls = null, Access = anyHost }))).Error);
    }

    [Fact]
    public void A_distinguished_name_is_written_as_OpenSSL_writes_it()
    {
        using var certificate = Certificate("CN=\" jö+e \",OU=db,O=\"Shop, Ltd\",C=DE");

        Assert.Equal("CN=\\ j\\C3\\B6\\+e\\ ,OU=db,O=Shop\\, Ltd,C=DE", CertificateNames.DistinguishedNameOf(certificate));
    }

    [Fact]
    public async Task Cert_lets_no_unknown_user_in()
    {
        using var certificate = Certificate("CN=joe");
        var login = Logins.From("d", "joe", "192.0.2.1") with { Method = AuthType.Cert, Tls = Logins.Tls with { PeerCertificate = certificate } };

        Assert.Null((await Logins.EndOfAsync(ClientAuthentication.Create(login))).Error);
        var end = await Logins.EndOfAsync(ClientAuthentication.Create(login with { UserIsKnown = false }));
        Assert.Equal("certificate authentication failed", end.Error?.Message);
    }

    private static Task<ClientAuthentication> LoginAsync(string rules, AuthenticationRequest login, IHostNames? names = null) =>
        Logins.EndOfAsync(new HbaAuthentication(
            login with { Access = new AccessRules { Rules = Logins.Rules(rules) } }, names ?? new FixedNames(null, "192.0.2.1")));

    private static X509Certificate2 Certificate(string subject)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("www.joe.example");
        names.AddDnsName("*.wild.example");
        request.CertificateExtensions.Add(names.Build());
        return request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100));
    }

    private sealed class FixedNames(string? name, string address) : IHostNames
    {
        public Task<string?> NameOfAsync(IPAddress of) => Task.FromResult(name);

        public Task<IReadOnlyList<IPAddress>> AddressesOfAsync(string of) => Task.FromResult<IReadOnlyList<IPAddress>>([IPAddress.Parse(address)]);
    }

    private sealed class BrokenNames : IHostNames
    {
        public Task<string?> NameOfAsync(IPAddress address) => Task.FromException<string?>(new InvalidOperationException("broken"));

        public Task<IReadOnlyList<IPAddress>> AddressesOfAsync(string name) => throw new NotSupportedException();
    }

    private sealed class FixedRoles(params (string User, string Role, bool? IsMember)[] roles) : IUserQueries
    {
        public Task<QueriedUser> FindUserAsync(string userName) => throw new NotSupportedException();

        public Task<bool?> IsMemberAsync(string userName, string role) =>
            Task.FromResult(roles.Any(r => r.User == userName && r.Role == role) ? roles.First(r => r.User == userName && r.Role == role).IsMember : false);

        public Task<IReadOnlyList<string?[]>?> QueryAsync(string sql, params string?[] parameters) => throw new NotSupportedException();

        public void Abandon()
        {
        }
    }
}
