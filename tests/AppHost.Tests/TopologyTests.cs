using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Xunit;

namespace AppHost.Tests;

public sealed class TopologyTests
{
    private static readonly string[] Names = ["postgres", "shop", "redis", "pooler", "shop-pooled", "web", "worker"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_stack_is_postgres_redis_pooler_web_and_worker()
    {
        await using var builder = await Topology.CreateAsync(Token);

        // Run mode adds hidden helpers of its own.
        Assert.Equal(Names, builder.Resources.Select(resource => resource.Name).Where(name => Names.Contains(name)));
        Assert.IsType<PostgresServerResource>(builder.Resource<IResource>("postgres"));
        Assert.IsType<PoolerResource>(builder.Resource<IResource>("pooler"));
        Assert.IsType<PoolerDatabaseResource>(builder.Resource<IResource>("shop-pooled"));
        Assert.EndsWith("SampleWeb.csproj", builder.Resource<ProjectResource>("web").GetProjectMetadata().ProjectPath, StringComparison.Ordinal);
        Assert.EndsWith("SampleWorker.csproj", builder.Resource<ProjectResource>("worker").GetProjectMetadata().ProjectPath, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_pool_has_the_samples_settings()
    {
        await using var builder = await Topology.CreateAsync(Token);

        Assert.Equal(
            new Dictionary<string, object>
            {
                ["pool_mode"] = "transaction",
                ["auth_type"] = "scram-sha-256",
                ["max_client_conn"] = "1000",
                ["default_pool_size"] = "25",
                ["min_pool_size"] = "5",
                ["reserve_pool_size"] = "5",
                ["max_db_connections"] = "50",
                ["server_idle_timeout"] = "600",
                ["server_lifetime"] = "3600",
            },
            builder.Resource<PoolerResource>("pooler").Settings);
    }

    [Fact]
    public async Task Everyone_waits_for_what_they_use()
    {
        await using var builder = await Topology.CreateAsync(Token);

        Assert.Equal(["postgres"], builder.WaitsFor("pooler"));
        Assert.Equal(["pooler", "redis", "shop-pooled"], builder.WaitsFor("web"));
        Assert.Equal(["pooler", "redis", "shop-pooled", "web"], builder.WaitsFor("worker"));
    }

    [Theory]
    [InlineData("web")]
    [InlineData("worker")]
    public async Task The_samples_reach_the_database_only_through_the_pooler(string sample)
    {
        await using var builder = await Topology.CreateAsync(Token);
        AllocateEndpoints(builder);

        var environment = await builder.Resource<IResource>(sample).EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.Equal(
            "Host=localhost;Port=6000;Username=postgres;Password=pg;No Reset On Close=true;Database=shop",
            environment["ConnectionStrings__shop"]);
        Assert.Equal("6000", environment["SHOP_PORT"]);
        Assert.Equal("localhost:5001,password=redis", environment["ConnectionStrings__redis"]);
        Assert.DoesNotContain(environment.Values, value => value.Contains("5000", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_worker_knows_where_the_web_application_is()
    {
        await using var builder = await Topology.CreateAsync(Token);
        AllocateEndpoints(builder);

        var environment = await builder.Resource<IResource>("worker").EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.Equal("http://localhost:7000", environment["services__web__http__0"]);
    }

    [Theory]
    [InlineData("web")]
    [InlineData("worker")]
    public async Task UsePooler_false_wires_the_samples_to_the_database_itself(string sample)
    {
        await using var builder = await Topology.CreateAsync(Token, "--UsePooler=false");
        AllocateEndpoints(builder);

        var environment = await builder.Resource<IResource>(sample).EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.Equal("Host=localhost;Port=5000;Username=postgres;Password=pg;Database=shop", environment["ConnectionStrings__shop"]);
        Assert.Equal("5000", environment["SHOP_PORT"]);
        Assert.DoesNotContain(builder.Resources, resource => resource is PoolerResource);
        Assert.Contains("shop", builder.WaitsFor(sample));
    }

    [Fact]
    public async Task Every_process_and_database_has_a_health_check()
    {
        await using var builder = await Topology.CreateAsync(Token);

        Assert.All(Names, name => Assert.NotEmpty(builder.Resource<IResource>(name).Annotations.OfType<HealthCheckAnnotation>()));
    }

    private static void AllocateEndpoints(IDistributedApplicationTestingBuilder builder)
    {
        builder.Resource<IResource>("postgres").Allocate("tcp", 5000, 5432);
        builder.Resource<IResource>("redis").Allocate("tcp", 5001, 6379);
        builder.Resource<IResource>("web").Allocate("http", 7000, 17000);
        builder.Resource<IResource>("worker").Allocate("http", 7001, 17001);
        if (builder.Resources.OfType<PoolerResource>().SingleOrDefault() is { } pooler)
            pooler.AllocateAll();
    }
}
