using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Pooler.UnitTests.Configuration;
using Xunit;

namespace Pooler.UnitTests.Auth.Hba;

/// <summary>HBA files: how their lines are cut, what they say, and what is wrong with them.</summary>
public sealed class HbaReaderTests
{
    [Theory]
    [InlineData("local all all trust", "local|all|all|trust")]
    [InlineData("\t local\tall   all trust \r", "local|all|all|trust")]
    [InlineData("host a,b , c ,d e all md5 # why", "host|a,b,c,d|e|all|md5")]
    [InlineData("host \"a b\",\"#,\" \"x\"\"y\" all md5#why", "host|a b,#,|x\"y|all|md5")]
    [InlineData("local all all peer map=\"a b\"", "local|all|all|peer|map=a b")]
    [InlineData("a\"b c\"d", "ab cd")]
    [InlineData(",a", "a")]
    [InlineData("a,", "a")]
    [InlineData("# nothing", "")]
    [InlineData("  ", "")]
    public void Words_end_at_blanks_commas_and_comments_outside_quotes(string line, string expected)
    {
        var cut = HbaTokens.Cut(line, 1);

        Assert.Null(cut.Error);
        Assert.Equal(expected, string.Join('|', cut.Fields.Select(f => string.Join(',', f.Tokens.Select(t => t.Text)))));
    }

    [Fact]
    public void A_backslash_continues_a_line_but_not_a_comment()
    {
        var lines = HbaTokens.Lines("local all \\\n  all \\\r\n trust\n# C:\\data\\\nlocal b b reject\n\nlocal \"c\\\n\" d md5\nlast \\").ToList();

        Assert.Equal([1, 5, 7, 9], lines.Select(l => l.Number));
        Assert.Equal(["local all all trust", "local b b reject", "local c d md5", "last"],
            lines.Select(l => string.Join(' ', l.Fields.Select(f => f.First.Text))));
    }

    [Theory]
    [InlineData("trust", AuthType.Trust)]
    [InlineData("reject", AuthType.Reject)]
    [InlineData("md5", AuthType.Md5)]
    [InlineData("password", AuthType.Plain)]
    [InlineData("scram-sha-256", AuthType.ScramSha256)]
    [InlineData("peer", AuthType.Peer)]
    [InlineData("ident", AuthType.Peer)]
    [InlineData("cert", AuthType.Cert)]
    [InlineData("ldap ldapserver=a ldapprefix=b", AuthType.Ldap)]
    [InlineData("pam", AuthType.Pam)]
    public void Every_method_has_its_word(string word, AuthType method) =>
        Assert.Equal(method, Assert.Single(Logins.Rules($"local all all {word}")).Method);

    [Fact]
    public void Options_are_kept_by_name_and_as_they_were_written()
    {
        var maps = IdentMaps.Parse("staff joe app", "pg_ident.conf", []);
        var rules = Logins.Rules(
            """
            hostssl all all all cert map=staff clientname=DN
            hostssl all all all scram-sha-256 clientcert=verify-full
            host all all all ldap ldapserver=ds.example ldapbasedn="dc=x, dc=y" ldapsearchattribute=uid # ours
            host all all all pam pamservice=db
            """, maps);

        Assert.Equal(("staff", "DN", null), (rules[0].Option("map"), rules[0].Option("clientname"), rules[0].Option("clientcert")));
        Assert.Equal("verify-full", rules[1].Option("clientcert"));
        Assert.Equal("ldapserver=ds.example ldapbasedn=\"dc=x, dc=y\" ldapsearchattribute=uid", rules[2].OptionsText);
        Assert.Equal("dc=x, dc=y", rules[2].Option("ldapbasedn"));
        Assert.Equal("db", rules[3].Option("pamservice"));
        Assert.Equal("pg_hba.conf:4", rules[3].Where);
    }

    [Theory]
    [InlineData("hots all all all trust", "unknown type \"hots\"")]
    [InlineData("\"local\" all all trust", "unknown type \"local\"")]
    [InlineData("local", "it ends before the database")]
    [InlineData("local all", "it ends before the user")]
    [InlineData("local all all", "it ends before the method")]
    [InlineData("host all all", "it ends before the address")]
    [InlineData("host all all 10.0.0.1", "it ends before the mask")]
    [InlineData("host all all 10.0.0.1 md5", "failed to parse mask \"md5\": an address needs a mask or /bits")]
    [InlineData("host all all 10.0.0.0 ffff:: md5", "failed to parse mask \"ffff::\": it is not of the address's family")]
    [InlineData("host all all 10.0.0.0/33 md5", "invalid mask in \"10.0.0.0/33\"")]
    [InlineData("host all all 10.0.0.0/ md5", "invalid mask in \"10.0.0.0/\"")]
    [InlineData("host all all 10.0.0.0/+8 md5", "invalid mask in \"10.0.0.0/+8\"")]
    [InlineData("host all all ::/129 md5", "invalid mask in \"::/129\"")]
    [InlineData("host all all 10.0.0/8 md5", "failed to parse address \"10.0.0/8\"")]
    [InlineData("host all all 10.1 md5", "failed to parse address \"10.1\"")]
    [InlineData("host all all db.example/24 md5", "failed to parse address \"db.example/24\"")]
    [InlineData("host all all fe80::1%eth0/64 md5", "failed to parse address \"fe80::1%eth0/64\"")]
    [InlineData("host all all a,b md5", "several addresses in one column")]
    [InlineData("local all all md5,trust", "several methods in one column")]
    [InlineData("local all all gss", "unsupported method \"gss\"")]
    [InlineData("host all all all ident", "unsupported method \"ident\"")]
    [InlineData("local all all Trust", "unsupported method \"Trust\"")]
    [InlineData("local all all trust really", "unsupported parameters: \"really\" is not in name=value format")]
    [InlineData("local all all trust a=b", "unsupported parameters: a")]
    [InlineData("local all all md5 pamservice=x", "unsupported parameters: pamservice")]
    [InlineData("local all all peer map=who", "Ident map who is not found in ident config file")]
    [InlineData("hostssl all all all md5 clientcert=1", "unsupported parameters: clientcert=1, where verify-ca and verify-full are known")]
    [InlineData("hostssl all all all cert clientcert=verify-ca", "method cert checks names always: clientcert can only be verify-full")]
    [InlineData("hostssl all all all cert clientname=OU", "unsupported parameters: clientname=OU, where CN and DN are known")]
    [InlineData("local +all all trust", "\"+all\": a role whose members are meant can stand in the user column only")]
    [InlineData("local all + trust", "\"+\": a role whose members are meant can stand in the user column only")]
    [InlineData("local /a( all trust", "\"/a(\" is no regular expression")]
    [InlineData("local all \"all trust", "a quote is not closed")]
    [InlineData("local all @ trust\nlocal @no-such-file all trust", "could not open no-such-file")]
    [InlineData("include", "include needs one name")]
    [InlineData("include no-such-file", "could not open no-such-file")]
    public void A_line_with_a_mistake_is_reported_with_file_and_line_and_left_out(string line, string message)
    {
        var issues = new List<ConfigurationIssue>();
        var number = 2 + line.Count(c => c == '\n');

        var rules = HbaReader.Parse($"local good good md5\n{line}\nlocal better better md5", "pg_hba.conf", IdentMaps.None, issues);

        var issue = Assert.Single(issues).ToString();
        Assert.StartsWith($"pg_hba.conf:{number}: could not parse hba config line {number}: {message}", issue, StringComparison.Ordinal);
        Assert.EndsWith("it is left out", issue, StringComparison.Ordinal);
        Assert.Equal((1, number + 1), (rules[0].Line, rules[^1].Line));
    }

    [Fact]
    public void An_address_that_does_not_fit_its_mask_is_nobodys_and_reported()
    {
        var issues = new List<ConfigurationIssue>();

        var rules = HbaReader.Parse("host all all 10.1.2.3/8 trust", "pg_hba.conf", IdentMaps.None, issues);

        Assert.Equal("pg_hba.conf:1: address does not match mask: no client has such an address", Assert.Single(issues).ToString());
        Assert.Null(Logins.MethodFor(rules, Logins.From("d", "u", "10.1.2.3")));
    }

    [Fact]
    public void Options_that_LDAP_cannot_use_are_reported_and_let_nobody_past_the_line()
    {
        var issues = new List<ConfigurationIssue>();

        var rules = HbaReader.Parse("host all all all ldap\nhost all all all trust", "pg_hba.conf", IdentMaps.None, issues);

        Assert.StartsWith("pg_hba.conf:1: ", Assert.Single(issues).ToString(), StringComparison.Ordinal);
        Assert.Equal(AuthType.Ldap, Logins.MethodFor(rules, Logins.From("d", "u", "192.0.2.1")));
    }

    [Theory]
    [InlineData("ldapserver=h,ldapprefix=a,clientcert=verify-full,clientname=DN")]
    [InlineData("ldapserver=h ldapprefix=a, clientcert=verify-full ,clientname=DN")]
    public void The_lines_own_options_are_found_among_LDAPs_that_commas_join(string options)
    {
        var rule = Assert.Single(Logins.Rules($"hostssl all all all ldap {options}"));

        Assert.Equal(("verify-full", "DN"), (rule.Option("clientcert"), rule.Option("clientname")));
    }

    [Fact]
    public void A_mistake_in_the_lines_own_options_among_LDAPs_leaves_the_line_out()
    {
        var issues = new List<ConfigurationIssue>();

        Assert.Empty(HbaReader.Parse("hostssl all all all ldap ldapserver=h,ldapprefix=a,clientcert=yes", "pg_hba.conf", IdentMaps.None, issues));

        Assert.Contains("clientcert=yes", Assert.Single(issues).ToString());
    }

    [Fact]
    public void Files_are_included_from_beside_the_file_that_names_them()
    {
        using var files = new ThrowawayFiles();
        files.Write("names", "ann, \"all\"\n# nobody else\n\n@more");
        files.Write("more", "bea");
        files.Write("second.conf", "local b @names trust\n");
        files.Write("third.conf", "local c all md5\n");
        files.Write("fourth.txt", "local d all md5\n");
        var main = files.Write("pg_hba.conf",
            """
            include second.conf
            include_if_exists nothing.conf
            include_dir .
            """);
        var issues = new List<ConfigurationIssue>();

        // include_dir finds this very file as well: whoever writes that hears of it, and it comes to an end.
        var rules = HbaReader.Read(main, IdentMaps.None, issues);

        Assert.Equal("second.conf:1", Path.GetFileName(rules[0].Where));
        Assert.Equal(AuthType.Trust, Logins.MethodFor(rules, Logins.From("b", "ann", null)));
        Assert.Equal(AuthType.Trust, Logins.MethodFor(rules, Logins.From("b", "bea", null)));
        Assert.Equal(AuthType.Trust, Logins.MethodFor(rules, Logins.From("b", "all", null)));
        Assert.Null(Logins.MethodFor(rules, Logins.From("b", "cid", null)));
        Assert.Equal(AuthType.Md5, Logins.MethodFor(rules, Logins.From("c", "cid", null)));
        Assert.Null(Logins.MethodFor(rules, Logins.From("d", "cid", null)));
        Assert.Contains(issues, i => i.Message.Contains("files are included too deeply", StringComparison.Ordinal));
    }

    [Fact]
    public void A_file_that_is_not_there_leaves_no_rule()
    {
        var issues = new List<ConfigurationIssue>();

        Assert.Empty(HbaReader.Read("/no/such/pg_hba.conf", IdentMaps.None, issues));
        Assert.StartsWith("auth_hba_file: could not open hba config file /no/such/pg_hba.conf", Assert.Single(issues).ToString(), StringComparison.Ordinal);
        Assert.Empty(HbaReader.Read("", IdentMaps.None, issues));
        Assert.Equal(2, issues.Count);
    }

    [Fact]
    public void Whatever_is_written_comes_to_an_end_without_an_exception()
    {
        string[] words =
        [
            "local", "host", "hostssl", "all", "sameuser", "samerole", "replication", "+", "+r", "@", "@x", "/", "/(", "/.*", "\"", "\"\"", "\"a b\"",
            ",", "#", "\\", "\\\n", "\n", "\r\n", "\0", " ", "\t", "10.0.0.0/8", "10.0.0.1", "::/0", "::", "1.2.3.4/99", ".x", "samenet", "samehost",
            "trust", "md5", "ldap", "cert", "map=", "map=x", "=", "clientcert=verify-ca", "include", "include_dir", "include_if_exists", "é", "\ud800",
        ];
        var random = new Random(20);
        for (var round = 0; round < 3_000; round++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(12)).Select(_ => words[random.Next(words.Length)] + (random.Next(3) > 0 ? " " : "")));
            var issues = new List<ConfigurationIssue>();
            var maps = IdentMaps.Parse(text, "pg_ident.conf", issues);
            var rules = HbaReader.Parse(text, "pg_hba.conf", maps, issues);
            foreach (var address in new[] { null, "10.0.0.1", "::1" })
            {
                HbaMatcher.Find(rules, Logins.From("x", "x", address), new HbaFacts());
                maps.Allow("local", ["x"], "x", StringComparison.Ordinal);
            }
        }
    }
}
