using System.Globalization;

namespace Pooler.Engine.Configuration;

/// <summary>
/// Whole numbers as C's strtol reads them without a given base, which is how PgBouncer reads its settings: blanks and a sign
/// in front, then decimal, octal after 0, hexadecimal after 0x.
/// </summary>
internal static class CNumber
{
    /// <summary>Reads the whole text; false when any of it is not part of the number, or the number needs more than 64 bits.</summary>
    public static bool TryRead(string text, out long value)
    {
        value = 0;
        var digits = text.AsSpan().TrimStart();
        var negative = digits is ['-', ..];
        if (digits is ['-' or '+', ..]) digits = digits[1..];
        if (digits.IsEmpty || !char.IsAsciiHexDigit(digits[0])) return false;
        if (digits is ['0', 'x' or 'X', ..])
        {
            if (!long.TryParse(digits[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value) || value < 0) return false;
        }
        else if (digits is ['0', _, ..])
        {
            // Sixteen octal digits are 48 bits: more than any setting has.
            if (digits.Length > 16) return false;
            foreach (var digit in digits)
            {
                if (digit is < '0' or > '7') return false;
                value = (value << 3) | (uint)(digit - '0');
            }
        }
        else if (!long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value))
        {
            return false;
        }

        if (negative) value = -value;
        return true;
    }
}
