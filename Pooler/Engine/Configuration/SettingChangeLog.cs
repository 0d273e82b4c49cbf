using System.Collections.Immutable;

namespace Pooler.Engine.Configuration;

/// <summary>A setting that was given another value while running.</summary>
/// <param name="At">When.</param>
/// <param name="Command">SET or RELOAD.</param>
/// <param name="Scope">Empty for a global setting, otherwise such as "database shop" or "user app".</param>
/// <param name="Setting">Its name; empty when a whole entry came or went.</param>
/// <param name="Before">Its value before; null when it was unset; secrets masked.</param>
/// <param name="After">Its value from then on.</param>
public sealed record SettingChange(DateTimeOffset At, string Command, string Scope, string Setting, string? Before, string? After);

/// <summary>Remembers what SET and RELOAD have changed since the start: the last hundred changes. Any thread.</summary>
internal sealed class SettingChangeLog(TimeProvider timeProvider)
{
    private const int Capacity = 100;

    private ImmutableArray<SettingChange> _changes = [];

    /// <summary>Newest first.</summary>
    public IReadOnlyList<SettingChange> Changes => _changes;

    /// <summary>Notes what differs between two configurations. One caller at a time.</summary>
    public void Note(string command, PoolerConfiguration before, PoolerConfiguration after)
    {
        var found = Differences(command, before, after).ToArray();
        if (found.Length == 0) return;
        var changes = _changes.InsertRange(0, found);
        _changes = changes.Length > Capacity ? changes.RemoveRange(Capacity, changes.Length - Capacity) : changes;
    }

    private IEnumerable<SettingChange> Differences(string command, PoolerConfiguration before, PoolerConfiguration after)
    {
        var now = timeProvider.GetUtcNow();
        foreach (var setting in GlobalSettings.All)
        {
            // What cannot be changed while running stays as it was, whatever the file says now.
            if (setting.Reloadable && Change(setting, "", before.Settings, after.Settings) is { } change) yield return change;
        }
        foreach (var (name, database) in after.Databases)
        {
            if (!before.Databases.TryGetValue(name, out var old)) yield return Entry($"database {name}", "added");
            else foreach (var setting in DatabaseKeys.All)
                if (Change(setting, $"database {name}", old, database) is { } change) yield return change;
        }
        foreach (var name in before.Databases.Keys.Except(after.Databases.Keys)) yield return Entry($"database {name}", "removed");
        foreach (var (name, user) in after.Users)
        {
            // A file of users may be long, and changes by itself: only what is set for those who stay is of interest here.
            if (!before.Users.TryGetValue(name, out var old) || old == user) continue;
            foreach (var setting in UserKeys.All)
                if (Change(setting, $"user {name}", old, user) is { } change) yield return change;
        }

        SettingChange Entry(string scope, string what) => new(now, command, scope, "", null, what);
        SettingChange? Change<T>(Setting<T> setting, string scope, T old, T @new) => setting.Show(old) == setting.Show(@new) ? null
            : new(now, command, scope, setting.Name, setting.Mask(setting.Show(old)), setting.Mask(setting.Show(@new)));
    }
}
