namespace Pooler.Engine.Configuration;

/// <summary>Reads <c>postgres://user:password@host:port/dbname?parameters</c> (PostgreSQL documentation, "Connection URIs").</summary>
internal static class DatabaseUrl
{
    private static readonly string[] Schemes = ["postgres://", "postgresql://"];

    /// <summary>
    /// Adds what the URL says to the target. Taken apart by hand: <see cref="Uri"/> refuses host lists and the
    /// characters that people leave bare in passwords. Messages never repeat any of it.
    /// </summary>
    public static void Read(string url, string where, ConfigurationDraft draft)
    {
        var scheme = Schemes.FirstOrDefault(s => url.StartsWith(s, StringComparison.OrdinalIgnoreCase));
        if (scheme is null)
        {
            draft.Error(where, "expected postgres://user:password@host:port/dbname");
            return;
        }

        var rest = url[scheme.Length..];
        var query = "";
        if (rest.IndexOf('?', StringComparison.Ordinal) is var mark and >= 0) (rest, query) = (rest[..mark], rest[(mark + 1)..]);

        // A bare @ or / in a password: the last @ ends it, and only what follows can hold the path.
        var at = rest.LastIndexOf('@');
        var login = at < 0 ? "" : rest[..at];
        var address = rest[(at + 1)..];
        var slash = address.IndexOf('/', StringComparison.Ordinal);
        var database = slash < 0 ? "" : address[(slash + 1)..];
        if (slash >= 0) address = address[..slash];

        var colon = login.IndexOf(':', StringComparison.Ordinal);
        Set("user", colon < 0 ? login : login[..colon]);
        if (colon >= 0) Set("password", login[(colon + 1)..]);
        Set("dbname", database);
        ReadAddress(address);
        foreach (var pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries)) ReadParameter(pair);

        void Set(string key, string encoded)
        {
            if (encoded.Length > 0) draft.Target.Values[key] = new RawValue(Uri.UnescapeDataString(encoded), where);
        }

        void ReadAddress(string list)
        {
            var hosts = new List<string>();
            var ports = new List<string>();
            foreach (var item in list.Split(',', StringSplitOptions.RemoveEmptyEntries))
            {
                // [::1]:5432 has colons of its own.
                var end = item.LastIndexOf(':');
                var hasPort = end >= 0 && !item.EndsWith(']') && (item.StartsWith('[') || item.IndexOf(':', StringComparison.Ordinal) == end);
                hosts.Add((hasPort ? item[..end] : item).Trim('[', ']'));
                ports.Add(hasPort ? item[(end + 1)..] : "5432");
            }

            Set("host", string.Join(',', hosts));
            Set("port", string.Join(',', ports.Distinct().Count() == 1 ? ports[..1] : ports));
        }

        void ReadParameter(string pair)
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            var key = (equals < 0 ? pair : pair[..equals]).ToLowerInvariant();
            var value = equals < 0 ? "" : pair[(equals + 1)..];
            if (key == "sslmode") ReadSslMode(Uri.UnescapeDataString(value));
            else if (SettingsTable.FindDatabaseKey(key) is { } setting) Set(setting.Name, value);
            else draft.Warn(where, $"parameter {key} has no effect");
        }

        void ReadSslMode(string mode)
        {
            var setting = SettingsTable.Find("server_tls_sslmode")!;
            if (!setting.TrySet(new PoolerSettings(), mode, out _, out var error)) draft.Error(where, $"sslmode: {error}");
            else draft.Globals.TryAdd(setting.Name, new RawValue(mode, where));
        }
    }
}
