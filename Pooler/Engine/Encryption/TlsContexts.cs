using Pooler.Engine.Configuration;

namespace Pooler.Engine.Encryption;

/// <summary>
/// What TLS needs on both sides, with the files read: one reading, so that what was checked is what is used.
/// </summary>
/// <param name="Clients">Towards clients; null when client_tls_sslmode is disable.</param>
/// <param name="Servers">Towards servers; null when server_tls_sslmode is disable.</param>
internal sealed record TlsContexts(ClientTls? Clients, ServerTls? Servers)
{
    /// <summary>Reads the files that the settings name.</summary>
    /// <exception cref="TlsSetupException">A file is missing or broken, or a setting cannot be met.</exception>
    public static TlsContexts Load(PoolerSettings settings)
    {
        if (settings.AuthType == AuthType.Cert && settings.ClientTlsSslMode != SslMode.VerifyFull)
            throw new TlsSetupException("auth_type", "auth_type=cert requires client_tls_sslmode=verify-full");
        return new TlsContexts(
            settings.ClientTlsSslMode == SslMode.Disable ? null : ClientTls.Load(settings),
            settings.ServerTlsSslMode == SslMode.Disable ? null : ServerTls.Load(settings));
    }
}
