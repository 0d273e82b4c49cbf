using Pooler.Engine.Pools;
using Xunit;

namespace Pooler.UnitTests.Pools;

public sealed class SessionParametersTests
{
    private static readonly SessionParameters Server = SessionParameters.Empty.With("TimeZone", "UTC").With("DateStyle", "ISO, MDY");

    [Fact]
    public void Equal_sets_need_no_SQL_and_are_one_object()
    {
        var same = SessionParameters.Empty.With("datestyle", "ISO, MDY").With("timezone", "Rome").With("TIMEZONE", "UTC");

        Assert.Null(Server.ChangesTo(same));
        Assert.Same(SessionParameters.Empty.With("a", "1").With("b", "2"), SessionParameters.Empty.With("b", "2").With("a", "1"));
        Assert.Same(Server, Server.With("timezone", "UTC"));
    }

    [Fact]
    public void Sets_with_a_trace_are_not_kept_for_others()
    {
        SessionParameters Traced() => Server.With("pooler.traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

        Assert.NotSame(Traced(), Traced());
        Assert.Equal(Traced(), Traced());
        Assert.Same(Server, Traced().With("pooler.traceparent", null));
    }

    [Fact]
    public void What_differs_is_set_and_what_is_too_much_is_reset()
    {
        Assert.Equal("SET TimeZone TO 'Asia/Tokyo';", Server.ChangesTo(Server.With("TimeZone", "Asia/Tokyo")));
        Assert.Equal("SET geqo TO 'off';", Server.ChangesTo(Server.With("geqo", "off")));
        Assert.Equal("RESET DateStyle;", Server.ChangesTo(Server.With("DateStyle", null)));
        Assert.Equal("SET TimeZone TO 'UTC';", Server.With("TimeZone", SessionParameters.Unknown).ChangesTo(Server));
    }

    [Theory]
    [InlineData("O'Hara", "'O''Hara'")]
    [InlineData("", "''")]
    [InlineData("'; DROP TABLE t; --", "'''; DROP TABLE t; --'")]
    [InlineData(@"back\slash", @"E'back\\slash'")]
    [InlineData(@"\'", @"E'\\'''")]
    public void Values_are_quoted_whatever_is_in_them(string value, string literal) =>
        Assert.Equal($"SET application_name TO {literal};", Server.ChangesTo(Server.With("application_name", value)));

    [Fact]
    public void A_search_path_stays_a_list() => Assert.Equal(
        "SELECT pg_catalog.set_config('search_path','a, \"b''c\"',false);", Server.ChangesTo(Server.With("search_path", "a, \"b'c\"")));

    [Theory]
    [InlineData("geqo", true)]
    [InlineData("my.setting_2", true)]
    [InlineData("", false)]
    [InlineData("2nd", false)]
    [InlineData("a b", false)]
    [InlineData("a;b", false)]
    [InlineData("a\"", false)]
    public void Only_plain_names_may_stand_in_SQL(string name, bool plain) => Assert.Equal(plain, SessionParameters.IsPlainName(name));
}
