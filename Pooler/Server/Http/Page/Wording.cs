using System.Globalization;

namespace Pooler.Server.Http.Page;

/// <summary>Figures as people read them. Always with a point, whatever the machine's language.</summary>
internal static class Wording
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    public static string Microseconds(double microseconds) => microseconds switch
    {
        <= 0 => "0 ms",
        < 10_000 => string.Create(Plain, $"{microseconds / 1e3:0.##} ms"),
        < 1_000_000 => string.Create(Plain, $"{microseconds / 1e3:0} ms"),
        < 10_000_000 => string.Create(Plain, $"{microseconds / 1e6:0.##} s"),
        < 100_000_000 => string.Create(Plain, $"{microseconds / 1e6:0.#} s"),
        _ => Span(TimeSpan.FromMicroseconds(microseconds)),
    };

    public static string Duration(TimeSpan time) => Microseconds(time.TotalMicroseconds);

    /// <summary>Longer times, in at most two units.</summary>
    public static string Span(TimeSpan time) => time switch
    {
        { TotalMinutes: < 1 } => string.Create(Plain, $"{(int)time.TotalSeconds} s"),
        { TotalHours: < 1 } => string.Create(Plain, $"{time.Minutes} min {time.Seconds} s"),
        { TotalDays: < 1 } => string.Create(Plain, $"{time.Hours} h {time.Minutes} min"),
        _ => string.Create(Plain, $"{(int)time.TotalDays} d {time.Hours} h"),
    };

    public static string Count(long count) => count.ToString("N0", Plain);

    public static string Rate(double perSecond) => perSecond switch
    {
        0 => "0",
        < 10 => perSecond.ToString("0.0", Plain),
        _ => perSecond.ToString("N0", Plain),
    };

    public static string Bytes(double bytes) => bytes switch
    {
        < 1_000 => string.Create(Plain, $"{bytes:0} B"),
        < 1_000_000 => string.Create(Plain, $"{bytes / 1e3:0.#} kB"),
        < 1_000_000_000 => string.Create(Plain, $"{bytes / 1e6:0.#} MB"),
        _ => string.Create(Plain, $"{bytes / 1e9:0.##} GB"),
    };

    public static string Plural(long count, string one, string? many = null) => $"{Count(count)} {(count == 1 ? one : many ?? one + "s")}";

    /// <summary>Client texts may be of any length: a page is not the place for all of them.</summary>
    public static string Cut(string text, int length)
    {
        if (text.Length <= length) return text;
        // Not through the middle of a character that takes two.
        if (char.IsHighSurrogate(text[length - 1])) length--;
        return string.Concat(text.AsSpan(0, length), "…");
    }
}
