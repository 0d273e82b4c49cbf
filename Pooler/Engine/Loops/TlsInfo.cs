using System.Security.Cryptography.X509Certificates;

namespace Pooler.Engine.Loops;

/// <summary>What TLS agreed on for one connection. Fixed once the handshake has ended.</summary>
/// <param name="Protocol">As OpenSSL names it: <c>TLSv1.3</c>, <c>TLSv1.2</c>.</param>
/// <param name="Cipher">Name of the suite as OpenSSL gives it, such as <c>TLS_AES_256_GCM_SHA384</c>.</param>
/// <param name="PeerCertificate">The peer's certificate, verified if the settings ask for it; null when it sent none.</param>
/// <param name="EndPointBinding">
/// Channel binding data <c>tls-server-end-point</c> (RFC 5929, section 4): the hash of the certificate of whoever is
/// the TLS server here; ours towards clients, the server's towards servers. Empty when it is undefined.
/// </param>
public sealed record TlsInfo(
    string Protocol, string Cipher, X509Certificate2? PeerCertificate, ReadOnlyMemory<byte> EndPointBinding)
{
    /// <summary>For logs and the <c>tls</c> column: protocol and suite, as in <c>TLSv1.3/TLS_AES_256_GCM_SHA384</c>.</summary>
    public string Description => $"{Protocol}/{Cipher}";
}
