using System.Text;
using System.Text.Unicode;

namespace Pooler.Engine.Auth;

/// <summary>
/// Prepares a password for SCRAM (RFC 4013). ASCII stays as it is, without exception, as in PostgreSQL. Of the rest
/// the mapping step and the prohibited characters are done here; the normalisation step (NFKC) is not, because .NET
/// offers none without ICU (under InvariantGlobalization, string.Normalize leaves such text as it is): passwords typed
/// in composed form, which is what keyboards and PostgreSQL clients produce, are their own normal form. What SASLprep
/// prohibits is used raw, again as in PostgreSQL.
/// </summary>
internal static class SaslPrep
{
    /// <summary>The bytes to derive keys from.</summary>
    public static byte[] Prepare(string password)
    {
        if (Ascii.IsValid(password)) return Encoding.ASCII.GetBytes(password);
        var result = new StringBuilder(password.Length);
        foreach (var rune in password.EnumerateRunes())
        {
            if (IsProhibited(rune.Value)) return Encoding.UTF8.GetBytes(password);
            if (IsSpace(rune.Value)) result.Append(' ');
            else if (!IsMappedToNothing(rune.Value)) result.Append(rune);
        }

        return Encoding.UTF8.GetBytes(result.Length == 0 ? password : result.ToString());
    }

    /// <summary>The same for a password as a client sent it; what isn't UTF-8 is used raw.</summary>
    public static byte[] Prepare(ReadOnlySpan<byte> password) =>
        Utf8.IsValid(password) ? Prepare(Encoding.UTF8.GetString(password)) : password.ToArray();

    // RFC 3454, table C.1.2.
    private static bool IsSpace(int c) =>
        c is 0xA0 or 0x1680 or (>= 0x2000 and <= 0x200B) or 0x202F or 0x205F or 0x3000;

    // RFC 3454, table B.1.
    private static bool IsMappedToNothing(int c) =>
        c is 0xAD or 0x34F or 0x1806 or (>= 0x180B and <= 0x180D) or 0x200C or 0x200D or 0x2060 or (>= 0xFE00 and <= 0xFE0F) or 0xFEFF;

    // RFC 3454, tables C.2.1 to C.9, without what the tables above map away. Unassigned code points of Unicode 3.2
    // (A.1) are prohibited too: here the whole planes' worth that emoji come from, whose joiners must not be dropped.
    private static bool IsProhibited(int c) =>
        c is < 0x20 or (>= 0x7F and <= 0x9F)
            or 0x340 or 0x341 or 0x6DD or 0x70F or 0x180E or 0x200E or 0x200F
            or (>= 0x2028 and <= 0x202E) or (>= 0x2061 and <= 0x206F)
            or (>= 0x2FF0 and <= 0x2FFB) or (>= 0xD800 and <= 0xF8FF) or (>= 0xFDD0 and <= 0xFDEF) or (>= 0xFFF9 and <= 0xFFFF)
            or (>= 0x1D173 and <= 0x1D17A) or (>= 0x1D800 and <= 0x1FFFF) or (>= 0x2FA1E and <= 0x10FFFF);
}
