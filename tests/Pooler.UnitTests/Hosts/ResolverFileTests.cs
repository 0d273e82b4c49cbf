using Pooler.Engine;
using Pooler.Engine.Hosts;
using Xunit;

namespace Pooler.UnitTests.Hosts;

public sealed class ResolverFileTests
{
    [Fact]
    public void A_resolv_conf_is_read_as_resolvers_read_it()
    {
        var file = ResolverFile.Parse(
        [
            "# comment", "; another", "", "nameserver 10.0.0.1", "nameserver\t127.0.0.1:5353", "nameserver ::1", "nameserver [::1]:54",
            "nameserver nonsense", "domain old.test", "search a.test  b.test", "options ndots:2 timeout:999 attempts:3 rotate edns0", "sortlist 1",
        ]);

        Assert.Equal("10.0.0.1:53 127.0.0.1:5353 [::1]:53 [::1]:54", string.Join(' ', file.NameServers));
        Assert.Equal((2, 30, 3, true), (file.Dots, file.Timeout.TotalSeconds, file.Attempts, file.Rotate));
        Assert.Equal(["db.x.a.test", "db.x.b.test", "db.x"], file.Candidates("db.x"));
        Assert.Equal(["db.x.y", "db.x.y.a.test", "db.x.y.b.test"], file.Candidates("db.x.y"));
        Assert.Equal(["db."], file.Candidates("db."));
    }

    [Fact]
    public void Endless_lists_are_cut()
    {
        var file = ResolverFile.Parse([.. Enumerable.Repeat("nameserver 10.0.0.1", 1000), "search " + string.Join(' ', Enumerable.Repeat("x", 1000))]);

        Assert.True(file.NameServers.Count < 10 && file.Search.Count < 50);
    }

    [Theory, InlineData("/nowhere/resolv.conf"), InlineData("/dev/null")]
    public void A_file_that_names_no_server_prevents_the_start(string path) =>
        Assert.Contains(path, Assert.Throws<PoolerStartException>(() => ResolverFile.Load(path)).Message, StringComparison.Ordinal);
}
