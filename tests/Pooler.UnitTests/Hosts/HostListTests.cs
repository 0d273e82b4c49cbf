using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;
using Xunit;

namespace Pooler.UnitTests.Hosts;

public sealed class HostListTests
{
    [Theory]
    [InlineData("db", 5432, null, "db:5432 lookup")]
    [InlineData("10.0.0.1", 5433, null, "10.0.0.1:5433 10.0.0.1:5433")]
    [InlineData("::1", 5432, null, "[::1]:5432 [::1]:5432")]
    [InlineData("/run/pg", 5432, null, "/run/pg:5432 /run/pg/.s.PGSQL.5432")]
    [InlineData("@pg", 5432, null, "@pg:5432 @pg/.s.PGSQL.5432")]
    [InlineData("10", 5432, null, "10:5432 lookup")]
    [InlineData("a, b,,::1", 1, null, "a:1 lookup, b:1 lookup, [::1]:1 [::1]:1")]
    [InlineData("a,10.0.0.2,/s", 1, "1,2,3", "a:1 lookup, 10.0.0.2:2 10.0.0.2:2, /s:3 /s/.s.PGSQL.3")]
    [InlineData(null, 5432, null, "/sockets:5432 /sockets/.s.PGSQL.5432")]
    public void Every_form_of_a_host_list_is_read(string? hosts, int port, string? ports, string expected)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux alone has all of them.");
        var list = HostList.Of(new DatabaseSettings { Name = "db", Host = hosts, Port = port, PortList = ports }, "/sockets");

        Assert.Equal(expected, string.Join(", ", list.Select(h => $"{h} {(h.IsName ? "lookup" : h.Addresses.Single().EndPoint!.ToString())}")));
    }

    [Theory, InlineData("")]
    public void Without_a_host_and_a_socket_directory_it_says_so(string directory) =>
        Assert.Contains("unix_socket_dir", HostList.Of(new DatabaseSettings { Name = "db" }, directory).Single().Broken, StringComparison.Ordinal);

    [Fact]
    public void A_path_that_is_too_long_for_a_socket_is_no_crash() =>
        Assert.NotNull(HostList.Of(new DatabaseSettings { Name = "db", Host = "/" + new string('x', 200) }, "").Single().Broken);

    [Theory]
    [InlineData("host=a,b port=1,2", true)]
    [InlineData("host=a,b port=1", true)]
    [InlineData("host=a,b port=1,2,3", false)]
    [InlineData("host=a port=1,2", false)]
    [InlineData("host=a,b port=1,x", false)]
    [InlineData("host=a,b port=0,1", false)]
    [InlineData("host=a target_session_attrs=prefer-standby", true)]
    [InlineData("host=a target_session_attrs=slave", false)]
    public void Ports_must_be_one_or_as_many_as_hosts(string entry, bool isGood)
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, $"[databases]\ndb = {entry}\n[pgbouncer]\nauth_type = any\n");
            var result = ConfigurationLoader.Load(new ConfigurationSources { File = file });
            Assert.Equal(isGood, result.Errors.Count == 0);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
