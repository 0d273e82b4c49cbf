namespace Pooler.Engine.Configuration;

/// <summary>How much TLS is asked for and checked: libpq's <c>sslmode</c>.</summary>
public enum SslMode
{
    /// <summary>Never.</summary>
    Disable,

    /// <summary>Like <see cref="Prefer"/>, as in PgBouncer.</summary>
    Allow,

    /// <summary>When the other side wants it.</summary>
    Prefer,

    /// <summary>Always.</summary>
    Require,

    /// <summary>Always, and the other side's certificate must come from a trusted authority.</summary>
    VerifyCa,

    /// <summary>And a server's certificate must be for its host name.</summary>
    VerifyFull,
}

// Encryption of both sides.
public sealed partial record PoolerSettings
{
    /// <summary>Whether clients may or must use TLS.</summary>
    public SslMode ClientTlsSslMode { get; init; } = SslMode.Disable;

    /// <summary>PEM file with the certificate that clients see, and its chain.</summary>
    public string ClientTlsCertFile { get; init; } = "";

    /// <summary>PEM file with its key.</summary>
    public string ClientTlsKeyFile { get; init; } = "";

    /// <summary>PEM file with the authorities of client certificates.</summary>
    public string ClientTlsCaFile { get; init; } = "";

    /// <summary>Versions of TLS for clients.</summary>
    public string ClientTlsProtocols { get; init; } = "secure";

    /// <summary>Suites up to TLS 1.2 for clients.</summary>
    public string ClientTlsCiphers { get; init; } = "default";

    /// <summary>Suites of TLS 1.3 for clients; null is the system's choice.</summary>
    public string? ClientTls13Ciphers { get; init; }

    /// <summary>Whether servers are asked for TLS, or must have it.</summary>
    public SslMode ServerTlsSslMode { get; init; } = SslMode.Prefer;

    /// <summary>Whether TLS with servers begins without asking first.</summary>
    public bool ServerTlsDirect { get; init; }

    /// <summary>PEM file with the certificate that servers see.</summary>
    public string ServerTlsCertFile { get; init; } = "";

    /// <summary>PEM file with its key.</summary>
    public string ServerTlsKeyFile { get; init; } = "";

    /// <summary>PEM file with the authorities of server certificates; empty: the system's.</summary>
    public string ServerTlsCaFile { get; init; } = "";

    /// <summary>Versions of TLS with servers.</summary>
    public string ServerTlsProtocols { get; init; } = "secure";

    /// <summary>Suites up to TLS 1.2 with servers.</summary>
    public string ServerTlsCiphers { get; init; } = "default";

    /// <summary>Suites of TLS 1.3 with servers; null is the system's choice.</summary>
    public string? ServerTls13Ciphers { get; init; }

    private IEnumerable<object?> TlsSettings =>
    [
        ClientTlsSslMode, ClientTlsCertFile, ClientTlsKeyFile, ClientTlsCaFile, ClientTlsProtocols, ClientTlsCiphers, ClientTls13Ciphers,
        ServerTlsSslMode, ServerTlsDirect, ServerTlsCertFile, ServerTlsKeyFile, ServerTlsCaFile, ServerTlsProtocols, ServerTlsCiphers,
        ServerTls13Ciphers,
    ];

    /// <summary>Whether TLS would be the same with other settings.</summary>
    internal bool HasSameTls(PoolerSettings other) => TlsSettings.SequenceEqual(other.TlsSettings);
}
