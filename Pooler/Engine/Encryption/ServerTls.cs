using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Encryption;

/// <summary>TLS towards servers, where the pooler is the TLS client.</summary>
internal sealed class ServerTls
{
    private readonly SslMode _mode;
    private readonly SslStreamCertificateContext? _certificate;
    private readonly X509Certificate2Collection? _authorities;
    private readonly SslProtocols _protocols;
    private readonly CipherSuitesPolicy? _suites;

    private ServerTls(
        SslMode mode, SslStreamCertificateContext? certificate, X509Certificate2Collection? authorities, SslProtocols protocols,
        CipherSuitesPolicy? suites)
    {
        _mode = mode;
        _certificate = certificate;
        _authorities = authorities;
        _protocols = protocols;
        _suites = suites;
    }

    /// <summary>Whether a server that refuses TLS is not to be used.</summary>
    public bool IsRequired => _mode >= SslMode.Require;

    /// <summary>Whether TLS begins with the first byte, without a SSLRequest.</summary>
    public bool IsDirect { get; private init; }

    /// <summary>The same for the same settings and the same contents of their files.</summary>
    public required string Fingerprint { get; init; }

    /// <exception cref="TlsSetupException">A file is missing or broken, or a setting cannot be met.</exception>
    public static ServerTls Load(PoolerSettings settings)
    {
        var (certificateFile, keyFile, authorityFile) = (settings.ServerTlsCertFile, settings.ServerTlsKeyFile, settings.ServerTlsCaFile);
        if ((certificateFile.Length == 0) != (keyFile.Length == 0))
        {
            throw new TlsSetupException(certificateFile.Length == 0 ? "server_tls_key_file" : "server_tls_cert_file",
                "server_tls_cert_file and server_tls_key_file belong together");
        }

        if (settings.ServerTlsDirect && settings.ServerTlsSslMode < SslMode.Require)
        {
            throw new TlsSetupException("server_tls_sslnegotiation",
                "direct needs server_tls_sslmode require, verify-ca or verify-full: there is no asking whether the server wants TLS");
        }

        return new ServerTls(
            settings.ServerTlsSslMode,
            certificateFile.Length == 0 ? null : CertificateFiles.Own("server", certificateFile, keyFile),
            CertificateFiles.Authorities("server", authorityFile),
            TlsProtocols.Parse("server", settings.ServerTlsProtocols),
            CipherSuites.Policy("server", settings.ServerTlsCiphers, settings.ServerTls13Ciphers))
        {
            IsDirect = settings.ServerTlsDirect,
            Fingerprint = string.Join('\n',
                settings.ServerTlsSslMode, settings.ServerTlsDirect, settings.ServerTlsProtocols, settings.ServerTlsCiphers,
                settings.ServerTls13Ciphers, certificateFile, Hash(certificateFile), Hash(keyFile), authorityFile, Hash(authorityFile)),
        };
    }

    /// <param name="host">
    /// The server's name or address as the configuration has it: sent to it (SNI) when it is a name, and with verify-full
    /// what its certificate must be for.
    /// </param>
    public TlsHandshake CreateHandshake(string host) => new Handshake(this, host);

    private static string Hash(string file) =>
        file.Length == 0 ? "" : Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(File.ReadAllText(file))));

    private sealed class Handshake(ServerTls tls, string host) : TlsHandshake
    {
        private string? _refusal;

        public override async Task<TlsInfo> RunAsync(SslStream stream)
        {
            var options = new SslClientAuthenticationOptions
            {
                TargetHost = host,
                EnabledSslProtocols = tls._protocols,
                CipherSuitesPolicy = tls._suites,
                ApplicationProtocols = [ClientTls.PostgreSql],
                AllowRenegotiation = false,
                ClientCertificateContext = tls._certificate,
                CertificateChainPolicy = PeerCheck.Policy(tls._authorities),
                RemoteCertificateValidationCallback = (_, _, chain, errors) =>
                {
                    var relevant = tls._mode switch
                    {
                        SslMode.VerifyFull => errors,
                        SslMode.VerifyCa => errors & ~SslPolicyErrors.RemoteCertificateNameMismatch,
                        _ => SslPolicyErrors.None,
                    };
                    if (relevant == SslPolicyErrors.None) return true;
                    _refusal = PeerCheck.Describe(relevant, chain);
                    return false;
                },
            };
            try
            {
                await stream.AuthenticateAsClientAsync(options).ConfigureAwait(false);
            }
            catch (AuthenticationException exception) when (_refusal is not null)
            {
                throw PeerCheck.Failed(_refusal, exception);
            }

            var info = PeerCheck.Info(stream, default);
            return info.PeerCertificate is { } certificate ? info with { EndPointBinding = ChannelBinding.EndPointHash(certificate) } : info;
        }
    }
}
