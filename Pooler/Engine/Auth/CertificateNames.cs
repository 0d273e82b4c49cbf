using System.Formats.Asn1;
using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Pooler.Engine.Auth;

/// <summary>The names in a client's certificate that can stand for a user.</summary>
internal static class CertificateNames
{
    private const string CommonNameType = "2.5.4.3";

    // The short names that OpenSSL writes; other types appear as numbers.
    private static readonly Dictionary<string, string> ShortNames = new()
    {
        [CommonNameType] = "CN",
        ["2.5.4.4"] = "SN",
        ["2.5.4.5"] = "serialNumber",
        ["2.5.4.6"] = "C",
        ["2.5.4.7"] = "L",
        ["2.5.4.8"] = "ST",
        ["2.5.4.9"] = "street",
        ["2.5.4.10"] = "O",
        ["2.5.4.11"] = "OU",
        ["2.5.4.12"] = "title",
        ["2.5.4.42"] = "GN",
        ["0.9.2342.19200300.100.1.1"] = "UID",
        ["0.9.2342.19200300.100.1.25"] = "DC",
        ["1.2.840.113549.1.9.1"] = "emailAddress",
    };

    /// <summary>The names by which PgBouncer knows a certificate: its common name and its DNS names, as they are written.</summary>
    public static IReadOnlyList<string> Of(X509Certificate2 certificate)
    {
        var names = new List<string>();
        try
        {
            foreach (var (type, value) in Parts(certificate.SubjectName).SelectMany(p => p))
            {
                if (type != CommonNameType) continue;
                // A zero byte would hide the rest of the name from whoever read it in C.
                if (value.Length > 0 && !value.Contains('\0')) names.Add(value);
                break;
            }

            foreach (var extension in certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>())
                names.AddRange(extension.EnumerateDnsNames().Where(n => !n.Contains('\0')));
        }
        catch (Exception e) when (e is AsnContentException or CryptographicException)
        {
            // A name that can't be read is nobody's.
        }

        return names;
    }

    /// <summary>The subject in the form of RFC 2253, which PostgreSQL's DN maps are written for; null when it can't be read.</summary>
    public static string? DistinguishedNameOf(X509Certificate2 certificate)
    {
        try
        {
            return string.Join(',', Parts(certificate.SubjectName).Reverse<List<(string Type, string Value)>>()
                .Select(part => string.Join('+', part.Select(p => $"{ShortNames.GetValueOrDefault(p.Type, p.Type)}={Escape(p.Value)}"))));
        }
        catch (AsnContentException)
        {
            return null;
        }
    }

    private static List<List<(string Type, string Value)>> Parts(X500DistinguishedName name)
    {
        var parts = new List<List<(string, string)>>();
        var sequence = new AsnReader(name.RawData, AsnEncodingRules.DER).ReadSequence();
        while (sequence.HasData)
        {
            var part = new List<(string, string)>();
            var set = sequence.ReadSetOf();
            while (set.HasData)
            {
                var pair = set.ReadSequence();
                part.Add((pair.ReadObjectIdentifier(), Text(pair)));
            }

            parts.Add(part);
        }

        return parts;
    }

    private static string Text(AsnReader reader)
    {
        var tag = reader.PeekTag();
        return tag.TagClass == TagClass.Universal && (UniversalTagNumber)tag.TagValue is
            UniversalTagNumber.UTF8String or UniversalTagNumber.PrintableString or UniversalTagNumber.IA5String
            or UniversalTagNumber.T61String or UniversalTagNumber.BMPString or UniversalTagNumber.VisibleString or UniversalTagNumber.NumericString
            ? reader.ReadCharacterString((UniversalTagNumber)tag.TagValue)
            : "#" + Convert.ToHexString(reader.ReadEncodedValue().Span);
    }

    private static string Escape(string value)
    {
        var text = new StringBuilder();
        var bytes = Encoding.UTF8.GetBytes(value);
        for (var i = 0; i < bytes.Length; i++)
        {
            var b = bytes[i];
            if (b is < 0x20 or >= 0x7f) text.Append(CultureInfo.InvariantCulture, $"\\{b:X2}");
            else if (b is (byte)',' or (byte)'+' or (byte)'"' or (byte)'\\' or (byte)'<' or (byte)'>' or (byte)';'
                || (b == ' ' && (i == 0 || i == bytes.Length - 1)) || (b == '#' && i == 0))
                text.Append('\\').Append((char)b);
            else text.Append((char)b);
        }

        return text.ToString();
    }
}
