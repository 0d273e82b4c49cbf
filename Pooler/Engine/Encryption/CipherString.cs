using System.Net.Security;

namespace Pooler.Engine.Encryption;

/// <summary>
/// OpenSSL's language for lists of cipher suites (openssl-ciphers(1)), over the suites that there are here: words joined
/// by <c>+</c>, a leading <c>!</c> (never), <c>-</c> (take away) or <c>+</c> (to the end), <c>@STRENGTH</c>.
/// </summary>
internal static class CipherString
{
    /// <summary>Groups of suites that OpenSSL has or had and that are not offered here: naming them adds nothing.</summary>
    private static readonly HashSet<string> Gone =
    [
        "NULL", "eNULL", "aNULL", "ADH", "AECDH", "EXP", "EXPORT", "EXPORT40", "EXPORT56", "LOW", "MEDIUM", "MD5", "RC2", "RC4", "DES",
        "3DES", "IDEA", "SEED", "CAMELLIA", "CAMELLIA128", "CAMELLIA256", "ARIA", "ARIA128", "ARIA256", "ARIAGCM", "PSK", "kPSK",
        "kECDHEPSK", "kDHEPSK", "kRSAPSK", "aPSK", "SRP", "kSRP", "aSRP", "DSS", "aDSS", "aGOST", "aGOST01", "kGOST", "GOST94", "GOST89MAC",
        "KRB5", "kDHr", "kDHd", "kDH", "aDH", "kECDHr", "kECDHe", "kECDH", "aECDH", "aNONE", "SSLv2", "COMPLEMENTOFALL", "COMPLEMENTOFDEFAULT",
        "DES-CBC3-SHA", "ECDHE-RSA-DES-CBC3-SHA", "ECDHE-ECDSA-DES-CBC3-SHA", "EDH-RSA-DES-CBC3-SHA", "EDH-DSS-DES-CBC3-SHA",
    ];

    /// <summary>The suites in order of preference; null for the system's choice.</summary>
    /// <exception cref="TlsSetupException">A word is unknown, or no suite is left.</exception>
    public static TlsCipherSuite[]? Parse(string setting, string text)
    {
        // PgBouncer's shortcuts.
        switch (text.Trim().ToLowerInvariant())
        {
            case "" or "default" or "secure" or "fast" or "normal":
                return null;
            case "all" or "legacy" or "insecure":
                return [.. CipherSuites.Known.Select(s => s.Id)];
        }

        var active = new List<CipherSuite>();
        var never = new HashSet<CipherSuite>();
        foreach (var item in text.Split([':', ',', ' ', ';'], StringSplitOptions.RemoveEmptyEntries))
        {
            if (item == "@STRENGTH")
            {
                active = [.. active.OrderByDescending(s => s.Strength)];
                continue;
            }

            // The level is OpenSSL's own to enforce, by its configuration file.
            if (item.StartsWith("@SECLEVEL=", StringComparison.Ordinal)) continue;
            var operation = item[0] is '!' or '-' or '+' ? item[0] : ' ';
            var meant = Select(setting, operation == ' ' ? item : item[1..]);
            switch (operation)
            {
                case '!':
                    never.UnionWith(meant);
                    active.RemoveAll(meant.Contains);
                    break;
                case '-':
                    active.RemoveAll(meant.Contains);
                    break;
                case '+':
                    active = [.. active.Where(s => !meant.Contains(s)), .. active.Where(meant.Contains)];
                    break;
                default:
                    active.AddRange(meant.Where(s => !active.Contains(s) && !never.Contains(s)));
                    break;
            }
        }

        return active.Count > 0 ? [.. active.Select(s => s.Id)] : throw new TlsSetupException(setting, $"invalid {setting}: {text}: no cipher match");
    }

    private static List<CipherSuite> Select(string setting, string words)
    {
        IEnumerable<CipherSuite> meant = CipherSuites.Known;
        foreach (var word in words.Split('+'))
        {
            var name = word == "DEFAULT" ? "ALL" : word;
            if (!Gone.Contains(name) && !CipherSuites.Known.Any(s => s.IsFor(name)))
                throw new TlsSetupException(setting, $"invalid {setting}: {word} names no cipher suite known here");
            meant = meant.Where(s => s.IsFor(name));
        }

        return [.. meant];
    }
}
