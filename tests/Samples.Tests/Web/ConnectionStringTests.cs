using Microsoft.Extensions.Configuration;
using ServiceDefaults.Configuration;
using Xunit;

namespace Samples.Tests.Web;

public sealed class ConnectionStringTests
{
    [Theory]
    [InlineData("true", "pooled")]
    [InlineData("TRUE", "pooled")]
    [InlineData("1", "pooled")]
    [InlineData("false", "direct")]
    [InlineData("off", "direct")]
    [InlineData(null, "wired")]
    [InlineData("", "wired")]
    public void The_switch_chooses_between_pooled_and_direct(string? value, string expected)
    {
        var configuration = Configuration(
            ("USE_PGBOUNCER", value),
            ("ConnectionStrings:shop", "wired"),
            ("ConnectionStrings:shop-pooled", "pooled"),
            ("ConnectionStrings:shop-direct", "direct"));

        Assert.Equal(expected, configuration.GetDatabaseConnectionString("shop"));
    }

    [Fact]
    public void Names_with_an_underscore_do_too_as_not_every_shell_can_export_a_dash()
    {
        var configuration = Configuration(
            ("USE_PGBOUNCER", "true"), ("ConnectionStrings:shop_pooled", "pooled"), ("ConnectionStrings:shop_direct", "direct"));

        Assert.Equal("pooled", configuration.GetDatabaseConnectionString("shop"));
    }

    [Theory]
    [InlineData("true")]
    [InlineData("false")]
    public void A_topology_that_has_chosen_itself_is_not_overruled_by_the_switch(string value)
    {
        var configuration = Configuration(("USE_PGBOUNCER", value), ("ConnectionStrings:shop", "wired"));

        Assert.Equal("wired", configuration.GetDatabaseConnectionString("shop"));
    }

    [Fact]
    public void A_missing_connection_string_is_named()
    {
        var error = Assert.Throws<MissingSettingException>(() => Configuration().GetDatabaseConnectionString("shop"));

        Assert.Equal("ConnectionStrings__shop", error.Key);
        Assert.Contains("ConnectionStrings__shop", error.Message);
    }

    [Fact]
    public void A_missing_pooled_connection_string_is_named()
    {
        var configuration = Configuration(("USE_PGBOUNCER", "true"), ("ConnectionStrings:shop-direct", "Password=hunter2"));

        var error = Assert.Throws<MissingSettingException>(() => configuration.GetDatabaseConnectionString("shop"));

        Assert.Equal("ConnectionStrings__shop-pooled", error.Key);
        Assert.DoesNotContain("hunter2", error.Message);
    }

    [Fact]
    public void Without_the_switch_its_name_is_given_when_it_would_help()
    {
        var configuration = Configuration(("ConnectionStrings:shop-pooled", "pooled"), ("ConnectionStrings:shop-direct", "direct"));

        var error = Assert.Throws<MissingSettingException>(() => configuration.GetDatabaseConnectionString("shop"));

        Assert.Contains("USE_PGBOUNCER", error.Message);
    }

    [Fact]
    public void A_switch_that_is_no_truth_value_is_refused()
    {
        var configuration = Configuration(("USE_PGBOUNCER", "perhaps"), ("ConnectionStrings:shop", "wired"));

        var error = Assert.Throws<MissingSettingException>(() => configuration.GetDatabaseConnectionString("shop"));

        Assert.Equal("USE_PGBOUNCER", error.Key);
    }

    [Fact]
    public void A_services_address_comes_from_service_discovery()
    {
        var configuration = Configuration(("services:web:http:0", "http://localhost:8123"));

        Assert.Equal(new Uri("http://localhost:8123"), configuration.GetServiceAddress("web"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("localhost")]
    [InlineData("ftp://localhost")]
    public void A_services_missing_or_unusable_address_is_named(string? value)
    {
        var error = Assert.Throws<MissingSettingException>(() => Configuration(("services:web:http:0", value)).GetServiceAddress("web"));

        Assert.Equal("services__web__http__0", error.Key);
    }

    private static IConfiguration Configuration(params (string Key, string? Value)[] settings) =>
        new ConfigurationBuilder().AddInMemoryCollection(settings.ToDictionary(setting => setting.Key, setting => setting.Value)).Build();
}
