using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>
/// A throwaway slapd with a few people, at 127.0.0.1 and, with TLS, also at 127.0.0.2. Its certificate is for the first
/// address, and this process trusts it, which OpenLDAP's library learns from the environment.
/// </summary>
public sealed partial class LdapServer : IAsyncLifetime
{
    public const string Base = "dc=example,dc=net";

    /// <summary>May search; nobody else can see a person's mail address.</summary>
    public const string SearcherDn = "cn=searcher," + Base;

    public const string SearcherPassword = "searcher's \"secret\"";

    /// <summary>A person directly below <see cref="Base"/>, whose mail address is hans@example.net.</summary>
    public const string User = "ldap_hans";

    /// <summary>A person further down.</summary>
    public const string RemoteUser = "ldap_grete";

    /// <summary>There are two of that name.</summary>
    public const string AmbiguousUser = "ldap_twin";

    /// <summary>Everybody's password.</summary>
    public const string Password = "Bröt, und Wasser";

    private readonly TemporaryDirectory _directory = TemporaryDirectory.Create("slapd-");
    private ChildProcess? _process;

    public int Port { get; } = Ports.Take();

    public int SecurePort { get; } = Ports.Take();

    public async ValueTask InitializeAsync()
    {
        WriteCertificate();
        var configuration = Write("slapd.conf", $"""
            include /etc/ldap/schema/core.schema
            include /etc/ldap/schema/cosine.schema
            include /etc/ldap/schema/nis.schema
            include /etc/ldap/schema/inetorgperson.schema
            pidfile {_directory.Path}/slapd.pid
            TLSCertificateFile {_directory.Path}/server.crt
            TLSCertificateKeyFile {_directory.Path}/server.key
            database ldif
            directory {Directory.CreateDirectory(Path.Combine(_directory.Path, "data")).FullName}
            suffix "{Base}"
            access to attrs=userPassword by anonymous auth by * none
            access to attrs=mail by dn.exact="{SearcherDn}" read by * none
            access to * by * read
            """);
        var people = Write("people.ldif", $"""
            dn: {Base}
            objectClass: dcObject
            objectClass: organization
            dc: example
            o: Example

            dn: {SearcherDn}
            objectClass: organizationalRole
            objectClass: simpleSecurityObject
            cn: searcher
            userPassword: {SearcherPassword}

            dn: ou=далеко,{Base}
            objectClass: organizationalUnit
            ou: далеко

            {Person(User, Base)}

            {Person(RemoteUser, "ou=далеко," + Base)}

            {Person(AmbiguousUser, Base)}

            {Person(AmbiguousUser, "ou=далеко," + Base)}
            """);
        var slapd = await Tools.SlapdAsync();
        await new Command(Path.Combine(Path.GetDirectoryName(slapd)!, "slapadd"), "-f", configuration, "-l", people).RunCheckedAsync();
        _process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = "slapd",
            // With a debug level it stays in the foreground.
            Command = [slapd, "-d", "0", "-f", configuration, "-h", $"ldap://127.0.0.1:{Port} ldaps://127.0.0.1:{SecurePort} ldaps://127.0.0.2:{SecurePort}"],
        });
        await Eventually.TrueAsync(async () =>
        {
            using var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, SecurePort);
            return true;
        });
        _ = SetEnvironment("LDAPTLS_CACERT", Path.Combine(_directory.Path, "server.crt"), 1);
        _ = SetEnvironment("LDAPTLS_REQCERT", "demand", 1);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null) await _process.DisposeAsync();
        _directory.Dispose();
    }

    private static string Person(string name, string parent) => $"""
        dn: uid={name},{parent}
        objectClass: inetOrgPerson
        uid: {name}
        cn: {name}
        sn: {name}
        mail: {name["ldap_".Length..]}@example.net
        userPassword: {Password}
        """;

    private string Write(string name, string text)
    {
        var path = Path.Combine(_directory.Path, name);
        File.WriteAllText(path, text + "\n");
        return path;
    }

    private void WriteCertificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=slapd", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1));
        Write("server.crt", certificate.ExportCertificatePem());
        Write("server.key", key.ExportPkcs8PrivateKeyPem());
    }

    // .NET keeps its own copy of the environment, which C libraries do not see.
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
