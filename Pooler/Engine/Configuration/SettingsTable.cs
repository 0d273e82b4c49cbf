using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;

namespace Pooler.Engine.Configuration;

/// <summary>A row of SHOW CONFIG.</summary>
/// <param name="Key">The setting.</param>
/// <param name="Value">Its value; null when unset; secrets masked.</param>
/// <param name="Default">Its default; null when there is none.</param>
/// <param name="Changeable">Whether SET and RELOAD change it.</param>
public readonly record struct SettingRow(string Key, string? Value, string? Default, bool Changeable);

/// <summary>Looks settings up by name, for SET, SHOW CONFIG and whoever reads configuration.</summary>
public static class SettingsTable
{
    private static readonly PoolerSettings Defaults = new();

    // Files come from PgBouncer, and so does what they rely on without saying it.
    private static readonly PoolerSettings FileDefaults = Defaults with { PoolMode = PoolMode.Session };

    private static readonly FrozenDictionary<string, Setting<PoolerSettings>> ByName = Index(GlobalSettings.All);
    private static readonly FrozenDictionary<string, Setting<DatabaseSettings>> DatabaseByName = Index(DatabaseKeys.All);
    private static readonly FrozenDictionary<string, Setting<UserSettings>> UserByName = Index(UserKeys.All);
    private static readonly FrozenDictionary<string, Setting<PeerSettings>> PeerByName = Index(PeerKeys.All);

    /// <summary>
    /// Changes a setting while running, as the console's SET does.
    /// </summary>
    /// <param name="settings">The settings to start from; not changed.</param>
    /// <param name="name">The setting's ini name, in any case.</param>
    /// <param name="value">The value as it would be written in the ini file.</param>
    /// <param name="changed">The changed settings.</param>
    /// <param name="error">What is wrong and what is allowed.</param>
    public static bool TrySet(
        PoolerSettings settings,
        string name,
        string value,
        [NotNullWhen(true)] out PoolerSettings? changed,
        [NotNullWhen(false)] out string? error)
    {
        changed = null;
        if (!ByName.TryGetValue(name, out var setting))
        {
            error = Unknown(name, ByName.Keys);
            return false;
        }

        if (!setting.Reloadable)
        {
            error = $"{setting.Name} cannot be changed while running: change the configuration and restart";
            return false;
        }

        return setting.TrySet(settings, value, out changed, out error);
    }

    /// <summary>Whether there is a setting of that name that SET and RELOAD leave as it is.</summary>
    public static bool NeedsRestart(string name) => ByName.TryGetValue(name, out var setting) && !setting.Reloadable;

    /// <summary>The rows of SHOW CONFIG: PgBouncer's in its order, then our own.</summary>
    public static IEnumerable<SettingRow> Describe(PoolerSettings settings)
    {
        foreach (var setting in GlobalSettings.All)
            if (setting.Listed)
                yield return new SettingRow(setting.Name, setting.ShowMasked(settings), setting.HasDefault ? setting.Show(DefaultsFor(settings.ConfFile)) : null, setting.Reloadable);
    }

    /// <summary>What is set to something else than its default, in the order of SHOW CONFIG, written as in the ini file; secrets masked.</summary>
    public static IEnumerable<SettingRow> DescribeDifferent(PoolerSettings settings)
    {
        var defaults = DefaultsFor(settings.ConfFile);
        foreach (var setting in GlobalSettings.All)
        {
            // The file's own name is no choice that somebody has made.
            if (!setting.Listed || setting.Name == "conffile") continue;
            var (value, byDefault) = (setting.Show(settings), setting.Show(defaults));
            if ((value ?? "") != (byDefault ?? ""))
                yield return new SettingRow(setting.Name, setting.Mask(value), byDefault, setting.Reloadable);
        }
    }

    /// <summary>What applies where nothing is said: with a configuration file, and without one.</summary>
    internal static PoolerSettings DefaultsFor(string? file) => file is null ? Defaults : FileDefaults;

    internal static Setting<PoolerSettings>? Find(string name) => ByName.GetValueOrDefault(name);

    internal static Setting<DatabaseSettings>? FindDatabaseKey(string name) => DatabaseByName.GetValueOrDefault(name);

    internal static Setting<UserSettings>? FindUserKey(string name) => UserByName.GetValueOrDefault(name);

    internal static Setting<PeerSettings>? FindPeerKey(string name) => PeerByName.GetValueOrDefault(name);

    internal static string UnknownSetting(string name) => Unknown(name, ByName.Keys);

    internal static string UnknownDatabaseKey(string name) => Unknown(name, DatabaseByName.Keys);

    internal static string UnknownUserKey(string name) => Unknown(name, UserByName.Keys);

    internal static string UnknownPeerKey(string name) => Unknown(name, PeerByName.Keys);

    private static string Unknown(string name, IEnumerable<string> known) =>
        NearestName.Find(name, known) is { } nearest ? $"unknown setting {name}; did you mean {nearest}?" : $"unknown setting {name}";

    private static FrozenDictionary<string, Setting<T>> Index<T>(IEnumerable<Setting<T>> settings) =>
        settings
            .SelectMany(setting => setting.Aliases.Prepend(setting.Name), (setting, name) => KeyValuePair.Create(name, setting))
            .ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);
}
