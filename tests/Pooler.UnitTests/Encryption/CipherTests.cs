using System.Net.Security;
using System.Security.Authentication;
using Pooler.Engine.Encryption;
using Xunit;

namespace Pooler.UnitTests.Encryption;

/// <summary>OpenSSL's words for protocols and cipher suites.</summary>
public sealed class CipherTests
{
    [Theory]
    [InlineData("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")]
    [InlineData("AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA ECDHE-RSA-AES256-GCM-SHA384")]
    [InlineData("ECDHE+AESGCM", "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256")]
    [InlineData("AESGCM:!kRSA:!DHE:!aECDSA", "ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256")]
    [InlineData("!CHACHA20:kEECDH+CHACHA20:AES256-SHA", "AES256-SHA")]
    [InlineData("CHACHA20:-DHE:DHE+CHACHA20", "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 DHE-RSA-CHACHA20-POLY1305")]
    [InlineData("kRSA+AESGCM:+AES256", "AES128-GCM-SHA256 AES256-GCM-SHA384")]
    [InlineData("AES128-SHA:AES256-SHA:@STRENGTH", "AES256-SHA AES128-SHA")]
    [InlineData("AES256-SHA:!aNULL:!eNULL:!EXPORT:!RC4:!3DES:!MD5:@SECLEVEL=1", "AES256-SHA")]
    [InlineData("AES256-SHA:DES-CBC3-SHA", "AES256-SHA")]
    public void A_cipher_string_selects_suites_in_its_order(string text, string expected) =>
        Assert.Equal(expected, string.Join(' ', CipherString.Parse("client_tls_ciphers", text)!.Select(CipherSuites.NameOf)));

    [Theory]
    [InlineData("default")]
    [InlineData("secure")]
    [InlineData("fast")]
    [InlineData("normal")]
    [InlineData("")]
    public void The_shortcuts_are_the_systems_choice(string text)
    {
        Assert.Null(CipherString.Parse("client_tls_ciphers", text));
        Assert.Null(CipherSuites.Policy("client", text, null));
    }

    [Theory]
    [InlineData("HIGH:!aNUL", "client_tls_ciphers: aNUL names no cipher suite known here")]
    [InlineData("ECDHE-RSA-AES256-GCM-SHA385", "names no cipher suite known here")]
    [InlineData("RC4", "no cipher match")]
    [InlineData("HIGH:!HIGH", "no cipher match")]
    public void What_cannot_be_mapped_is_an_error_that_names_it(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<TlsSetupException>(() => CipherSuites.Policy("client", text, null)).Message);

    [Fact]
    public void Suites_of_tls13_are_chosen_apart_from_the_others()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows lets applications choose no suites");
        var chosen = CipherSuites.Policy("server", "ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256")!;
        Assert.Equal([TlsCipherSuite.TLS_AES_128_GCM_SHA256, TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], chosen.AllowedCipherSuites);
        Assert.Contains(TlsCipherSuite.TLS_AES_256_GCM_SHA384, CipherSuites.Policy("server", "AES128-SHA", null)!.AllowedCipherSuites);
        Assert.Contains(TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, CipherSuites.Policy("server", "default", "TLS_AES_128_GCM_SHA256")!.AllowedCipherSuites);
        var unknown = Assert.Throws<TlsSetupException>(() => CipherSuites.Policy("server", "default", "unknown"));
        Assert.Equal("server_tls13_ciphers", unknown.Setting);
        Assert.StartsWith("failed to set the TLSv1.3 cipher suites: unknown is unknown", unknown.Message);
    }

    [Theory]
    [InlineData("secure", SslProtocols.Tls12 | SslProtocols.Tls13)]
    [InlineData("", SslProtocols.Tls12 | SslProtocols.Tls13)]
    [InlineData("TLSv1.2", SslProtocols.Tls12)]
    [InlineData("tlsv1.2, tlsv1.3", SslProtocols.Tls12 | SslProtocols.Tls13)]
    [InlineData("secure,!tlsv1.2", SslProtocols.Tls13)]
    [InlineData("!tlsv1.0,!tlsv1.1", SslProtocols.Tls12 | SslProtocols.Tls13)]
    public void Protocols_are_lists_that_add_and_take_away(string text, SslProtocols expected) =>
        Assert.Equal(expected, TlsProtocols.Parse("client", text));

    [Theory]
    [InlineData("all", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3")]
    [InlineData("tlsv1.0", "TLSv1")]
    public void Old_protocols_can_be_asked_for(string text, string expected)
    {
        // By number: the names of the old ones are marked as obsolete.
        var protocols = TlsProtocols.Parse("server", text);
        Assert.Equal(expected, string.Join(' ', ((SslProtocols[])[(SslProtocols)192, (SslProtocols)768, SslProtocols.Tls12, SslProtocols.Tls13])
            .Where(p => protocols.HasFlag(p)).Select(TlsProtocols.NameOf)));
    }

    [Theory]
    [InlineData("sslv3")]
    [InlineData("secure,!all")]
    public void Other_protocols_are_an_error(string text) =>
        Assert.Equal("client_tls_protocols", Assert.Throws<TlsSetupException>(() => TlsProtocols.Parse("client", text)).Setting);
}
