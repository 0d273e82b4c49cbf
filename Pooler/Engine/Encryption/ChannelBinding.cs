using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Pooler.Engine.Encryption;

/// <summary>Channel binding of the type tls-server-end-point (RFC 5929, section 4).</summary>
internal static class ChannelBinding
{
    private const string RsaPss = "1.2.840.113549.1.1.10";

    /// <summary>
    /// The hash of a TLS server's certificate, by the hash function of its signature, but SHA-256 in place of MD5 and
    /// SHA-1. Empty where the signature has no single hash function (Ed25519): there the binding is undefined.
    /// </summary>
    public static byte[] EndPointHash(X509Certificate2 certificate)
    {
        var algorithm = certificate.SignatureAlgorithm.Value;
        if (algorithm == RsaPss) algorithm = HashOfPss(certificate.RawData);
        return algorithm switch
        {
            // md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1, dsa-with-sha1; sha1 itself in PSS parameters
            "1.2.840.113549.1.1.4" or "1.2.840.113549.1.1.5" or "1.2.840.10045.4.1" or "1.2.840.10040.4.3" or "1.3.14.3.2.26"
            // and SHA-256: with RSA, ECDSA, DSA, in PSS parameters
            or "1.2.840.113549.1.1.11" or "1.2.840.10045.4.3.2" or "2.16.840.1.101.3.4.3.2" or "2.16.840.1.101.3.4.2.1"
                => SHA256.HashData(certificate.RawData),
            "1.2.840.113549.1.1.12" or "1.2.840.10045.4.3.3" or "2.16.840.1.101.3.4.3.3" or "2.16.840.1.101.3.4.2.2"
                => SHA384.HashData(certificate.RawData),
            "1.2.840.113549.1.1.13" or "1.2.840.10045.4.3.4" or "2.16.840.1.101.3.4.3.4" or "2.16.840.1.101.3.4.2.3"
                => SHA512.HashData(certificate.RawData),
            _ => [],
        };
    }

    /// <summary>The hash function in the parameters of RSASSA-PSS (RFC 4055, section 3.1); SHA-1 when they name none.</summary>
    private static string? HashOfPss(byte[] certificate)
    {
        try
        {
            var fields = new AsnReader(certificate, AsnEncodingRules.DER).ReadSequence();
            fields.ReadEncodedValue();
            var algorithm = fields.ReadSequence();
            algorithm.ReadObjectIdentifier();
            var hash = new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true);
            var parameters = algorithm.HasData ? algorithm.ReadSequence() : null;
            return parameters is { HasData: true } && parameters.PeekTag() == hash
                ? parameters.ReadSequence(hash).ReadSequence().ReadObjectIdentifier()
                : "1.3.14.3.2.26";
        }
        catch (AsnContentException)
        {
            return null;
        }
    }
}
