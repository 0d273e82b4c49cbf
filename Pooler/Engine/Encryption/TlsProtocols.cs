using System.Security.Authentication;

namespace Pooler.Engine.Encryption;

/// <summary>The values of <c>client_tls_protocols</c> and <c>server_tls_protocols</c>.</summary>
internal static class TlsProtocols
{
// People who still need the old versions must be able to say so; the defaults leave them out.
#pragma warning disable CA5397, SYSLIB0039
    private const SslProtocols Tls10 = SslProtocols.Tls;
    private const SslProtocols Tls11 = SslProtocols.Tls11;
#pragma warning restore CA5397, SYSLIB0039

    private const SslProtocols Secure = SslProtocols.Tls12 | SslProtocols.Tls13;
    private const SslProtocols All = Tls10 | Tls11 | Secure;

    /// <summary>Reads a list: versions or groups of them, taken away again with a leading <c>!</c>; later ones win.</summary>
    /// <exception cref="TlsSetupException">An unknown word, or nothing left.</exception>
    public static SslProtocols Parse(string side, string text)
    {
        var setting = $"{side}_tls_protocols";
        var words = text.Split([',', ':', ' '], StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0) return Secure;
        // A list that begins by taking away takes from all.
        var protocols = words[0].StartsWith('!') ? All : SslProtocols.None;
        foreach (var word in words)
        {
            var taken = word.StartsWith('!');
            var named = word.TrimStart('!').ToLowerInvariant() switch
            {
                "all" or "legacy" => All,
                "secure" or "default" => Secure,
                "tlsv1" => All,
                "tlsv1.0" => Tls10,
                "tlsv1.1" => Tls11,
                "tlsv1.2" => SslProtocols.Tls12,
                "tlsv1.3" => SslProtocols.Tls13,
                _ => throw new TlsSetupException(setting,
                    $"invalid {setting}: {text}; allowed: tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3, secure, all, comma separated"),
            };
            protocols = taken ? protocols & ~named : protocols | named;
        }

        return protocols != SslProtocols.None ? protocols : throw new TlsSetupException(setting, $"invalid {setting}: {text} leaves no version");
    }

    /// <summary>As OpenSSL names it.</summary>
    public static string NameOf(SslProtocols protocol) => protocol switch
    {
        SslProtocols.Tls13 => "TLSv1.3",
        SslProtocols.Tls12 => "TLSv1.2",
        Tls11 => "TLSv1.1",
        Tls10 => "TLSv1",
        _ => protocol.ToString(),
    };
}
