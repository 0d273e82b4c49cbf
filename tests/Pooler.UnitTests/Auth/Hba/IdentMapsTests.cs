using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Auth.Hba;

/// <summary>Name maps.</summary>
public sealed class IdentMapsTests
{
    private const string Text =
        """
        # map   system            database
        staff   joe               app
        staff   "jane doe"        "app user"   # quoted
        staff   root              all
        staff   eve               "all"
        mail    /^(.*)@example\.com$   \1
        mail    /^(.*)@guest\.example$  guest_\1_ro
        mail    "/^ops$"          /^(backup|monitor)$
        mail    plain\1           \1
        """;

    [Theory]
    [InlineData("staff", "joe", "app", true)]
    [InlineData("staff", "joe", "App", false)]
    [InlineData("staff", "Joe", "app", false)]
    [InlineData("staff", "joe", "root", false)]
    [InlineData("staff", "jane doe", "app user", true)]
    [InlineData("staff", "root", "anybody", true)]
    [InlineData("staff", "eve", "anybody", false)]
    [InlineData("staff", "eve", "all", true)]
    [InlineData("mail", "ann@example.com", "ann", true)]
    [InlineData("mail", "ann@example.com", "bea", false)]
    [InlineData("mail", "ann@example.com\n", "ann", false)]
    [InlineData("mail", "ann@exampleXcom", "ann", false)]
    [InlineData("mail", "@example.com", "", true)]
    [InlineData("mail", "\\1@guest.example", "guest_\\1_ro", true)]
    [InlineData("mail", "bea@guest.example", "guest_bea_ro", true)]
    [InlineData("mail", "ops", "backup", true)]
    [InlineData("mail", "ops", "backups", false)]
    [InlineData("mail", "plain\\1", "\\1", true)]
    [InlineData("other", "joe", "app", false)]
    public void A_map_says_who_may_be_whom(string map, string system, string user, bool allowed)
    {
        var issues = new List<ConfigurationIssue>();
        var maps = IdentMaps.Parse(Text, "pg_ident.conf", issues);

        Assert.Empty(issues);
        Assert.Equal(allowed, maps.Allow(map, [system], user, StringComparison.Ordinal));
        Assert.Equal(allowed, maps.Allow(map, ["nobody", system], user, StringComparison.Ordinal));
    }

    [Fact]
    public void Without_a_map_the_names_must_be_the_same()
    {
        Assert.True(IdentMaps.None.Allow(null, ["joe"], "joe", StringComparison.Ordinal));
        Assert.False(IdentMaps.None.Allow(null, ["joe"], "Joe", StringComparison.Ordinal));
        Assert.False(IdentMaps.None.Allow(null, [], "joe", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("m a", "map, system user and database user are needed")]
    [InlineData("m a b c", "unsupported parameters")]
    [InlineData("m a,b c", "several names in one column")]
    [InlineData("m \"a b", "a quote is not closed")]
    [InlineData("m /( b", "\"/(\" is no regular expression")]
    [InlineData("m /a \\1", "\"/a\" has no part in parentheses for the \\1 of \"\\1\"")]
    [InlineData("m a +staff", "\"+staff\": members of a role can't be told here")]
    public void A_line_with_a_mistake_is_reported_and_left_out(string line, string message)
    {
        var issues = new List<ConfigurationIssue>();

        var maps = IdentMaps.Parse($"good joe app\n{line}", "pg_ident.conf", issues);

        Assert.StartsWith($"pg_ident.conf:2: could not parse ident config line 2: {message}", Assert.Single(issues).ToString(), StringComparison.Ordinal);
        Assert.True(maps.Contains("good"));
        Assert.False(maps.Contains("m"));
    }
}
