using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Pooler.Engine.Configuration;
using Pooler.Engine.Encryption;
using Pooler.UnitTests.Configuration;
using Testing;
using Xunit;

namespace Pooler.UnitTests.Encryption;

/// <summary>Certificate files, and what is made of certificates.</summary>
public sealed class CertificateTests : IDisposable
{
    private static readonly TestCertificates Authority = new();

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("pooler-certificates-");

    public static TheoryData<string, string> Hashes { get; } = new()
    {
        { "SHA256", "SHA256" }, { "SHA384", "SHA384" }, { "SHA512", "SHA512" },
    };

    [Theory, MemberData(nameof(Hashes))]
    public void The_endpoints_hash_is_that_of_its_signature(string signature, string expected)
    {
        using var rsa = RSA.Create(2048);
        using var ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var name = new HashAlgorithmName(signature);
        foreach (var request in (CertificateRequest[])
            [new("CN=x", rsa, name, RSASignaturePadding.Pkcs1), new("CN=x", rsa, name, RSASignaturePadding.Pss), new("CN=x", ec, name)])
        {
            using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
            Assert.Equal(CryptographicOperations.HashData(new HashAlgorithmName(expected), certificate.RawData), ChannelBinding.EndPointHash(certificate));
        }
    }

    [Fact]
    public void The_endpoints_hash_of_a_weakly_signed_certificate_is_sha256()
    {
        // Signed with ecdsa-with-SHA1, which .NET makes no more.
        using var certificate = X509Certificate2.CreateFromPem("""
            -----BEGIN CERTIFICATE-----
            MIIBbjCCARSgAwIBAgIUW60T7VUae2YakyZVqcGBVIYbzkswCQYHKoZIzj0EATAM
            MQowCAYDVQQDDAF4MCAXDTI2MTEyMjE1MTgxNloYDzIxMjYxMDI5MTUxODE2WjAM
            MQowCAYDVQQDDAF4MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEx7Kks0BvF7Xc
            0MIFsSYnDGGlxeS069w9hrlh8E70fHmyUfL0cjYJJgkNMYktMul4+F8+p6htdMcP
            XbB1RUZUkKNTMFEwHQYDVR0OBBYEFBe0ffa+ojSpYnPjnGQLv63cSllaMB8GA1Ud
            IwQYMBaAFBe0ffa+ojSpYnPjnGQLv63cSllaMA8GA1UdEwEB/wQFMAMBAf8wCQYH
            KoZIzj0EAQNJADBGAiEAkAtMEEJ7hvLOaELK8QxLJCDo4lTuNoT26wXNxSDywRQC
            IQDqEcnCgMYBuq+OLAhcyoMRsUZnG+X9RFtdCXguxDjUbw==
            -----END CERTIFICATE-----
            """);
        Assert.Equal("1.2.840.10045.4.1", certificate.SignatureAlgorithm.Value);
        Assert.Equal(SHA256.HashData(certificate.RawData), ChannelBinding.EndPointHash(certificate));
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("chained", "")]
    [InlineData("", "elliptic")]
    public void A_certificate_comes_with_its_chain_and_key(string chained, string elliptic)
    {
        var issued = (chained.Length > 0 ? Authority.Intermediate() : Authority).Issue("pooler", ["localhost"], elliptic.Length > 0);
        var context = CertificateFiles.Own("client", Write("own.crt", issued.Pem), Write("own.key", issued.KeyPem));
        Assert.True(context.TargetCertificate.HasPrivateKey);
        Assert.Equal("CN=pooler", context.TargetCertificate.Subject);
        Assert.Equal(chained.Length > 0 ? 1 : 0, context.IntermediateCertificates.Count);
    }

    [Fact]
    public void Mistakes_are_configuration_errors_with_the_place_of_the_setting()
    {
        using var files = new ThrowawayFiles();
        var certificate = Authority.Issue("pooler");
        var (crt, key) = (Write("a.crt", certificate.Pem), Write("a.key", certificate.KeyPem));
        var other = Write("b.key", Authority.Issue("pooler").KeyPem);
        var protectedKey = Write("c.key", RSA.Create(2048).ExportEncryptedPkcs8PrivateKeyPem("secret", new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000)));
        var nonsense = Write("nonsense.crt", "no certificate");

        Check($"client_tls_cert_file = {crt}\nclient_tls_key_file = {key}\nclient_tls_sslmode = require", null);
        Check("client_tls_sslmode = require", ":2: client_tls_sslmode: To allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set.");
        Check($"client_tls_cert_file = {crt}\nclient_tls_key_file = {other}\nclient_tls_sslmode = require", ":3: client_tls_key_file: .*key values mismatch");
        Check($"client_tls_cert_file = {crt}\nclient_tls_key_file = {protectedKey}\nclient_tls_sslmode = require", ":3: client_tls_key_file: .*passphrase");
        Check($"client_tls_cert_file = {nonsense}\nclient_tls_key_file = {key}\nclient_tls_sslmode = require", ":2: client_tls_cert_file: .*no certificate in PEM format");
        Check($"client_tls_cert_file = /nowhere/a.crt\nclient_tls_key_file = {key}\nclient_tls_sslmode = require", ":2: client_tls_cert_file: .*No such file or directory");
        Check($"client_tls_cert_file = {crt}\nclient_tls_key_file = {key}\nclient_tls_sslmode = verify-ca", ":4: client_tls_sslmode: verify-ca and verify-full require client_tls_ca_file");
        Check("server_tls_ca_file = /nowhere/ca.crt", ":2: server_tls_ca_file: .*No such file or directory");
        Check($"server_tls_cert_file = {crt}", ":2: server_tls_cert_file: server_tls_cert_file and server_tls_key_file belong together");
        Check("server_tls_sslnegotiation = direct", ":2: server_tls_sslnegotiation: direct needs server_tls_sslmode require");
        Check("server_tls_protocols = sslv3", ":2: server_tls_protocols: invalid server_tls_protocols");
        // What is not used is not read.
        Check("client_tls_cert_file = /nowhere/a.crt\nserver_tls_sslmode = disable\nserver_tls_ca_file = /nowhere/ca.crt", null);

        void Check(string lines, string? error)
        {
            var result = files.Load($"[pgbouncer]\n{lines}\n[databases]\n* = host=x\n");
            if (error is null) Assert.Empty(result.Errors);
            else Assert.Matches("^TLS setup failed: .*" + error, Assert.Single(result.Errors).ToString());
        }
    }

    [Fact]
    public void The_fingerprint_of_the_server_side_follows_settings_and_contents()
    {
        var file = Write("ca.crt", Authority.AuthorityPem);
        var settings = new PoolerSettings { ServerTlsCaFile = file };
        var before = ServerTls.Load(settings).Fingerprint;
        Assert.Equal(before, ServerTls.Load(settings with { ClientTlsProtocols = "all" }).Fingerprint);
        Assert.NotEqual(before, ServerTls.Load(settings with { ServerTlsSslMode = SslMode.Require }).Fingerprint);
        Assert.NotEqual(before, ServerTls.Load(settings with { ServerTlsProtocols = "tlsv1.3" }).Fingerprint);
        Write("ca.crt", new TestCertificates().AuthorityPem);
        Assert.NotEqual(before, ServerTls.Load(settings).Fingerprint);
    }

    public void Dispose() => _directory.Delete(recursive: true);

    private string Write(string name, string content)
    {
        var path = Path.Combine(_directory.FullName, name);
        File.WriteAllText(path, content);
        return path;
    }
}
