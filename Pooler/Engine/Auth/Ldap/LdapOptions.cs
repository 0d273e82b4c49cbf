using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Pooler.Engine.Auth.Ldap;

/// <summary>How far below the base a search looks (RFC 4511, 4.5.1.2).</summary>
internal enum LdapScope
{
    /// <summary>The base itself.</summary>
    Base,

    /// <summary>What is directly below it.</summary>
    One,

    /// <summary>The base and everything below it.</summary>
    Subtree,
}

/// <summary>
/// How to find and ask an LDAP server, in the words of PostgreSQL's pg_hba.conf (PostgreSQL documentation, "LDAP
/// Authentication"): either a name is made from prefix, user and suffix (simple bind), or the user is searched for below
/// a base first (search+bind).
/// </summary>
internal sealed record LdapOptions
{
    /// <summary>Host names or addresses, tried in this order.</summary>
    public IReadOnlyList<string> Servers { get; init; } = [];

    /// <summary>Null: 389, or 636 with <see cref="IsSecure"/>.</summary>
    public int? Port { get; init; }

    /// <summary>TLS from the first byte (<c>ldaps</c>).</summary>
    public bool IsSecure { get; init; }

    /// <summary>TLS begun on the plain connection (<c>ldaptls=1</c>, StartTLS).</summary>
    public bool StartsTls { get; init; }

    /// <summary>Simple bind: what stands before the user's name.</summary>
    public string? Prefix { get; init; }

    /// <summary>Simple bind: what stands behind the user's name.</summary>
    public string? Suffix { get; init; }

    /// <summary>Search+bind: where to search; null without a search.</summary>
    public string? BaseDn { get; init; }

    /// <summary>Search+bind: how deep.</summary>
    public LdapScope Scope { get; init; } = LdapScope.Subtree;

    /// <summary>Search+bind: who searches; null is anonymous.</summary>
    public string? BindDn { get; init; }

    /// <summary>Search+bind: the searcher's password. Never logged.</summary>
    public string? BindPassword { get; init; }

    /// <summary>Search+bind: the attribute that holds the user's name; null: uid.</summary>
    public string? SearchAttribute { get; init; }

    /// <summary>Search+bind: a whole filter, in which <c>$username</c> stands for the user's name.</summary>
    public string? SearchFilter { get; init; }

    /// <summary>Keeps a record's generated text from carrying the password into a log.</summary>
    public override string ToString() => $"LDAP at {string.Join(' ', Servers)}";

    /// <summary>Reads <c>key=value</c> pairs, separated by white space or commas; either may be in double quotes.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out LdapOptions? options, [NotNullWhen(false)] out string? error)
    {
        options = null;
        var result = new LdapOptions();
        var rest = text.AsSpan().Trim();
        while (!rest.IsEmpty)
        {
            var column = text.AsSpan().TrimEnd().Length - rest.Length + 1;
            if (!TryReadPair(ref rest, column, out var key, out var value, out error) || !TryApply(ref result, column, key, value, out error)) return false;
            rest = rest.TrimStart();
            if (rest.StartsWith(",")) rest = rest[1..].TrimStart();
        }
        error = result.FindContradiction();
        if (error is not null) return false;
        options = result;
        return true;
    }

    private static bool TryReadPair(ref ReadOnlySpan<char> rest, int column, out string key, out string value, [NotNullWhen(false)] out string? error)
    {
        value = "";
        key = ReadToken(ref rest, '=');
        if (!rest.StartsWith("=") || key.Length == 0)
        {
            error = $"expected name=value in column {column} of the options";
            return false;
        }
        rest = rest[1..];
        value = ReadToken(ref rest, ',');
        error = value.Length == 0 ? $"{Describe(key, column)} has no value" : null;
        return error is null;
    }

    // What is no option's name may be the rest of a password with a blank or a comma in it.
    private static string Describe(string key, int column) =>
        key.StartsWith("ldap", StringComparison.Ordinal) ? $"\"{key}\"" : $"what stands in column {column} of the options";

    /// <summary>A quoted text, in which a doubled quote stands for one, or everything up to white space or the given end.</summary>
    private static string ReadToken(ref ReadOnlySpan<char> rest, char end)
    {
        var token = new StringBuilder();
        if (!rest.StartsWith("\""))
        {
            var length = 0;
            while (length < rest.Length && rest[length] != end && !char.IsWhiteSpace(rest[length])) length++;
            token.Append(rest[..length]);
            rest = rest[length..];
            return token.ToString();
        }
        rest = rest[1..];
        while (!rest.IsEmpty)
        {
            if (rest.StartsWith("\"\""))
            {
                token.Append('"');
                rest = rest[2..];
                continue;
            }
            var c = rest[0];
            rest = rest[1..];
            if (c == '"') break;
            token.Append(c);
        }
        return token.ToString();
    }

    private static bool TryApply(ref LdapOptions options, int column, string key, string value, [NotNullWhen(false)] out string? error)
    {
        error = null;
        switch (key)
        {
            case "ldapserver":
                options = options with { Servers = value.Split(' ', StringSplitOptions.RemoveEmptyEntries) };
                break;
            case "ldapport" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= 65535:
                options = options with { Port = port };
                break;
            case "ldapport":
                error = $"invalid LDAP port number: \"{value}\"";
                break;
            case "ldapscheme" when value is "ldap" or "ldaps":
                options = options with { IsSecure = value == "ldaps" };
                break;
            case "ldapscheme":
                error = $"invalid ldapscheme value: \"{value}\"";
                break;
            case "ldaptls" when value is "0" or "1":
                options = options with { StartsTls = value == "1" };
                break;
            case "ldaptls":
                // As PostgreSQL takes 1 only, whoever writes yes would have everything sent in the clear.
                error = $"invalid ldaptls value: \"{value}\": 0 or 1";
                break;
            case "ldapprefix":
                options = options with { Prefix = value };
                break;
            case "ldapsuffix":
                options = options with { Suffix = value };
                break;
            case "ldapbasedn":
                options = options with { BaseDn = value };
                break;
            case "ldapbinddn":
                options = options with { BindDn = value };
                break;
            case "ldapbindpasswd":
                options = options with { BindPassword = value };
                break;
            case "ldapsearchattribute":
                options = options with { SearchAttribute = value };
                break;
            case "ldapsearchfilter":
                options = options with { SearchFilter = value };
                break;
            case "map" or "clientcert" or "clientname":
                // Options of the HBA line itself.
                break;
            case "ldapurl":
                return TryApplyUrl(ref options, value, out error);
            default:
                error = $"invalid LDAP option: {Describe(key, column)}";
                break;
        }
        return error is null;
    }

    /// <summary><c>ldap[s]://host[:port]/basedn[?attributes[?scope[?filter[?extensions]]]]</c> (RFC 4516).</summary>
    private static bool TryApplyUrl(ref LdapOptions options, string url, [NotNullWhen(false)] out string? error)
    {
        error = null;
        var colon = url.IndexOf("://", StringComparison.Ordinal);
        var scheme = colon < 0 ? "" : url[..colon].ToLowerInvariant();
        if (scheme is not ("ldap" or "ldaps"))
        {
            error = colon < 0 ? $"could not parse LDAP URL" : $"unsupported LDAP URL scheme: {scheme}";
            return false;
        }
        var rest = url[(colon + 3)..];
        var slash = rest.IndexOf('/');
        var address = slash < 0 ? rest : rest[..slash];
        var parts = slash < 0 ? [] : rest[(slash + 1)..].Split('?');
        string? Part(int index) => index < parts.Length && parts[index].Length > 0 ? Uri.UnescapeDataString(parts[index]) : null;

        var (host, port) = SplitAddress(address);
        if (port is "" || (port is not null && (!int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number is 0 or > 65535)))
        {
            error = $"could not parse LDAP URL: invalid port";
            return false;
        }
        LdapScope? scope = Part(2)?.ToLowerInvariant() switch
        {
            null or "base" => LdapScope.Base,
            "one" or "onelevel" => LdapScope.One,
            "sub" or "subtree" => LdapScope.Subtree,
            _ => null,
        };
        if (scope is null)
        {
            error = $"could not parse LDAP URL: the scope must be base, one or sub";
            return false;
        }
        options = options with
        {
            IsSecure = scheme == "ldaps",
            Servers = host.Length > 0 ? [Uri.UnescapeDataString(host)] : [],
            Port = port is null ? null : int.Parse(port, CultureInfo.InvariantCulture),
            BaseDn = Part(0) ?? "",
            SearchAttribute = Part(1)?.Split(',')[0] ?? options.SearchAttribute,
            Scope = scope.Value,
            SearchFilter = Part(3) ?? options.SearchFilter,
        };
        return true;
    }

    private static (string Host, string? Port) SplitAddress(string address)
    {
        // An IPv6 address stands in brackets.
        var search = address.StartsWith('[') ? address.IndexOf(']') : 0;
        var colon = search < 0 ? -1 : address.IndexOf(':', search);
        return colon < 0 ? (address, null) : (address[..colon], address[(colon + 1)..]);
    }

    private string? FindContradiction()
    {
        if (Prefix is not null || Suffix is not null)
        {
            if (BaseDn is not null || BindDn is not null || BindPassword is not null || SearchAttribute is not null || SearchFilter is not null)
                return "cannot mix options for simple bind and search+bind modes";
        }
        else if (BaseDn is null)
        {
            return "authentication method \"ldap\" requires argument \"ldapbasedn\", \"ldapprefix\", or \"ldapsuffix\" to be set";
        }
        if (SearchAttribute is not null && SearchFilter is not null) return "cannot use ldapsearchattribute together with ldapsearchfilter";
        return Servers.Count == 0 ? "ldapserver is missing: servers are not looked up by the base's DNS name" : null;
    }
}
