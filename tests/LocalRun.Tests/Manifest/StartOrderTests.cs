using LocalRun.Manifest;
using Testing;
using Xunit;

namespace LocalRun.Tests.Manifest;

public class StartOrderTests
{
    [Fact]
    public void Dependencies_come_first_by_way_of_values_too()
    {
        var order = Order("""
            {"resources": {
              "web": {"type": "executable.v0", "command": "x", "env": {"DB": "{shop-pooled.connectionString}", "SELF": "{web.bindings.http.url}"}, "bindings": {"http": {}}},
              "shop-pooled": {"type": "value.v0", "connectionString": "Port={pooler.bindings.tcp.port}"},
              "pooler": {"type": "executable.v0", "command": "x", "args": ["{postgres.bindings.tcp.port}"], "bindings": {"tcp": {}}},
              "postgres": {"type": "container.v0", "image": "postgres", "bindings": {"tcp": {}}}
            }}
            """);

        Assert.Equal(["postgres", "pooler", "web"], order.Select(step => step.Resource.Name));
        Assert.Equal([[], ["postgres"], ["pooler"]], order.Select(step => step.After.ToArray()));
    }

    [Fact]
    public void Two_that_know_each_other_start_in_the_manifests_order()
    {
        var order = Order("""
            {"resources": {
              "a": {"type": "executable.v0", "command": "x", "env": {"B": "{b.bindings.http.url}"}, "bindings": {"http": {}}},
              "b": {"type": "executable.v0", "command": "x", "env": {"A": "{a.bindings.http.url}"}, "bindings": {"http": {}}}
            }}
            """);

        Assert.Equal(["a", "b"], order.Select(step => step.Resource.Name));
        Assert.Empty(order[0].After);
        Assert.Equal(["a"], order[1].After);
    }

    [Fact]
    public void The_kept_manifest_starts_servers_then_the_pool_then_its_users()
    {
        var order = StartOrder.Of(Kept()).Select(step => step.Resource.Name).ToList();

        Assert.Equal(["pooler", "postgres", "redis", "web", "worker"], order.Order());
        Assert.True(order.IndexOf("postgres") < order.IndexOf("pooler"));
        Assert.True(order.IndexOf("pooler") < order.IndexOf("web"));
        Assert.True(order.IndexOf("web") < order.IndexOf("worker"));
    }

    [Fact]
    public void Without_the_pool_its_users_are_wired_to_the_server()
    {
        var direct = DirectWiring.Apply(Kept());

        Assert.Equal("pooler", DirectWiring.PoolerOf(Kept()));
        Assert.Null(direct.Find("pooler"));
        Assert.Null(direct.Find("shop-pooled"));
        var web = direct.Find("web")!.Environment;
        Assert.Equal("{shop.connectionString}", web["ConnectionStrings__shop"]);
        Assert.Equal("{postgres.bindings.tcp.port}", web["SHOP_PORT"]);
        Assert.DoesNotContain(direct.Resources.SelectMany(resource => resource.Expressions), text => text.Contains("{pooler.", StringComparison.Ordinal));
        Assert.Equal(["postgres", "redis"], StartOrder.DependenciesOf(direct.Find("web")!, direct).Order());
    }

    [Fact]
    public void A_manifest_without_a_pool_cannot_do_without_it()
    {
        var manifest = AspireManifest.Parse("""{"resources": {"shop": {"type": "value.v0"}}}""", ".");

        Assert.Contains("there is no pool", Assert.Throws<ManifestException>(() => DirectWiring.Apply(manifest)).Message, StringComparison.Ordinal);
    }

    private static IReadOnlyList<StartStep> Order(string manifest) => StartOrder.Of(AspireManifest.Parse(manifest, "."));

    private static AspireManifest Kept() => AspireManifest.Load(Path.Combine(Repository.Root, "aspire-manifest.json"));
}
