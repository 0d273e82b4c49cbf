using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Encryption;

/// <summary>How the peer's certificate is checked, and what is kept of a finished handshake.</summary>
internal static class PeerCheck
{
    private const string VerifyFailed = "certificate verify failed";

    /// <summary>A chain must end in one of the authorities; null: in one that the system trusts.</summary>
    public static X509ChainPolicy Policy(X509Certificate2Collection? authorities)
    {
        var policy = new X509ChainPolicy
        {
            RevocationMode = X509RevocationMode.NoCheck,
            // A peer must not be able to make us fetch from an address of its choice.
            DisableCertificateDownloads = true,
        };
        if (authorities is not null)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(authorities);
        }

        return policy;
    }

    /// <summary>For the log: what is wrong with the certificate.</summary>
    public static string Describe(SslPolicyErrors errors, X509Chain? chain)
    {
        if ((errors & SslPolicyErrors.RemoteCertificateNotAvailable) != 0) return "the peer sent no certificate";
        var reasons = new List<string>();
        if ((errors & SslPolicyErrors.RemoteCertificateChainErrors) != 0 && chain is not null)
            reasons.AddRange(chain.ChainStatus.Select(s => s.StatusInformation.Trim()).Distinct());
        if ((errors & SslPolicyErrors.RemoteCertificateNameMismatch) != 0) reasons.Add("it is for another host name");
        return reasons.Count > 0 ? string.Join("; ", reasons) : errors.ToString();
    }

    /// <summary>For the log: what ended a handshake. What .NET says outermost is only that it ended.</summary>
    public static string Describe(Exception failure)
    {
        // Ours says all there is to say.
        if (failure.Message.StartsWith(VerifyFailed, StringComparison.Ordinal)) return failure.Message;
        while (failure.InnerException is { } inner) failure = inner;
        return failure.Message;
    }

    /// <summary>The error of a handshake that was ended because of the peer's certificate, in OpenSSL's words.</summary>
    public static AuthenticationException Failed(string reason, Exception cause) => new($"{VerifyFailed}: {reason}", cause);

    public static TlsInfo Info(SslStream stream, ReadOnlyMemory<byte> binding) => new(
        TlsProtocols.NameOf(stream.SslProtocol),
        CipherSuites.NameOf(stream.NegotiatedCipherSuite),
        // A copy: the stream disposes of its own.
        stream.RemoteCertificate is { } certificate ? X509CertificateLoader.LoadCertificate(certificate.GetRawCertData()) : null,
        binding);
}
