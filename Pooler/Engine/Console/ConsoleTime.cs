using System.Globalization;

namespace Pooler.Engine.Console;

/// <summary>How the console writes a moment: <c>YYYY-MM-DD HH:MM:SS TZ</c> in the process's zone, as PgBouncer does.</summary>
internal static class ConsoleTime
{
    /// <summary>The text of a moment. Unlike PgBouncer's zone abbreviations, an offset means the same everywhere.</summary>
    public static string Format(DateTimeOffset moment, TimeZoneInfo zone)
    {
        var local = TimeZoneInfo.ConvertTime(moment, zone);
        var text = local.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
        return zone.BaseUtcOffset == TimeSpan.Zero && !zone.SupportsDaylightSavingTime
            ? text + " UTC"
            : text + " " + local.ToString("zzz", CultureInfo.InvariantCulture);
    }
}
