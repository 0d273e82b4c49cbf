using LocalRun.Provisioning;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Tls;

/// <summary>
/// A PostgreSQL with ssl = on, and a folder of certificates for both of its sides and the pooler's. Tests may look at
/// pg_stat_ssl by the database that they made for themselves.
/// </summary>
public sealed class TlsPostgres : PostgresFixture
{
    /// <summary>A superuser who is let in without a password, with TLS and without.</summary>
    public const string Anyone = "trusted";

    /// <summary>Let in over TLS only.</summary>
    public const string Secured = "secured";

    /// <summary>Let in with a client certificate of that name only.</summary>
    public const string Certified = "certified";

    /// <summary>To be created by a test: PostgreSQL asks it for its MD5 secret.</summary>
    public const string Md5User = "tls_md5";

    private readonly DirectoryInfo _files = Directory.CreateTempSubdirectory("pooler-tls-");
    private readonly TestCertificates _authority = new();
    private readonly TestCertificate _certificate;

    public TlsPostgres()
    {
        _certificate = _authority.Issue("postgres", ["localhost", "db.example"]);
        Write("ca", _authority.AuthorityPem);
        Write("other-ca", new TestCertificates("somebody else").AuthorityPem);
        Write("pooler", _authority.Issue("pooler", ["localhost", "127.0.0.1"]));
        Write("pooler-ec", _authority.Issue("pooler", ["localhost", "127.0.0.1"], elliptic: true));
        var intermediate = _authority.Intermediate();
        Write("pooler-chain", intermediate.Issue("pooler", ["localhost", "127.0.0.1"]));
        Write("alice", _authority.Issue("alice"));
        Write(Certified, _authority.Issue(Certified));
        Write("expired", _authority.Issue("expired", expired: true));
        Write("stranger", new TestCertificates("somebody else").Issue("alice"));
    }

    /// <summary>The authority of all certificates but the stranger's.</summary>
    public TestCertificates Authority => _authority;

    protected override PostgresServerOptions Options => new()
    {
        HbaRules =
        [
            $"host all {Anyone} 127.0.0.1/32 trust",
            $"hostssl all {Secured} 127.0.0.1/32 trust",
            $"hostnossl all {Secured} 127.0.0.1/32 reject",
            $"hostssl all {Certified} 127.0.0.1/32 cert",
            $"host all {Md5User} 127.0.0.1/32 md5",
        ],
        DataFiles = new Dictionary<string, string>
        {
            ["server.crt"] = _certificate.Pem,
            ["server.key"] = _certificate.KeyPem,
            ["ca.crt"] = _authority.AuthorityPem,
        },
        Settings = new Dictionary<string, string>
        {
            ["max_connections"] = "200", ["shared_buffers"] = "64MB", ["jit"] = "off",
            ["ssl"] = "on", ["ssl_cert_file"] = "server.crt", ["ssl_key_file"] = "server.key", ["ssl_ca_file"] = "ca.crt",
        },
    };

    /// <summary>The path of a file: <c>ca.crt</c>, <c>pooler.crt</c>, <c>pooler.key</c> …</summary>
    public string this[string file] => Path.Combine(_files.FullName, file);

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        await Server.ExecuteAsync($"CREATE USER {Anyone} SUPERUSER");
        await Server.ExecuteAsync($"CREATE USER {Secured} SUPERUSER");
        await Server.ExecuteAsync($"CREATE USER {Certified} SUPERUSER");
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _files.Delete(recursive: true);
    }

    private void Write(string name, string certificate) => File.WriteAllText(this[$"{name}.crt"], certificate);

    private void Write(string name, TestCertificate certificate)
    {
        Write(name, certificate.Pem);
        var key = this[$"{name}.key"];
        File.WriteAllText(key, certificate.KeyPem);
        // libpq refuses keys that others may read.
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }
}

/// <summary>Tests that share one <see cref="TlsPostgres"/>.</summary>
[CollectionDefinition(Name)]
public sealed class TlsCollection : ICollectionFixture<TlsPostgres>
{
    public const string Name = "TLS";
}
