using Pooler.Engine.Auth.Ldap;
using Xunit;

namespace Pooler.UnitTests.Auth;

public class LdapOptionsTests
{
    [Fact]
    public void Pairs_are_separated_by_spaces_or_commas_and_may_be_quoted()
    {
        var options = Parse("""ldapserver="a b", ldapport=3890 "ldapprefix"="uid=" ,ldapsuffix=", ou=""x"",dc=net" ldaptls=1""");

        Assert.Equal(["a", "b"], options.Servers);
        Assert.Equal(3890, options.Port);
        Assert.Equal("uid=", options.Prefix);
        Assert.Equal(", ou=\"x\",dc=net", options.Suffix);
        Assert.True(options.StartsTls);
        Assert.False(options.IsSecure);
    }

    [Theory]
    [InlineData("ldap://h", "h", null, "", "Base", null, null)]
    [InlineData("ldap://h:3890/dc=net", "h", 3890, "dc=net", "Base", null, null)]
    [InlineData("LDAP://h/dc=net?uid,cn?sub", "h", null, "dc=net", "Subtree", "uid", null)]
    [InlineData("ldaps://h:1/dc=a%20b??one?(cn=%24username)", "h", 1, "dc=a b", "One", null, "(cn=$username)")]
    [InlineData("ldap://[::1]:3890/dc=net", "[::1]", 3890, "dc=net", "Base", null, null)]
    [InlineData("ldap://[::1]/dc=net", "[::1]", null, "dc=net", "Base", null, null)]
    [InlineData("ldap://h/dc=net????bindname=ignored", "h", null, "dc=net", "Base", null, null)]
    public void Urls_say_it_all(string url, string server, int? port, string baseDn, string scope, string? attribute, string? filter)
    {
        var options = Parse($"ldapurl=\"{url}\"");

        Assert.Equal(
            ([server], port, baseDn, scope, attribute, filter),
            ((string[])[.. options.Servers], options.Port, options.BaseDn, options.Scope.ToString(), options.SearchAttribute, options.SearchFilter),
            (a, b) => a.Item1.SequenceEqual(b.Item1) && (a.Item2, a.Item3, a.Item4, a.Item5, a.Item6) == (b.Item2, b.Item3, b.Item4, b.Item5, b.Item6));
        Assert.Equal(url.StartsWith("ldaps"), options.IsSecure);
    }

    [Theory]
    [InlineData("", "requires argument")]
    [InlineData("ldapserver=h", "requires argument")]
    [InlineData("ldapbasedn=dc=net", "ldapserver is missing")]
    [InlineData("ldapserver=h ldapprefix=a ldapbasedn=b", "cannot mix")]
    [InlineData("ldapserver=h ldapsuffix=a ldapsearchattribute=b", "cannot mix")]
    [InlineData("ldapserver=h ldapbasedn=b ldapsearchattribute=a ldapsearchfilter=(a=b)", "cannot use ldapsearchattribute together")]
    [InlineData("ldapserver=h ldapprefix=a ldapport=0", "invalid LDAP port")]
    [InlineData("ldapserver=h ldapprefix=a ldapport=65536", "invalid LDAP port")]
    [InlineData("ldapserver=h ldapprefix=a ldapport=x", "invalid LDAP port")]
    [InlineData("ldapserver=h ldapprefix=a ldapscheme=http", "invalid ldapscheme")]
    [InlineData("ldapserver=h ldapprefix=a ldaptls=yes", "invalid ldaptls value: \"yes\"")]
    [InlineData("ldapserver=h ldapprefix=a ldaptls=true", "invalid ldaptls value")]
    [InlineData("ldapserver=h ldapprefix=a ldaptls=on", "invalid ldaptls value")]
    [InlineData("ldapserver=h ldapprefix=a ldapserrver=b", "invalid LDAP option: \"ldapserrver\"")]
    [InlineData("ldapserver=h ldapprefix", "expected name=value")]
    [InlineData("ldapserver= h", "has no value")]
    [InlineData("ldapurl=http://h/dc=net", "unsupported LDAP URL scheme")]
    [InlineData("ldapurl=h/dc=net", "could not parse LDAP URL")]
    [InlineData("ldapurl=ldap://h:x/dc=net", "invalid port")]
    [InlineData("ldapurl=ldap://h:/dc=net", "invalid port")]
    [InlineData("ldapurl=ldap://h/dc=net?uid?deep", "scope")]
    [InlineData("ldapurl=ldap:///dc=net?uid?sub", "ldapserver is missing")]
    public void What_makes_no_sense_is_named(string text, string complaint)
    {
        Assert.False(LdapOptions.TryParse(text, out _, out var error));
        Assert.Contains(complaint, error);
    }

    [Theory]
    [InlineData("ldapserver=h ldapbasedn=b ldapbindpasswd=top secret", "expected name=value in column 46")]
    [InlineData("ldapserver=h ldapbasedn=b ldapbindpasswd=top,secret=x", "invalid LDAP option: what stands in column 46")]
    [InlineData("ldapserver=h ldapbasedn=b ldapbindpasswd=top,secret=", "what stands in column 46 of the options has no value")]
    [InlineData("ldapurl=ldap://who:secret@h/dc=net", "could not parse LDAP URL")]
    public void No_part_of_a_password_is_repeated(string text, string complaint)
    {
        Assert.False(LdapOptions.TryParse(text, out _, out var error));
        Assert.Contains(complaint, error);
        Assert.DoesNotContain("secret", error);
    }

    [Fact]
    public void Random_text_never_throws()
    {
        var random = new Random(4516);
        const string Alphabet = "ldapurserverport=\"\"?://,% 1[]()\0é";
        for (var i = 0; i < 5000; i++)
        {
            var text = new string([.. Enumerable.Range(0, random.Next(60)).Select(_ => Alphabet[random.Next(Alphabet.Length)])]);
            Assert.NotEqual(LdapOptions.TryParse((i % 2 == 0 ? "ldapurl=ldap://" : "") + text, out var options, out var error), error is not null);
            Assert.NotEqual(options is null, error is null);
        }
    }

    [Fact]
    public void Options_keep_the_password_out_of_logs() =>
        Assert.DoesNotContain("hush", Parse("ldapserver=h ldapbasedn=b ldapbindpasswd=hush").ToString());

    private static LdapOptions Parse(string text)
    {
        Assert.True(LdapOptions.TryParse(text, out var options, out var error), error);
        return options;
    }
}
