using System.Globalization;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Advice;

/// <summary>How figures are told in advice.</summary>
internal static class AdviceText
{
    // More than that nobody reads.
    private const int MostClientsNamed = 3;

    private const int LongestQuery = 100;

    /// <summary>Microseconds, with no more digits than matter.</summary>
    public static string Time(double microseconds) => microseconds switch
    {
        < 1_000 => Invariant($"{microseconds / 1_000:0.##} ms"),
        < 1_000_000 => Invariant($"{microseconds / 1_000:0.#} ms"),
        < 60_000_000 => Invariant($"{microseconds / 1_000_000:0.#} s"),
        < 3_600_000_000 => Invariant($"{microseconds / 60_000_000:0.#} min"),
        _ => Invariant($"{microseconds / 3_600_000_000:0.#} h"),
    };

    /// <inheritdoc cref="Time(double)"/>
    public static string Time(TimeSpan time) => Time(time.TotalMicroseconds);

    /// <summary>A number with at most one digit after the point.</summary>
    public static string Number(double number) => number.ToString("0.#", CultureInfo.InvariantCulture);

    /// <summary>A part of a whole in percent.</summary>
    public static string Percent(double part) => Invariant($"{part * 100:0} %");

    /// <summary>"1 client waits", "5 clients wait".</summary>
    public static string Count(int number, string one, string many) => Invariant($"{number} {(number == 1 ? one : many)}");

    /// <summary>Who holds servers, the first few of them.</summary>
    public static string Holders(IReadOnlyList<HeldServer> held)
    {
        var named = string.Join("; ", held.Take(MostClientsNamed).Select(Holder));
        return held.Count > MostClientsNamed ? Invariant($"{named}; and {held.Count - MostClientsNamed} more") : named;
    }

    /// <summary>Without line breaks and other control characters: names, queries and servers' errors are others' text.</summary>
    public static string OneLine(string text) =>
        text.Any(char.IsControl) ? string.Create(text.Length, text, static (line, from) =>
        {
            for (var i = 0; i < line.Length; i++) line[i] = char.IsControl(from[i]) ? ' ' : from[i];
        }) : text;

    private static string Holder(HeldServer held)
    {
        var application = held.ApplicationName.Length > 0 ? $"{held.ApplicationName}, " : "";
        var text = held.Query.TrimEnd(';', ' ');
        var query = text.Length == 0 ? "" : $": {(text.Length > LongestQuery ? text[..EndOf(text)] + "…" : text)}";
        return Invariant($"client {held.ClientId} ({application}{held.ClientAddress}, user {held.ClientUser}) {held.State} for {Time(held.StateFor)}, holds backend {held.BackendProcess} for {Time(held.HeldFor)}{query}");
    }

    // Not between the two halves of a character.
    private static int EndOf(string text) => char.IsHighSurrogate(text[LongestQuery - 1]) ? LongestQuery - 1 : LongestQuery;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
