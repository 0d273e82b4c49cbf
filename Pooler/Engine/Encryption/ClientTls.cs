using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Encryption;

/// <summary>TLS towards clients, where the pooler is the TLS server.</summary>
internal sealed class ClientTls
{
    /// <summary>The protocol's name in ALPN (PostgreSQL documentation, "SSL Session Encryption").</summary>
    public static readonly SslApplicationProtocol PostgreSql = new("postgresql");

    private readonly SslMode _mode;
    private readonly SslStreamCertificateContext _certificate;
    private readonly ReadOnlyMemory<byte> _binding;
    private readonly X509Certificate2Collection? _authorities;
    private readonly SslProtocols _protocols;
    private readonly CipherSuitesPolicy? _suites;

    private ClientTls(
        SslMode mode, SslStreamCertificateContext certificate, X509Certificate2Collection? authorities, SslProtocols protocols,
        CipherSuitesPolicy? suites)
    {
        _mode = mode;
        _certificate = certificate;
        _binding = ChannelBinding.EndPointHash(certificate.TargetCertificate);
        _authorities = authorities;
        _protocols = protocols;
        _suites = suites;
    }

    /// <summary>Whether clients without TLS are turned away, Unix sockets excepted.</summary>
    public bool IsRequired => _mode >= SslMode.Require;

    /// <exception cref="TlsSetupException">A file is missing or broken, or a setting cannot be met.</exception>
    public static ClientTls Load(PoolerSettings settings)
    {
        if (settings.ClientTlsCertFile.Length == 0 || settings.ClientTlsKeyFile.Length == 0)
        {
            throw new TlsSetupException("client_tls_sslmode",
                "To allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set.");
        }

        if (settings.ClientTlsSslMode >= SslMode.VerifyCa && settings.ClientTlsCaFile.Length == 0)
            throw new TlsSetupException("client_tls_sslmode", "verify-ca and verify-full require client_tls_ca_file");

        return new ClientTls(
            settings.ClientTlsSslMode,
            CertificateFiles.Own("client", settings.ClientTlsCertFile, settings.ClientTlsKeyFile),
            CertificateFiles.Authorities("client", settings.ClientTlsCaFile),
            TlsProtocols.Parse("client", settings.ClientTlsProtocols),
            CipherSuites.Policy("client", settings.ClientTlsCiphers, settings.ClientTls13Ciphers));
    }

    /// <param name="direct">
    /// TLS from the first byte on, without a SSLRequest: then the client must name the protocol, or a connection meant for
    /// another service could be bent to here (PostgreSQL documentation, "Direct TLS").
    /// </param>
    public TlsHandshake CreateHandshake(bool direct) => new Handshake(this, direct);

    private sealed class Handshake(ClientTls tls, bool direct) : TlsHandshake
    {
        private string? _refusal;

        public override async Task<TlsInfo> RunAsync(SslStream stream)
        {
            var options = new SslServerAuthenticationOptions
            {
                ServerCertificateContext = tls._certificate,
                EnabledSslProtocols = tls._protocols,
                CipherSuitesPolicy = tls._suites,
                ApplicationProtocols = [PostgreSql],
                AllowRenegotiation = false,
                // Asked for only where there is something to check it against, as PostgreSQL does.
                ClientCertificateRequired = tls._authorities is not null,
                CertificateChainPolicy = tls._authorities is null ? null : PeerCheck.Policy(tls._authorities),
                RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                {
                    if (certificate is null && tls._mode < SslMode.VerifyCa) return true;
                    if (errors == SslPolicyErrors.None) return true;
                    _refusal = PeerCheck.Describe(errors, chain);
                    return false;
                },
            };
            try
            {
                await stream.AuthenticateAsServerAsync(options).ConfigureAwait(false);
            }
            catch (AuthenticationException exception) when (_refusal is not null)
            {
                throw PeerCheck.Failed(_refusal, exception);
            }

            if (direct && stream.NegotiatedApplicationProtocol != PostgreSql)
                throw new AuthenticationException("received direct TLS connection request without ALPN protocol negotiation extension");
            return PeerCheck.Info(stream, tls._binding);
        }
    }
}
