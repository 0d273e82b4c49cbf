namespace Pooler.Engine.Configuration;

/// <summary>
/// Reads environment variables. A setting is named by, weakest first: its bare name in capitals (<c>POOL_MODE</c>),
/// <c>PGBOUNCER_POOL_MODE</c>, .NET's <c>Pooler__PoolMode</c>, <c>POOLER_POOL_MODE</c>. The database to pool is named
/// by <c>DATABASES_HOST</c> and its like, or by <c>DATABASE_URL</c>.
/// </summary>
/// <remarks>
/// Bare names that belong to the shell, to other programs or to anybody are not read: USER, VERBOSE, LOGFILE, PIDFILE,
/// SYSLOG, CONFFILE, JOB_NAME and RESOLV_CONF are set on many machines for reasons of their own, and one of them turning into
/// a pooler's setting would be found by nobody. Our own settings (HTTP_PORT …) have no bare names either.
/// </remarks>
internal sealed class EnvironmentReader(ConfigurationDraft draft)
{
    private const string DatabasePrefix = "DATABASES_";
    private const string UrlName = "DATABASE_URL";

    // What applications call the address and login of a pooler, and what Kubernetes and Docker links inject for a
    // service of that name. They are not ours, and no slips either.
    private static readonly string[] Foreign = ["HOST", "PORT", "USER", "PASSWORD", "DATABASE", "DBNAME", "NAME", "URL", "URI", "USERNAME", "DATABASENAME", "JDBCCONNECTIONSTRING"];
    private static readonly string[] ForeignPrefixes = ["SERVICE_", "PORT_", "ENV_", "HTTP_URL", "TCP_URL"];

    /// <summary>Reads all variables.</summary>
    /// <param name="variables">The environment.</param>
    /// <param name="hasFile">
    /// Whether a configuration file is given. Then a bare DATABASE_URL is left alone: it is what applications read, and
    /// in a shared environment it points at this very pooler.
    /// </param>
    public void Read(IReadOnlyDictionary<string, string> variables, bool hasFile)
    {
        ReadUrl(variables, hasFile);
        foreach (var (name, value) in variables)
            if (name.StartsWith(DatabasePrefix, StringComparison.Ordinal)) ReadTarget(name, name[DatabasePrefix.Length..], value);
        foreach (var (name, value) in variables)
            if (SettingsTable.Find(name) is { PlainEnvironment: true } setting && name == setting.Name.ToUpperInvariant()) Set(setting, value, name);
        foreach (var (name, value) in variables)
            if (name.StartsWith("PGBOUNCER_", StringComparison.Ordinal)) ReadPrefixed(name, name["PGBOUNCER_".Length..], value, ours: false);
        foreach (var (name, value) in variables)
            if (name.StartsWith("Pooler__", StringComparison.OrdinalIgnoreCase))
                new ConfigurationKeys(draft).Set(name["Pooler__".Length..].Split("__"), value, Where(name));
        foreach (var (name, value) in variables)
            if (name.StartsWith("POOLER_", StringComparison.Ordinal) && !name.StartsWith("POOLER__", StringComparison.Ordinal))
                ReadPrefixed(name, name["POOLER_".Length..], value, ours: true);
    }

    private static string Where(string variable) => $"environment variable {variable}";

    private void ReadPrefixed(string variable, string rest, string value, bool ours)
    {
        if (rest.StartsWith(DatabasePrefix, StringComparison.Ordinal))
            ReadTarget(variable, rest[DatabasePrefix.Length..], value);
        else if (SettingsTable.Find(rest) is { } setting && (ours || setting.PgBouncerEnvironment))
            Set(setting, value, variable);
        else if (rest != UrlName && !Foreign.Contains(rest) && !ForeignPrefixes.Any(p => rest.StartsWith(p, StringComparison.Ordinal)))
            draft.Warn(Where(variable), SettingsTable.UnknownSetting(rest.ToLowerInvariant()));
    }

    private void Set(Setting<PoolerSettings> setting, string value, string variable)
    {
        // Compose files leave an empty variable behind where its value was not set.
        if (value.Trim().Length > 0 || setting.TakesEmpty) draft.Globals[setting.Name] = new RawValue(value.Trim(), Where(variable));
    }

    private void ReadTarget(string variable, string rest, string value)
    {
        if (value.Length == 0) return;
        if (rest == "CLIENT_SIDE_DBNAME") draft.TargetName = value;
        else if (SettingsTable.FindDatabaseKey(rest) is { } key) draft.Target.Values[key.Name] = new RawValue(value, Where(variable));
        else draft.Warn(Where(variable), SettingsTable.UnknownDatabaseKey(rest.ToLowerInvariant()));
    }

    private void ReadUrl(IReadOnlyDictionary<string, string> variables, bool hasFile)
    {
        string[] names = hasFile ? [$"PGBOUNCER_{UrlName}", $"POOLER_{UrlName}"] : [UrlName, $"PGBOUNCER_{UrlName}", $"POOLER_{UrlName}"];
        foreach (var name in names)
        {
            if (!variables.TryGetValue(name, out var url) || url.Length == 0) continue;
            DatabaseUrl.Read(url, Where(name), draft);
        }
    }
}
