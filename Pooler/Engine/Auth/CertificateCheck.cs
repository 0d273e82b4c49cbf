using Pooler.Engine.Auth.Hba;

namespace Pooler.Engine.Auth;

/// <summary>Whether a TLS client certificate names the user of a login.</summary>
internal static class CertificateCheck
{
    /// <summary>What <c>clientcert</c> of an HBA line objects to; null: nothing.</summary>
    public static string? Objection(HbaRule rule, AuthenticationRequest login) => rule.Option("clientcert") switch
    {
        null => null,
        "verify-full" => Mismatch(login with { Rule = rule }),
        _ => Missing(login),
    };

    /// <summary>Why the certificate does not make the client the user it says it is; null: it does.</summary>
    public static string? Mismatch(AuthenticationRequest login)
    {
        if (Missing(login) is { } missing) return missing;
        var certificate = login.Tls!.PeerCertificate!;
        var map = login.Rule?.Option("map");
        var isNamed = login.Rule?.Option("clientname") == "DN"
            ? CertificateNames.DistinguishedNameOf(certificate) is { } dn && login.Access.Maps.Allow(map, [dn], login.UserName, StringComparison.Ordinal)
            // Without regard to case, as PgBouncer compares them: they may be host names.
            : login.Access.Maps.Allow(map, CertificateNames.Of(certificate), login.UserName, StringComparison.OrdinalIgnoreCase);
        return isNamed ? null
            : map is null ? "TLS certificate name mismatch"
            : $"ident map: {map} does not have a match";
    }

    private static string? Missing(AuthenticationRequest login) =>
        login.Tls is null ? "TLS connection required"
        : login.Tls.PeerCertificate is null ? "TLS client certificate required"
        : null;
}
