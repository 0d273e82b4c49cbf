namespace Pooler.Engine.Configuration;

/// <summary>A value as it was written, and where.</summary>
internal readonly record struct RawValue(string Text, string Where);

/// <summary>
/// What the sources say, before it is checked: later writes win. Names are those of the settings table already.
/// </summary>
internal sealed class ConfigurationDraft
{
    public Dictionary<string, RawValue> Globals { get; } = [];

    public Dictionary<string, DraftEntry> Databases { get; } = [];

    public Dictionary<string, DraftEntry> Users { get; } = [];

    public Dictionary<string, DraftEntry> Peers { get; } = [];

    /// <summary>The one database that environment variables describe, by keys of <c>[databases]</c>; empty: none.</summary>
    public DraftEntry Target { get; } = new("environment");

    /// <summary>The name clients use for <see cref="Target"/>, when it is not that of the database.</summary>
    public string? TargetName { get; set; }

    public List<ConfigurationIssue> Errors { get; } = [];

    public List<ConfigurationIssue> Warnings { get; } = [];

    public void Error(string where, string message) => Errors.Add(new ConfigurationIssue(where, message));

    public void Warn(string? where, string message) => Warnings.Add(new ConfigurationIssue(where, message));

    public void SetGlobal(string name, string text, string where)
    {
        if (SettingsTable.Find(name) is { } setting) Globals[setting.Name] = new RawValue(text, where);
        else Error(where, SettingsTable.UnknownSetting(name));
    }

    public void SetDatabaseKey(DraftEntry entry, string key, string text, string where)
    {
        if (SettingsTable.FindDatabaseKey(key) is { } setting) entry.Values[setting.Name] = new RawValue(text, where);
        else Error(where, SettingsTable.UnknownDatabaseKey(key));
    }

    public void SetUserKey(DraftEntry entry, string key, string text, string where)
    {
        if (SettingsTable.FindUserKey(key) is { } setting) entry.Values[setting.Name] = new RawValue(text, where);
        else Error(where, SettingsTable.UnknownUserKey(key));
    }

    public void SetPeerKey(DraftEntry entry, string key, string text, string where)
    {
        if (SettingsTable.FindPeerKey(key) is { } setting) entry.Values[setting.Name] = new RawValue(text, where);
        else Error(where, SettingsTable.UnknownPeerKey(key));
    }

    /// <summary>The named entry; a fresh one in place of an earlier one when <paramref name="replace"/>.</summary>
    public static DraftEntry Entry(Dictionary<string, DraftEntry> entries, string name, string where, bool replace = false)
    {
        if (replace || !entries.TryGetValue(name, out var entry)) entries[name] = entry = new DraftEntry(where);
        return entry;
    }
}

/// <summary>The keys given for one database, user or peer.</summary>
internal sealed class DraftEntry(string where)
{
    public string Where { get; } = where;

    public Dictionary<string, RawValue> Values { get; } = [];

    /// <summary>A database's: the user of the target that has become it.</summary>
    public string? TargetUser { get; set; }
}
