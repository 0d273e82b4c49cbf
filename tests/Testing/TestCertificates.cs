using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Testing;

/// <summary>A certificate authority of a test's own, and what it issues; PEM as configuration files have it.</summary>
public sealed class TestCertificates
{
    private readonly X509Certificate2 _authority;

    /// <summary>Makes an authority.</summary>
    /// <param name="name">Its common name.</param>
    public TestCertificates(string name = "test authority")
        : this(Request($"CN={name}", RSA.Create(2048), isAuthority: true).CreateSelfSigned(Yesterday, Tomorrow), "")
    {
    }

    private TestCertificates(X509Certificate2 authority, string chainPem)
    {
        _authority = authority;
        ChainPem = chainPem;
    }

    private static DateTimeOffset Yesterday => DateTimeOffset.UtcNow.AddDays(-1);

    private static DateTimeOffset Tomorrow => DateTimeOffset.UtcNow.AddDays(1);

    /// <summary>The authority's certificate: what verifiers trust.</summary>
    public string AuthorityPem => _authority.ExportCertificatePem() + "\n";

    /// <summary>The certificates between those issued here and the root; empty when this is the root.</summary>
    public string ChainPem { get; }

    /// <summary>An authority below this one.</summary>
    public TestCertificates Intermediate(string name = "intermediate authority")
    {
        var key = RSA.Create(2048);
        using var issued = Request($"CN={name}", key, isAuthority: true).Create(_authority, Yesterday, Tomorrow.AddHours(-1), Serial());
        return new TestCertificates(issued.CopyWithPrivateKey(key), issued.ExportCertificatePem() + "\n" + ChainPem);
    }

    /// <summary>Issues a certificate for a server or a client.</summary>
    /// <param name="commonName">Its common name.</param>
    /// <param name="hosts">DNS names and addresses it is for.</param>
    /// <param name="elliptic">With an EC key instead of an RSA one.</param>
    /// <param name="expired">Valid until an hour ago.</param>
    public TestCertificate Issue(string commonName, string[]? hosts = null, bool elliptic = false, bool expired = false)
    {
        var until = expired ? DateTimeOffset.UtcNow.AddHours(-1) : Tomorrow.AddHours(-2);
        if (elliptic)
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest($"CN={commonName}", key, HashAlgorithmName.SHA256);
            Extend(request, isAuthority: false, hosts);
            var generator = X509SignatureGenerator.CreateForRSA(_authority.GetRSAPrivateKey()!, RSASignaturePadding.Pkcs1);
            using var issued = request.Create(_authority.SubjectName, generator, Yesterday, until, Serial());
            return new TestCertificate(issued.ExportCertificatePem() + "\n" + ChainPem, key.ExportECPrivateKeyPem() + "\n");
        }
        else
        {
            using var key = RSA.Create(2048);
            using var issued = Request($"CN={commonName}", key, isAuthority: false, hosts).Create(_authority, Yesterday, until, Serial());
            return new TestCertificate(issued.ExportCertificatePem() + "\n" + ChainPem, key.ExportRSAPrivateKeyPem() + "\n");
        }
    }

    private static CertificateRequest Request(string subject, RSA key, bool isAuthority, string[]? hosts = null)
    {
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        Extend(request, isAuthority, hosts);
        return request;
    }

    private static void Extend(CertificateRequest request, bool isAuthority, string[]? hosts)
    {
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(isAuthority, false, 0, true));
        if (isAuthority) request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        if (hosts is null) return;
        var names = new SubjectAlternativeNameBuilder();
        foreach (var host in hosts)
        {
            if (IPAddress.TryParse(host, out var address)) names.AddIpAddress(address);
            else names.AddDnsName(host);
        }
        request.CertificateExtensions.Add(names.Build());
    }

    private static byte[] Serial() => [1, .. RandomNumberGenerator.GetBytes(8)];
}

/// <summary>A certificate with its chain, and its key.</summary>
/// <param name="Pem">The certificate first.</param>
/// <param name="KeyPem">The key.</param>
public sealed record TestCertificate(string Pem, string KeyPem)
{
    /// <summary>Both together, for use in this process.</summary>
    public X509Certificate2 Load() => X509Certificate2.CreateFromPem(Pem, KeyPem);
}
