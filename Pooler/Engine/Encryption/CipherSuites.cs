using System.Net.Security;

namespace Pooler.Engine.Encryption;

/// <summary>Cipher suites by OpenSSL's names, and what of them a connection may use.</summary>
internal static class CipherSuites
{
    /// <summary>The suites of TLS 1.3 that OpenSSL uses when none are chosen, in its order.</summary>
    private static readonly TlsCipherSuite[] Tls13 =
        [TlsCipherSuite.TLS_AES_256_GCM_SHA384, TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256, TlsCipherSuite.TLS_AES_128_GCM_SHA256];

    private static readonly TlsCipherSuite[] Tls13Known =
        [.. Tls13, TlsCipherSuite.TLS_AES_128_CCM_SHA256, TlsCipherSuite.TLS_AES_128_CCM_8_SHA256];

    /// <summary>
    /// The suites up to TLS 1.2 with AES or ChaCha20, strongest and with forward secrecy first: the ones that a current
    /// OpenSSL still has and anyone should choose from.
    /// </summary>
    public static readonly CipherSuite[] Known =
    [
        new("ECDHE-ECDSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        new("ECDHE-RSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        new("DHE-RSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_256_GCM_SHA384),
        new("ECDHE-ECDSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        new("ECDHE-RSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        new("DHE-RSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        new("ECDHE-ECDSA-AES256-CCM", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_CCM),
        new("ECDHE-ECDSA-AES256-CCM8", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8),
        new("DHE-RSA-AES256-CCM", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_256_CCM),
        new("ECDHE-ECDSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        new("ECDHE-RSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        new("DHE-RSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_128_GCM_SHA256),
        new("ECDHE-ECDSA-AES128-CCM", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CCM),
        new("ECDHE-ECDSA-AES128-CCM8", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8),
        new("DHE-RSA-AES128-CCM", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_128_CCM),
        new("ECDHE-ECDSA-AES256-SHA384", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384),
        new("ECDHE-RSA-AES256-SHA384", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384),
        new("DHE-RSA-AES256-SHA256", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_256_CBC_SHA256),
        new("ECDHE-ECDSA-AES128-SHA256", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256),
        new("ECDHE-RSA-AES128-SHA256", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256),
        new("DHE-RSA-AES128-SHA256", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_128_CBC_SHA256),
        new("ECDHE-ECDSA-AES256-SHA", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA),
        new("ECDHE-RSA-AES256-SHA", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA),
        new("DHE-RSA-AES256-SHA", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_256_CBC_SHA),
        new("ECDHE-ECDSA-AES128-SHA", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA),
        new("ECDHE-RSA-AES128-SHA", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA),
        new("DHE-RSA-AES128-SHA", TlsCipherSuite.TLS_DHE_RSA_WITH_AES_128_CBC_SHA),
        new("AES256-GCM-SHA384", TlsCipherSuite.TLS_RSA_WITH_AES_256_GCM_SHA384),
        new("AES256-CCM", TlsCipherSuite.TLS_RSA_WITH_AES_256_CCM),
        new("AES128-GCM-SHA256", TlsCipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256),
        new("AES128-CCM", TlsCipherSuite.TLS_RSA_WITH_AES_128_CCM),
        new("AES256-SHA256", TlsCipherSuite.TLS_RSA_WITH_AES_256_CBC_SHA256),
        new("AES128-SHA256", TlsCipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA256),
        new("AES256-SHA", TlsCipherSuite.TLS_RSA_WITH_AES_256_CBC_SHA),
        new("AES128-SHA", TlsCipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA),
    ];

    private static readonly Dictionary<TlsCipherSuite, string> Names = Known.ToDictionary(s => s.Id, s => s.Name);

    /// <summary>As OpenSSL names it; from TLS 1.3 on that is the standard's name.</summary>
    public static string NameOf(TlsCipherSuite suite) => Names.GetValueOrDefault(suite) ?? suite.ToString();

    /// <summary>
    /// What the settings leave of the suites; null: the system's choice (on Linux OpenSSL's, with its configuration file).
    /// </summary>
    /// <exception cref="TlsSetupException">A setting names something unknown, or the system offers no choice.</exception>
    public static CipherSuitesPolicy? Policy(string side, string ciphers, string? ciphers13)
    {
        var chosen = CipherString.Parse($"{side}_tls_ciphers", ciphers);
        var chosen13 = ciphers13 is null ? null : ParseTls13($"{side}_tls13_ciphers", ciphers13);
        if (chosen is null && chosen13 is null) return null;
        if (OperatingSystem.IsWindows() || OperatingSystem.IsAndroid())
        {
            throw new TlsSetupException(chosen is null ? $"{side}_tls13_ciphers" : $"{side}_tls_ciphers",
                "this system lets applications choose no cipher suites: configure them in the system");
        }

        return new CipherSuitesPolicy([.. chosen13 ?? Tls13, .. chosen ?? Known.Where(s => !s.IsFor("CCM")).Select(s => s.Id)]);
    }

    private static TlsCipherSuite[] ParseTls13(string setting, string text)
    {
        var suites = new List<TlsCipherSuite>();
        foreach (var name in text.Split([':', ',', ' '], StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var found = Array.Find(Tls13Known, s => s.ToString() == name);
            suites.Add(found != default ? found : throw new TlsSetupException(setting,
                $"failed to set the TLSv1.3 cipher suites: {name} is unknown; allowed: {string.Join(", ", Tls13Known)}"));
        }

        return suites.Count > 0 ? [.. suites] : throw new TlsSetupException(setting, "failed to set the TLSv1.3 cipher suites: none are named");
    }
}

/// <summary>One suite up to TLS 1.2.</summary>
/// <param name="Name">As OpenSSL has it; its parts say what it is made of.</param>
/// <param name="Id">The same for .NET.</param>
internal sealed record CipherSuite(string Name, TlsCipherSuite Id)
{
    private readonly string[] _parts = Name.Split('-');

    /// <summary>Bits of its key.</summary>
    public int Strength => _parts.Any(p => p is "AES128") ? 128 : 256;

    /// <summary>Whether one of OpenSSL's words for groups of suites means this one.</summary>
    public bool IsFor(string word) => word switch
    {
        "ALL" or "HIGH" => true,
        "kEECDH" or "kECDHE" or "EECDH" or "ECDHE" or "ECDH" => _parts[0] == "ECDHE",
        "kEDH" or "kDHE" or "EDH" or "DHE" or "DH" => _parts[0] == "DHE",
        "kRSA" or "RSA" => _parts[0] is not ("ECDHE" or "DHE"),
        "aRSA" => !Has("ECDSA"),
        "aECDSA" or "ECDSA" => Has("ECDSA"),
        "AES" => Has("AES128") || Has("AES256"),
        "AESGCM" => Has("GCM"),
        "AESCCM" or "CCM" => Has("CCM") || Has("CCM8"),
        "AESCCM8" => Has("CCM8"),
        "CHACHA20" => Has("CHACHA20"),
        "AES128" or "AES256" => Has(word),
        "SHA" or "SHA1" => _parts[^1] == "SHA",
        "SHA256" or "SHA384" => _parts[^1] == word && !Has("GCM"),
        "TLSv1.2" => _parts[^1] != "SHA",
        "TLSv1" or "TLSv1.0" or "SSLv3" => _parts[^1] == "SHA",
        _ => Name == word,
    };

    private bool Has(string part) => Array.IndexOf(_parts, part) >= 0;
}
