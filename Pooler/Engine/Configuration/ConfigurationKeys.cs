using System.Collections.Frozen;

namespace Pooler.Engine.Configuration;

/// <summary>
/// Reads .NET configuration: <c>Pooler:PoolMode</c> or <c>Pooler:pool_mode</c>, <c>Pooler:Databases:shop:Host</c>,
/// <c>Pooler:Databases:shop</c> as a connection string, <c>Pooler:Users:alice:Password</c>.
/// </summary>
internal sealed class ConfigurationKeys(ConfigurationDraft draft)
{
    private static readonly FrozenDictionary<string, string> Globals = Squashed(GlobalSettings.All);
    private static readonly FrozenDictionary<string, string> Databases = Squashed(DatabaseKeys.All);
    private static readonly FrozenDictionary<string, string> Users = Squashed(UserKeys.All);
    private static readonly FrozenDictionary<string, string> Peers = Squashed(PeerKeys.All);

    /// <summary>Reads all keys under <c>Pooler:</c>.</summary>
    public void Read(IEnumerable<KeyValuePair<string, string?>> keys)
    {
        foreach (var (key, value) in keys)
        {
            var path = key.Split(':');
            if (value is not null && path.Length > 1 && path[0].Equals("Pooler", StringComparison.OrdinalIgnoreCase))
                Set(path.AsSpan(1), value, $"configuration key {key}");
        }
    }

    /// <summary>Reads one value; <paramref name="path"/> is what follows <c>Pooler</c>.</summary>
    public void Set(ReadOnlySpan<string> path, string value, string where)
    {
        var section = path.Length > 1 ? path[0].ToLowerInvariant() : "";
        switch (section)
        {
            case "" when path.Length == 1:
                // Empty where nothing cannot be a value: not set, as with every environment variable.
                var name = Ini(Globals, path[0]);
                if (value.Length > 0 || SettingsTable.Find(name) is not { TakesEmpty: false }) draft.SetGlobal(name, value, where);
                break;
            case "databases":
                Set(draft.Databases, path[1..], value, where, Databases, draft.SetDatabaseKey);
                break;
            case "users":
                Set(draft.Users, path[1..], value, where, Users, draft.SetUserKey);
                break;
            case "peers":
                Set(draft.Peers, path[1..], value, where, Peers, draft.SetPeerKey);
                break;
            default:
                draft.Error(where, $"unknown section {path[0]}; known: Databases, Users, Peers");
                break;
        }
    }

    private void Set(
        Dictionary<string, DraftEntry> entries,
        ReadOnlySpan<string> path,
        string value,
        string where,
        FrozenDictionary<string, string> names,
        Action<DraftEntry, string, string, string> set)
    {
        if (path.Length > 2)
        {
            draft.Error(where, "the key has too many parts");
            return;
        }

        var entry = ConfigurationDraft.Entry(entries, path[0], where);
        if (path.Length == 2) set(entry, Ini(names, path[1]), value, where);
        else if (!ConnectionString.TryRead(value, out var pairs, out var error)) draft.Error(where, error);
        else foreach (var (key, text) in pairs) set(entry, key, text, where);
    }

    /// <summary>The ini name of a name in any spelling; the name itself when there is none, for the message.</summary>
    private static string Ini(FrozenDictionary<string, string> names, string name) => names.GetValueOrDefault(Squash(name), name);

    private static string Squash(string name) => name.Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal);

    private static FrozenDictionary<string, string> Squashed<T>(IEnumerable<Setting<T>> settings) =>
        settings
            .SelectMany(setting => setting.Aliases.Prepend(setting.Name))
            .ToFrozenDictionary(Squash, name => name, StringComparer.OrdinalIgnoreCase);
}
