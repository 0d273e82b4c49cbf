using Pooler.Engine.Auth;
using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Auth.Ldap;
using Pooler.Engine.Encryption;
using Pooler.Engine.Hosts;

namespace Pooler.Engine.Configuration;

/// <summary>Reads and checks a configuration from all its sources.</summary>
public static class ConfigurationLoader
{
    private const string ConsoleDatabase = "pgbouncer";

    /// <summary>
    /// Reads everything and reports all that is wrong, not just the first thing.
    /// </summary>
    /// <param name="sources">Where to read.</param>
    /// <param name="running">
    /// What runs now, when this is a reload: settings that need a restart keep its values, with a warning.
    /// </param>
    public static ConfigurationResult Load(ConfigurationSources sources, PoolerConfiguration? running = null)
    {
        var draft = new ConfigurationDraft();
        new ConfigurationKeys(draft).Read(sources.Keys);
        if (sources.File is { } file) new IniReader(draft).Read(file);
        new EnvironmentReader(draft).Read(sources.Environment, sources.File is not null);
        foreach (var (name, value) in sources.CommandLine) draft.SetGlobal(name, value, "command line");

        var settings = ReadSettings(draft, sources);
        if (running is not null) settings = KeepWhatNeedsRestart(draft, settings, running.Settings);
        var users = ReadUsers(draft, settings);
        AddTarget(draft, settings, users);
        var databases = ReadDatabases(draft);
        var peers = ReadPeers(draft);
        settings = NameAdmin(draft, settings);
        var tls = LoadTls(draft, settings);
        CheckWhole(draft, sources, settings, databases, users);
        var access = AccessRules.Load(settings);
        draft.Warnings.AddRange(access.Issues);

        return new ConfigurationResult
        {
            Configuration = draft.Errors.Count > 0
                ? null
                : new PoolerConfiguration { Settings = settings, Databases = databases, Users = users, Peers = peers, Access = access, Tls = tls },
            Errors = draft.Errors,
            Warnings = draft.Warnings,
            Origins = Origins(draft),
        };
    }

    private static Dictionary<string, string> Origins(ConfigurationDraft draft)
    {
        var origins = draft.Globals.ToDictionary(g => g.Key, g => g.Value.Where);
        foreach (var (name, entry) in draft.Databases) origins[$"database {name}"] = entry.Where;
        foreach (var (name, entry) in draft.Users) origins[$"user {name}"] = entry.Where;
        return origins;
    }

    private static PoolerSettings ReadSettings(ConfigurationDraft draft, ConfigurationSources sources)
    {
        var defaults = SettingsTable.DefaultsFor(sources.File);
        var settings = defaults with { ConfFile = sources.File };

        // PgBouncer's default, no TCP at all, is one line away in a file; without a file nobody could connect.
        if (sources.File is null) settings = settings with { ListenAddr = sources.InContainer ? "*" : "127.0.0.1" };

        foreach (var (name, value) in draft.Globals)
        {
            var setting = SettingsTable.Find(name)!;
            if (!setting.TrySet(settings, value.Text, out var changed, out var error))
            {
                draft.Error(value.Where, error);
                continue;
            }

            settings = changed;
            if (setting.IsUnheeded(settings, defaults)) draft.Warn(value.Where, $"{name}: {setting.Note}");
        }

        return settings;
    }

    private static PoolerSettings KeepWhatNeedsRestart(ConfigurationDraft draft, PoolerSettings settings, PoolerSettings running)
    {
        foreach (var setting in GlobalSettings.All)
        {
            if (setting.Reloadable) continue;
            var (before, after) = (setting.Show(running), setting.Show(settings));
            if (before == after) continue;
            if (setting.TrySet(settings, before ?? "", out var kept, out _)) settings = kept;
            var change = setting.Secret ? "" : $" ({before ?? "unset"} now, {after ?? "unset"} then)";
            draft.Warn(draft.Globals.TryGetValue(setting.Name, out var value) ? value.Where : null, $"{setting.Name} changes at the next restart only{change}");
        }

        return settings;
    }

    private static Dictionary<string, UserSettings> ReadUsers(ConfigurationDraft draft, PoolerSettings settings)
    {
        var users = new Dictionary<string, UserSettings>();
        if (settings.AuthFile is { } file)
        {
            var auth = AuthFile.Load(file);
            foreach (var error in auth.Errors) draft.Errors.Add(new ConfigurationIssue(null, $"auth_file {error}"));
            foreach (var (name, secret) in auth.Users) users[name] = new UserSettings { Name = name, Secret = secret?.Text ?? "" };
        }

        foreach (var (name, entry) in draft.Users)
        {
            var listed = users.GetValueOrDefault(name);
            var user = Fill(draft, entry, listed ?? new UserSettings { Name = name }, new UserSettings { Name = name }, SettingsTable.FindUserKey, $"user {name}");
            // Settings for a name let nobody in: also with auth_type trust the auth_file, or a password here, names the users.
            users[name] = user with { IsKnown = listed is not null || user.Secret is not null };
        }

        return users;
    }

    private static void AddTarget(ConfigurationDraft draft, PoolerSettings settings, Dictionary<string, UserSettings> users)
    {
        var target = draft.Target.Values;
        if (target.Count == 0) return;

        var name = draft.TargetName ?? (target.TryGetValue("dbname", out var database) ? database.Text : "*");
        var entry = ConfigurationDraft.Entry(draft.Databases, name, draft.Target.Where);
        foreach (var (key, value) in target)
        {
            // The login is a known user's, who reaches the server as itself. Forcing it upon every client is wanted only
            // where clients do not prove who they are; elsewhere it would lend its rights to users added later.
            if (key is "user" or "password" && settings.AuthType != AuthType.Any) continue;
            entry.Values[key] = value;
        }

        if (!target.TryGetValue("user", out var user)) return;
        entry.TargetUser = user.Text;
        var known = users.GetValueOrDefault(user.Text) ?? new UserSettings { Name = user.Text };
        users[user.Text] = (target.TryGetValue("password", out var password) ? known with { Secret = password.Text } : known) with { IsKnown = true };
    }

    private static Dictionary<string, DatabaseSettings> ReadDatabases(ConfigurationDraft draft)
    {
        var databases = new Dictionary<string, DatabaseSettings>();
        foreach (var (name, entry) in draft.Databases)
        {
            if (name == ConsoleDatabase)
            {
                draft.Error(entry.Where, $"the database name {ConsoleDatabase} is reserved for the admin console");
                continue;
            }

            var defaults = new DatabaseSettings { Name = name };
            var database = databases[name] = Fill(draft, entry, defaults with { TargetUser = entry.TargetUser }, defaults, SettingsTable.FindDatabaseKey, $"database {name}");
            // As in libpq: one port for all hosts, or one for each.
            if (database.PortList is { } ports && PortListKind.Split(ports).Length != HostList.Split(database.Host).Length)
                draft.Error(entry.Where, $"database {name}: port = {ports} does not have as many ports as host has hosts");
        }

        return databases;
    }

    private static Dictionary<int, PeerSettings> ReadPeers(ConfigurationDraft draft)
    {
        var peers = new Dictionary<int, PeerSettings>();
        foreach (var (name, entry) in draft.Peers)
        {
            if (!PeerKeys.TryReadId(name, out var id))
            {
                draft.Error(entry.Where, $"peer {name}: the id must be a whole number from 1 to 16383");
                continue;
            }

            var defaults = new PeerSettings { Id = id };
            peers[id] = Fill(draft, entry, defaults, defaults, SettingsTable.FindPeerKey, $"peer {name}");
            if (peers[id].Host is null) draft.Error(entry.Where, $"peer {name}: host is missing");
        }

        return peers;
    }

    private static T Fill<T>(ConfigurationDraft draft, DraftEntry entry, T start, T defaults, Func<string, Setting<T>?> find, string what)
    {
        var result = start;
        foreach (var (key, value) in entry.Values)
        {
            var setting = find(key)!;
            if (!setting.TrySet(result, value.Text, out var changed, out var error))
            {
                draft.Error(value.Where, $"{what}: {error}");
                continue;
            }

            result = changed;
            if (setting.IsUnheeded(result, defaults)) draft.Warn(value.Where, $"{what}: {key} has no effect yet");
        }

        return result;
    }

    private static PoolerSettings NameAdmin(ConfigurationDraft draft, PoolerSettings settings) =>
        !draft.Globals.ContainsKey("admin_users") && draft.Target.Values.TryGetValue("user", out var user)
            ? settings with { AdminUsers = user.Text }
            : settings;

    private static TlsContexts? LoadTls(ConfigurationDraft draft, PoolerSettings settings)
    {
        try
        {
            return TlsContexts.Load(settings);
        }
        catch (TlsSetupException e)
        {
            // PgBouncer's words come first, where log parsers look for them, and the place behind them.
            var where = draft.Globals.TryGetValue(e.Setting, out var value) ? $"{value.Where}: " : "";
            draft.Errors.Add(new ConfigurationIssue(null, $"TLS setup failed: {where}{e.Setting}: {e.Message}"));
            return null;
        }
    }

    private static void CheckWhole(
        ConfigurationDraft draft,
        ConfigurationSources sources,
        PoolerSettings settings,
        Dictionary<string, DatabaseSettings> databases,
        Dictionary<string, UserSettings> users)
    {
        if (draft.Errors.Count > 0) return;

        if (settings.AuthType == AuthType.Ldap && !LdapOptions.TryParse(settings.AuthLdapOptions ?? "", out _, out var objection))
            draft.Errors.Add(new ConfigurationIssue(draft.Globals.TryGetValue("auth_ldap_options", out var given) ? given.Where : null, $"auth_ldap_options: {objection}"));

        if (settings.AuthDbName == ConsoleDatabase)
            draft.Errors.Add(new ConfigurationIssue(draft.Globals.TryGetValue("auth_dbname", out var named) ? named.Where : null, $"cannot use the reserved \"{ConsoleDatabase}\" database as an auth_dbname"));

        if (databases.Count == 0 && sources.File is null)
            draft.Errors.Add(new ConfigurationIssue(null, "no database to pool: name a configuration file, or set DATABASES_HOST, DATABASE_URL or Pooler:Databases"));
        else if (databases.Count == 0)
            draft.Warn(sources.File, "section [databases] is empty: only the admin console can be reached");

        if (settings.AuthType != AuthType.Any && users.Values.All(u => string.IsNullOrEmpty(u.Secret)) && settings.AuthFile is null)
            draft.Warn(null, "no user has a password here: set auth_file, or DATABASES_USER and DATABASES_PASSWORD");

        if (settings.HttpAdminPort != 0 && settings.HttpAdminKey.Length == 0 && !ConfigurationAdvice.IsLocal(settings.HttpAddr))
            draft.Warn(null, "http_admin_port can be reached from other machines and http_admin_key is not set: commands are taken from programs of this machine only");
    }
}
