using System.Security.Cryptography;
using System.Text;
using Pooler.Engine.Auth;
using Xunit;

namespace Pooler.UnitTests.Auth;

public class ScramTests
{
    [Fact]
    public void The_example_of_rfc_7677_comes_out()
    {
        const string clientFirstBare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
        const string serverFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        const string withoutProof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

        var keys = ScramKeys.Derive("pencil"u8, Convert.FromBase64String("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
        var proof = Scram.Xor(keys.ClientKey, Scram.Sign(keys.StoredKey, clientFirstBare, serverFirst, withoutProof));
        var signature = Scram.Sign(keys.ServerKey, clientFirstBare, serverFirst, withoutProof);

        Assert.Equal("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", Convert.ToBase64String(proof));
        Assert.Equal("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", Convert.ToBase64String(signature));
        Assert.Equal(keys.StoredKey, SHA256.HashData(keys.ClientKey));
    }

    [Fact]
    public void A_conversation_is_signed_byte_for_byte_as_it_came()
    {
        // A name in UTF-8 on the wire: C3 A9.
        byte[] message = [.. "n="u8, 0xC3, 0xA9, .. ",r=x"u8];
        var key = new byte[32];

        Assert.Equal(
            HMACSHA256.HashData(key, (byte[])[.. message, .. ",s,f"u8]),
            Scram.Sign(key, Scram.ReadText(message, 100)!, "s", "f"));
    }

    [Fact]
    public void Nonces_are_printable_and_differ()
    {
        var nonces = Enumerable.Range(0, 100).Select(_ => Scram.NewNonce()).ToList();

        Assert.All(nonces, nonce => Assert.True(Scram.IsNonce(nonce)));
        Assert.Equal(100, nonces.Distinct().Count());
    }

    [Theory]
    [InlineData("plain ASCII", "plain ASCII")]
    [InlineData("with\ttab", "with\ttab")]
    [InlineData("pässwörd", "pässwörd")]
    [InlineData("no\u00A0break", "no break")]
    [InlineData("ideographic\u3000space", "ideographic space")]
    [InlineData("soft\u00ADhyphen", "softhyphen")]
    [InlineData("\u2764\uFE0F", "\u2764")]
    [InlineData("soft\u00ADhyphen\u200Eprohibited", "soft\u00ADhyphen\u200Eprohibited")]
    [InlineData("\U0001F926\u200D", "\U0001F926\u200D")]
    [InlineData("\u00AD", "\u00AD")]
    public void Passwords_are_prepared_as_saslprep_says_or_used_raw(string password, string expected)
    {
        Assert.Equal(Encoding.UTF8.GetBytes(expected), SaslPrep.Prepare(password));
        Assert.Equal(Encoding.UTF8.GetBytes(expected), SaslPrep.Prepare(Encoding.UTF8.GetBytes(password)));
    }

    [Fact]
    public void A_password_that_is_not_utf8_is_used_raw() =>
        Assert.Equal([0xE9, 0xFF], SaslPrep.Prepare([0xE9, 0xFF]));
}
