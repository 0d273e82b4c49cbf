using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Pooler.Engine.Configuration;

/// <summary>How a value is written in a configuration: reading, showing and describing what is allowed.</summary>
internal abstract class SettingKind<T>
{
    /// <summary>One word for the reference.</summary>
    public abstract string Name { get; }

    /// <summary>What may be written, for messages and the reference.</summary>
    public abstract string Allowed { get; }

    /// <summary>Whether nothing at all is a value; where it is not, an empty environment variable counts as not set.</summary>
    public virtual bool TakesEmpty => false;

    /// <summary>Reads a value; <paramref name="error"/> is a clause that follows the setting's name and never repeats the value.</summary>
    public abstract bool TryRead(string text, [MaybeNullWhen(false)] out T value, [NotNullWhen(false)] out string? error);

    /// <summary>The value as it would be written.</summary>
    public abstract string? Show(T value);

    /// <summary>The value as PgBouncer's SHOW CONFIG prints it.</summary>
    public virtual string? ShowInConsole(T value) => Show(value);

    protected bool Refuse(out T? value, out string error)
    {
        value = default;
        error = $"allowed: {Allowed}";
        return false;
    }
}

/// <summary>Any text. An unset text is null when <paramref name="emptyIsUnset"/>, else empty.</summary>
internal sealed class TextKind(bool emptyIsUnset = false) : SettingKind<string?>
{
    public override string Name => "text";

    public override string Allowed => "text";

    public override bool TakesEmpty => true;

    public override bool TryRead(string text, out string? value, [NotNullWhen(false)] out string? error)
    {
        value = emptyIsUnset && text.Length == 0 ? null : text;
        error = null;
        return true;
    }

    public override string? Show(string? value) => value;
}

/// <summary>Addresses to listen on. No host names: a web server takes one it does not know for all addresses.</summary>
internal sealed class AddressListKind : SettingKind<string>
{
    public override string Name => "addresses";

    public override string Allowed => "*, localhost or IP addresses, comma separated";

    public override bool TryRead(string text, [MaybeNullWhen(false)] out string value, [NotNullWhen(false)] out string? error)
    {
        error = null;
        var addresses = text.Split(',', StringSplitOptions.TrimEntries);
        if (!addresses.All(a => a is "*" or "localhost" || IPAddress.TryParse(a, out _))) return Refuse(out value, out error);
        value = string.Join(',', addresses);
        return true;
    }

    public override string Show(string value) => value;
}

/// <summary>A whole number within a range.</summary>
/// <param name="min">The smallest one allowed.</param>
/// <param name="max">The largest one allowed.</param>
/// <param name="negativeIsZero">Numbers below zero are taken for zero: for limits, which many switch off with -1.</param>
internal sealed class IntKind(int min = 0, int max = int.MaxValue, bool negativeIsZero = false) : SettingKind<int>
{
    public override string Name => "integer";

    public override string Allowed => max == int.MaxValue ? $"a whole number from {min} up" : $"a whole number from {min} to {max}";

    public override bool TryRead(string text, out int value, [NotNullWhen(false)] out string? error)
    {
        error = null;
        if (!CNumber.TryRead(text, out var number)) return Refuse(out value, out error);
        if (negativeIsZero && number < 0) number = 0;
        if (number < min || number > max) return Refuse(out value, out error);
        value = (int)number;
        return true;
    }

    public override string Show(int value) => value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A port, or one per host, comma separated.</summary>
internal sealed class PortListKind : SettingKind<string>
{
    private static readonly IntKind One = new(1, 65535);

    public override string Name => "integer";

    public override string Allowed => $"{One.Allowed}, or a comma list of them";

    public static string Text(int port) => One.Show(port);

    /// <summary>The ports of a list that has been read.</summary>
    public static int[] Split(string ports) => [.. ports.Split(',').Select(p => int.Parse(p, CultureInfo.InvariantCulture))];

    public static DatabaseSettings Set(DatabaseSettings database, string ports)
    {
        var list = Split(ports);
        return database with { Port = list[0], PortList = list.Length > 1 ? ports : null };
    }

    public override bool TryRead(string text, [MaybeNullWhen(false)] out string value, [NotNullWhen(false)] out string? error)
    {
        var ports = new List<int>();
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (!One.TryRead(part, out var port, out _)) return Refuse(out value, out error);
            ports.Add(port);
        }
        value = string.Join(',', ports.Select(Text));
        error = null;
        return true;
    }

    public override string Show(string value) => value;
}

/// <summary>A whole number that fits 32 bits unsigned.</summary>
internal sealed class UIntKind(uint min, uint max) : SettingKind<uint>
{
    public override string Name => "integer";

    public override string Allowed => $"a whole number from {min} to {max}";

    public override bool TryRead(string text, out uint value, [NotNullWhen(false)] out string? error)
    {
        error = null;
        if (!CNumber.TryRead(text, out var number) || number < min || number > max) return Refuse(out value, out error);
        value = (uint)number;
        return true;
    }

    public override string Show(uint value) => value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>
/// A number per database or user whose absence means the wider scope's value. PgBouncer writes that absence as -1,
/// and for limits also as 0, which <paramref name="zeroIsUnset"/> says.
/// </summary>
internal sealed class OverrideKind(bool zeroIsUnset = false) : SettingKind<int?>
{
    public override string Name => "integer";

    public override string Allowed =>
        $"a whole number from 0 up; {(zeroIsUnset ? "0 or -1" : "-1")} for the wider scope's value";

    public override bool TryRead(string text, out int? value, [NotNullWhen(false)] out string? error)
    {
        if (!CNumber.TryRead(text, out var number) || number is < -1 or > int.MaxValue) return Refuse(out value, out error);
        value = number == -1 || (zeroIsUnset && number == 0) ? null : (int)number;
        error = null;
        return true;
    }

    public override string? Show(int? value) => value?.ToString(CultureInfo.InvariantCulture);
}

/// <summary>0 or 1, as PgBouncer writes switches; any other number is on there too, and so it is here.</summary>
internal sealed class BoolKind : SettingKind<bool>
{
    public override string Name => "0 or 1";

    public override string Allowed => "0 or 1 (also off/on, no/yes, false/true)";

    public override bool TryRead(string text, out bool value, [NotNullWhen(false)] out string? error)
    {
        error = null;
        switch (text.ToLowerInvariant())
        {
            case "1" or "on" or "yes" or "true":
                value = true;
                return true;
            case "0" or "off" or "no" or "false":
                value = false;
                return true;
            case var other when CNumber.TryRead(other, out var number):
                value = number != 0;
                return true;
            default:
                return Refuse(out value, out error);
        }
    }

    public override string Show(bool value) => value ? "1" : "0";
}

/// <summary>Seconds, decimals allowed.</summary>
internal sealed class TimeKind : SettingKind<TimeSpan>
{
    // Times are kept and compared in timers of at most 2^31 - 1 seconds, as PgBouncer's are when given whole.
    private const double MaxSeconds = int.MaxValue;

    public override string Name => "seconds";

    public override string Allowed => "seconds, from 0 up, decimals allowed";

    public override bool TryRead(string text, out TimeSpan value, [NotNullWhen(false)] out string? error)
    {
        const NumberStyles styles = NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent | NumberStyles.AllowLeadingSign | NumberStyles.AllowLeadingWhite;
        if (!double.TryParse(text, styles, CultureInfo.InvariantCulture, out var seconds) || seconds is not (>= 0 and <= MaxSeconds))
            return Refuse(out value, out error);
        value = TimeSpan.FromMicroseconds(Math.Round(seconds * 1e6));
        error = null;
        return true;
    }

    // Six significant digits, as printf's %g gives them: PgBouncer shows a year as 3.1536e+07.
    public override string Show(TimeSpan value) => value.TotalSeconds.ToString("g6", CultureInfo.InvariantCulture);
}

/// <summary>Seconds per database or user; -1 means the wider scope's value, and 0 too when <paramref name="zeroIsUnset"/>.</summary>
internal sealed class TimeOverrideKind(bool zeroIsUnset = false) : SettingKind<TimeSpan?>
{
    private static readonly TimeKind Seconds = new();

    public override string Name => "seconds";

    public override string Allowed => $"{Seconds.Allowed}; {(zeroIsUnset ? "0 or -1" : "-1")} for the wider scope's value";

    public override bool TryRead(string text, out TimeSpan? value, [NotNullWhen(false)] out string? error)
    {
        value = null;
        error = null;
        if (text == "-1") return true;
        if (!Seconds.TryRead(text, out var seconds, out _)) return Refuse(out value, out error);
        if (!zeroIsUnset || seconds != TimeSpan.Zero) value = seconds;
        return true;
    }

    public override string? Show(TimeSpan? value) => value is { } seconds ? Seconds.Show(seconds) : null;
}

/// <summary>One of a list of words.</summary>
/// <param name="values">The words, in the order in which they are listed to people.</param>
/// <param name="notYet">Words that PgBouncer knows and this build refuses, with what is missing.</param>
internal sealed class EnumKind<T>((string Word, T Value)[] values, (string Word, string Reason)[]? notYet = null) : SettingKind<T>
{
    public override string Name => "word";

    public override string Allowed { get; } = string.Join(", ", values.Select(v => v.Word));

    public override bool TryRead(string text, [MaybeNullWhen(false)] out T value, [NotNullWhen(false)] out string? error)
    {
        foreach (var candidate in values)
        {
            if (!candidate.Word.Equals(text, StringComparison.OrdinalIgnoreCase)) continue;
            value = candidate.Value;
            error = null;
            return true;
        }

        value = default;
        foreach (var candidate in notYet ?? [])
        {
            if (!candidate.Word.Equals(text, StringComparison.OrdinalIgnoreCase)) continue;
            error = $"this build does not support {candidate.Reason} yet; allowed: {Allowed}";
            return false;
        }

        var nearest = NearestName.Find(text, values.Select(v => v.Word));
        error = $"allowed: {Allowed}{(nearest is null ? "" : $"; did you mean {nearest}?")}";
        return false;
    }

    public override string? Show(T value)
    {
        if (value is null) return null;
        foreach (var candidate in values)
            if (EqualityComparer<T>.Default.Equals(candidate.Value, value)) return candidate.Word;
        throw new ArgumentOutOfRangeException(nameof(value), value, "not a value of this setting");
    }
}

/// <summary>
/// A file mode. Always read as octal, with or without the leading 0: PgBouncer reads 777 as decimal, which nobody means.
/// </summary>
internal sealed class FileModeKind : SettingKind<int>
{
    public override string Name => "file mode";

    public override string Allowed => "an octal file mode from 0000 to 0777";

    public override bool TryRead(string text, out int value, [NotNullWhen(false)] out string? error)
    {
        value = 0;
        error = null;
        if (text.Length is 0 or > 5) return Refuse(out value, out error);
        foreach (var digit in text)
        {
            if (digit is < '0' or > '7') return Refuse(out value, out error);
            value = (value << 3) | (digit - '0');
        }

        return value <= 0x1FF || Refuse(out value, out error);
    }

    public override string Show(int value) => "0" + Convert.ToString(value, 8).PadLeft(3, '0');

    public override string ShowInConsole(int value) => value.ToString(CultureInfo.InvariantCulture);
}
