using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Auth.Hba;

/// <summary>Which line of an HBA file applies to which login.</summary>
public sealed class HbaMatcherTests
{
    [Theory]
    [InlineData("local", "L")]
    [InlineData("host", "TP")]
    [InlineData("hostssl", "T")]
    [InlineData("hostnossl", "P")]
    [InlineData("hostnogssenc", "TP")]
    [InlineData("hostgssenc", "")]
    public void The_first_column_tells_sockets_and_encryption_apart(string type, string expected)
    {
        var rules = Logins.Rules(type == "local" ? "local all all trust" : $"{type} all all all trust");
        var tcp = Logins.From("d", "u", "192.0.2.1");

        var fits = "";
        if (Logins.MethodFor(rules, Logins.From("d", "u", null)) is not null) fits += "L";
        if (Logins.MethodFor(rules, tcp with { Tls = Logins.Tls }) is not null) fits += "T";
        if (Logins.MethodFor(rules, tcp) is not null) fits += "P";

        Assert.Equal(expected, fits);
    }

    [Theory]
    [InlineData("all", "d", "u", true)]
    [InlineData("\"all\"", "d", "u", false)]
    [InlineData("\"all\"", "all", "u", true)]
    [InlineData("a,d", "d", "u", true)]
    [InlineData("a,d", "D", "u", false)]
    [InlineData("sameuser", "d", "u", false)]
    [InlineData("sameuser", "u", "u", true)]
    [InlineData("\"sameuser\"", "u", "u", false)]
    [InlineData("replication", "replication", "u", false)]
    [InlineData("\"replication\"", "replication", "u", true)]
    [InlineData("/^d[0-9]+$", "d12", "u", true)]
    [InlineData("/^d[0-9]+$", "d12x", "u", false)]
    [InlineData("/^d[0-9]+$", "d12\n", "u", false)]
    [InlineData("\"/^a b\"", "a bc", "u", true)]
    [InlineData("/12", "d123", "u", true)]
    public void The_second_column_names_databases(string names, string database, string user, bool fits) =>
        Assert.Equal(fits, Logins.MethodFor(Logins.Rules($"local {names} all trust"), Logins.From(database, user, null)) is not null);

    [Theory]
    [InlineData("all", "d", "u", true)]
    [InlineData("u", "d", "u", true)]
    [InlineData("v,u", "d", "u", true)]
    [InlineData("u", "d", "v", false)]
    [InlineData("replication", "d", "replication", true)]
    [InlineData("sameuser", "u", "u", true)]
    [InlineData("samerole", "d", "samerole", true)]
    [InlineData("\"+u\"", "d", "+u", true)]
    [InlineData("/^(u|v)$", "d", "v", true)]
    [InlineData("/^(u|v)$", "d", "uv", false)]
    public void The_third_column_names_users(string names, string database, string user, bool fits) =>
        Assert.Equal(fits, Logins.MethodFor(Logins.Rules($"local all {names} trust"), Logins.From(database, user, null)) is not null);

    [Theory]
    [InlineData("all", "203.0.113.9", true)]
    [InlineData("0.0.0.0/0", "203.0.113.9", true)]
    [InlineData("0.0.0.0/0", "2001:db8::1", false)]
    [InlineData("::/0", "2001:db8::1", true)]
    [InlineData("::/0", "203.0.113.9", false)]
    [InlineData("203.0.113.8/31", "203.0.113.9", true)]
    [InlineData("203.0.113.8/32", "203.0.113.9", false)]
    [InlineData("203.0.113.0/25", "203.0.113.127", true)]
    [InlineData("203.0.113.0/25", "203.0.113.128", false)]
    [InlineData("203.0.113.0 255.255.255.128", "203.0.113.127", true)]
    [InlineData("203.0.113.0 255.255.255.128", "203.0.113.128", false)]
    [InlineData("203.0.113.1 255.0.255.255", "203.9.113.1", true)]
    [InlineData("203.0.113.1 255.0.255.255", "203.9.114.1", false)]
    [InlineData("203.0.113.0/24", "::ffff:203.0.113.7", true)]
    [InlineData("2001:db8::/33", "2001:db8:7fff::1", true)]
    [InlineData("2001:db8::/33", "2001:db8:8000::1", false)]
    [InlineData("2001:DB8:: ffff:ffff::", "2001:db8:8000::1", true)]
    public void The_fourth_column_names_addresses(string address, string client, bool fits) =>
        Assert.Equal(fits, Logins.MethodFor(Logins.Rules($"host all all {address} trust"), Logins.From("d", "u", client)) is not null);

    [Fact]
    public void The_first_line_that_fits_decides()
    {
        var rules = Logins.Rules(
            """
            host all mallory all reject
            host shop all 10.0.0.0/8 scram-sha-256
            host shop ann all md5
            host all all 10.1.0.0/16 password
            """);

        Assert.Equal(AuthType.Reject, Logins.MethodFor(rules, Logins.From("shop", "mallory", "10.0.0.1")));
        Assert.Equal(AuthType.ScramSha256, Logins.MethodFor(rules, Logins.From("shop", "ann", "10.1.0.1")));
        Assert.Equal(AuthType.Md5, Logins.MethodFor(rules, Logins.From("shop", "ann", "11.0.0.1")));
        Assert.Equal(AuthType.Plain, Logins.MethodFor(rules, Logins.From("logs", "ann", "10.1.2.3")));
        Assert.Null(Logins.MethodFor(rules, Logins.From("logs", "ann", "10.2.2.3")));
    }

    [Fact]
    public void Physical_replication_has_lines_of_its_own()
    {
        var rules = Logins.Rules("host all,d all all trust\nhost replication r all md5");
        var login = Logins.From("d", "r", "192.0.2.1");

        Assert.Equal(AuthType.Md5, Logins.MethodFor(rules, login with { Replication = ReplicationMode.Physical }));
        Assert.Equal(AuthType.Trust, Logins.MethodFor(rules, login with { Replication = ReplicationMode.Logical }));
        Assert.Null(Logins.MethodFor(rules, Logins.From("d", "u", "192.0.2.1") with { Replication = ReplicationMode.Physical }));
    }

    [Fact]
    public void A_connection_whose_other_end_is_gone_comes_under_no_line()
    {
        var rules = Logins.Rules("local all all trust\nhost all all all trust\nhost all all 0.0.0.0/0 trust\nhost all all samenet trust");

        Assert.Null(Logins.MethodFor(rules, Logins.From("d", "u", "192.0.2.1") with { RemoteEndPoint = null }));
    }

    [Fact]
    public void Nothing_is_looked_up_for_a_line_that_cannot_fit_anyway()
    {
        var rules = Logins.Rules(
            """
            host other all db.example trust
            host samerole bob all trust
            host all +staff 192.0.2.0/24 trust
            local all +staff trust
            host all,samerole all,+staff all md5
            """);

        Assert.Equal(AuthType.Md5, Logins.MethodFor(rules, Logins.From("d", "u", "203.0.113.1")));
    }
}
