using System.Data.Common;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using Xunit;

namespace AppHost.Tests;

public sealed class PoolerResourceTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void A_pooler_is_a_project_with_the_endpoints_tcp_http_and_admin()
    {
        var pooler = Model.RunMode().AddServer().AddPooler().Resource;

        Assert.IsAssignableFrom<ProjectResource>(pooler);
        Assert.EndsWith("Pooler.csproj", pooler.GetProjectMetadata().ProjectPath, StringComparison.Ordinal);
        Assert.Equal(
            [("tcp", "tcp"), ("http", "http"), ("admin", "http")],
            Endpoints(pooler).Select(endpoint => (endpoint.Name, endpoint.UriScheme)));
        Assert.True(Endpoints(pooler).Single(endpoint => endpoint.Name == "admin").ExcludeReferenceEndpoint);
        Assert.All(Endpoints(pooler), endpoint => Assert.False(endpoint.IsExternal));
    }

    [Fact]
    public void Run_mode_leaves_the_ports_to_the_orchestrator()
    {
        var pooler = Model.RunMode().AddServer().AddPooler().Resource;

        Assert.All(Endpoints(pooler), endpoint => Assert.Equal((null, null), (endpoint.Port, endpoint.TargetPort)));
    }

    [Fact]
    public void The_port_argument_is_the_port_that_clients_use()
    {
        var pooler = Model.RunMode().AddServer().AddPooler(port: 7000).Resource;

        Assert.Equal(7000, Endpoints(pooler).Single(endpoint => endpoint.Name == "tcp").Port);
    }

    [Fact]
    public void A_published_pool_listens_on_6432()
    {
        var pooler = Model.PublishMode().AddServer().AddPooler().Resource;

        Assert.Equal([6432, null, 6433], Endpoints(pooler).Select(endpoint => endpoint.TargetPort));
    }

    [Fact]
    public async Task Run_mode_environment_points_at_the_server_and_listens_on_the_loopback_address()
    {
        var builder = Model.RunMode();
        var pooler = builder.AddServer().AddPooler().Resource;
        pooler.AllocateAll();

        var environment = await pooler.EnvironmentAsync(builder.ExecutionContext, Token);

        AssertVariables(environment, new()
        {
            ["POOLER_LISTEN_ADDR"] = "127.0.0.1",
            ["POOLER_LISTEN_PORT"] = "16000",
            ["POOLER_HTTP_ADDR"] = "127.0.0.1",
            ["POOLER_HTTP_ADMIN_PORT"] = "16002",
            ["POOLER_HTTP_ADMIN_KEY"] = "the-key",
            ["POOLER_POOL_MODE"] = "transaction",
            ["POOLER_AUTH_TYPE"] = "scram-sha-256",
            ["DATABASES_HOST"] = "localhost",
            ["DATABASES_PORT"] = "5000",
            ["DATABASES_USER"] = "postgres",
            ["DATABASES_PASSWORD"] = Model.Password,
            ["ASPNETCORE_URLS"] = "http://localhost:16001",
        });
        Assert.DoesNotContain("DATABASES_DBNAME", environment.Keys);
        Assert.Contains("OTEL_EXPORTER_OTLP_ENDPOINT", environment.Keys);
        Assert.Contains("OTEL_SERVICE_NAME", environment.Keys);
    }

    [Fact]
    public async Task Published_environment_holds_expressions_and_listens_on_every_address()
    {
        var builder = Model.PublishMode();
        var pooler = builder.AddServer().AddPooler().Resource;

        var environment = await pooler.EnvironmentAsync(builder.ExecutionContext, Token);

        AssertVariables(environment, new()
        {
            ["POOLER_LISTEN_ADDR"] = "*",
            ["POOLER_LISTEN_PORT"] = "{pooler.bindings.tcp.targetPort}",
            ["POOLER_HTTP_ADDR"] = "*",
            ["POOLER_HTTP_ADMIN_PORT"] = "{pooler.bindings.admin.targetPort}",
            ["POOLER_HTTP_ADMIN_KEY"] = "{pooler-admin-key.value}",
            ["DATABASES_HOST"] = "{pg.bindings.tcp.host}",
            ["DATABASES_PORT"] = "{pg.bindings.tcp.port}",
            ["DATABASES_USER"] = "postgres",
            ["DATABASES_PASSWORD"] = "{pg-password.value}",
            ["HTTP_PORTS"] = "{pooler.bindings.http.targetPort}",
        });
    }

    [Fact]
    public async Task The_servers_user_parameter_becomes_the_poolers_user()
    {
        var builder = Model.PublishMode();
        var user = builder.AddParameter("pg-user");
        var pooler = builder.AddPostgres("pg", user).AddPooler().Resource;

        var environment = await pooler.EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.Equal("{pg-user.value}", environment["DATABASES_USER"]);
        Assert.Equal(
            "Host={pooler.bindings.tcp.host};Port={pooler.bindings.tcp.port};Username={pg-user.value};Password={pg-password.value};No Reset On Close=true",
            pooler.ConnectionStringExpression.ValueExpression);
    }

    [Fact]
    public async Task The_connection_string_leads_through_the_pooler_and_turns_npgsqls_reset_off()
    {
        var builder = Model.RunMode();
        var server = builder.AddServer();
        var pooler = server.AddPooler();
        var pooled = pooler.AddDatabase("shop-pooled", server.AddDatabase("shop", "the shop")).Resource;
        pooler.Resource.AllocateAll();

        var connectionString = await pooled.ConnectionStringExpression.GetValueAsync(Token);

        Assert.Equal(
            $"Host=localhost;Port=6000;Username=postgres;Password={Model.Password};No Reset On Close=true;Database=\"the shop\"",
            connectionString);
    }

    [Fact]
    public void A_published_connection_string_refers_to_nothing_that_a_manifest_lacks()
    {
        var server = Model.PublishMode().AddServer();
        var pooled = server.AddPooler().AddDatabase("shop-pooled", server.AddDatabase("shop")).Resource;

        // A project.v0 has bindings, but no connectionString.
        Assert.DoesNotContain("{pooler.connectionString}", pooled.ConnectionStringExpression.ValueExpression, StringComparison.Ordinal);
        Assert.Contains("Host={pooler.bindings.tcp.host};", pooled.ConnectionStringExpression.ValueExpression, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_properties_of_a_pooled_database_are_those_of_a_database()
    {
        var builder = Model.RunMode();
        var server = builder.AddServer();
        var pooler = server.AddPooler();
        var database = server.AddDatabase("shop");
        var pooled = pooler.AddDatabase("shop-pooled", database).Resource;
        pooler.Resource.AllocateAll();

        var properties = pooled.ConnectionProperties();
        var values = new Dictionary<string, string?>();
        foreach (var (name, expression) in properties)
            values[name] = await expression.GetValueAsync(Token);

        Assert.Equal(database.Resource.ConnectionProperties().Keys, properties.Keys);
        Assert.Equal(
            new Dictionary<string, string?>
            {
                ["Host"] = "localhost",
                ["Port"] = "6000",
                ["Username"] = "postgres",
                ["Password"] = Model.Password,
                ["Uri"] = "postgresql://postgres:pg%2Fpass%20word@localhost:6000/shop",
                ["JdbcConnectionString"] = "jdbc:postgresql://localhost:6000/shop",
                ["DatabaseName"] = "shop",
            },
            values);
    }

    [Fact]
    public void The_poolers_own_properties_name_no_database()
    {
        var pooler = Model.PublishMode().AddServer().AddPooler().Resource;

        var properties = pooler.ConnectionProperties();

        Assert.Equal(["Host", "Port", "Username", "Password", "Uri", "JdbcConnectionString"], properties.Keys);
        Assert.Equal("jdbc:postgresql://{pooler.bindings.tcp.host}:{pooler.bindings.tcp.port}", properties["JdbcConnectionString"].ValueExpression);
    }

    [Fact]
    public async Task A_reference_under_the_databases_name_replaces_the_direct_one()
    {
        var builder = Model.PublishMode();
        var server = builder.AddServer();
        var pooled = server.AddPooler().AddDatabase("shop-pooled", server.AddDatabase("shop"));
        var app = builder.AddContainer("app", "app").WithReference(pooled, connectionName: "shop").Resource;

        var environment = await app.EnvironmentAsync(builder.ExecutionContext, Token);

        AssertVariables(environment, new()
        {
            ["ConnectionStrings__shop"] = "{shop-pooled.connectionString}",
            ["SHOP_HOST"] = "{pooler.bindings.tcp.host}",
            ["SHOP_PORT"] = "{pooler.bindings.tcp.port}",
            ["SHOP_DATABASENAME"] = "shop",
        });
    }

    [Fact]
    public async Task A_reference_to_the_pooler_means_its_connection_string()
    {
        var builder = Model.RunMode();
        var pooler = builder.AddServer().AddPooler();
        pooler.Resource.AllocateAll();
        var app = builder.AddExecutable("app", "app", ".").WithReference(pooler).Resource;

        var environment = await app.EnvironmentAsync(builder.ExecutionContext, Token);

        Assert.StartsWith("Host=localhost;Port=6000;", environment["ConnectionStrings__pooler"], StringComparison.Ordinal);
        Assert.DoesNotContain(environment.Keys, name => name.StartsWith("services__", StringComparison.Ordinal));
    }

    [Fact]
    public void The_pooler_waits_for_its_server()
    {
        var server = Model.RunMode().AddServer();
        var pooler = server.AddPooler().Resource;

        Assert.Equal([server.Resource], pooler.Annotations.OfType<WaitAnnotation>().Select(wait => wait.Resource));
    }

    [Fact]
    public void Health_is_asked_of_the_pooler_over_http_and_of_each_database_through_the_pool()
    {
        var builder = Model.RunMode();
        var server = builder.AddServer();
        var pooler = server.AddPooler();
        var shop = pooler.AddDatabase("shop-pooled", server.AddDatabase("shop"));
        var stock = pooler.AddDatabase("stock-pooled", server.AddDatabase("stock"));
        using var app = builder.Build();

        var registered = app.Services.GetRequiredService<IOptions<HealthCheckServiceOptions>>().Value.Registrations.Select(check => check.Name);

        Assert.Equal(["pooler_http_/health_200_check"], HealthChecks(pooler.Resource));
        Assert.Equal(["shop-pooled_check"], HealthChecks(shop.Resource));
        Assert.Equal(["stock-pooled_check"], HealthChecks(stock.Resource));
        Assert.Superset(new HashSet<string> { "pooler_http_/health_200_check", "shop-pooled_check", "stock-pooled_check" }, registered.ToHashSet());
    }

    [Fact]
    public async Task A_pooled_database_is_unhealthy_while_nobody_answers_for_the_pooler()
    {
        var builder = Model.RunMode();
        var server = builder.AddServer();
        var pooler = server.AddPooler();
        pooler.AddDatabase("shop-pooled", server.AddDatabase("shop"));
        // Port 1 (tcpmux) is not served on any machine of today, and is not among those handed out.
        pooler.Resource.Allocate("tcp", 1, 1);
        using var app = builder.Build();

        var report = await app.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(check => check.Name == "shop-pooled_check", Token);

        Assert.Equal(HealthStatus.Unhealthy, report.Status);
        Assert.IsAssignableFrom<DbException>(report.Entries["shop-pooled_check"].Exception);
    }

    [Fact]
    public void A_pooler_and_its_databases_have_icons_and_a_database_shows_its_parent()
    {
        var server = Model.RunMode().AddServer();
        var pooler = server.AddPooler();
        var shop = server.AddDatabase("shop");
        var pooled = pooler.AddDatabase("shop-pooled", shop);

        Assert.Equal("ArrowsBidirectional", pooler.Resource.Annotations.OfType<ResourceIconAnnotation>().Single().IconName);
        Assert.Equal("Database", pooled.Resource.Annotations.OfType<ResourceIconAnnotation>().Single().IconName);
        Assert.Same(pooler.Resource, pooled.Resource.Parent);
        Assert.Equal([pooled.Resource], pooler.Resource.Databases);
        Assert.Contains(pooled.Resource.Annotations.OfType<ResourceRelationshipAnnotation>(), related => related.Resource == shop.Resource);
    }

    [Fact]
    public async Task The_resource_shows_the_live_page_first_and_the_one_with_commands_among_the_details()
    {
        var builder = Model.RunMode();
        var pooler = builder.AddServer().AddPooler().Resource;
        pooler.AllocateAll();

        var urls = await pooler.UrlsAsync(builder.ExecutionContext, Token);

        Assert.Equal(
            [
                ("tcp", "tcp://localhost:6000", "Pool", UrlDisplayLocation.SummaryAndDetails),
                ("http", "http://localhost:6001", "Pools", UrlDisplayLocation.SummaryAndDetails),
                ("admin", "http://localhost:6002", "Pools, with commands", UrlDisplayLocation.DetailsOnly),
                ("http", "/metrics", "Metrics", UrlDisplayLocation.DetailsOnly),
            ],
            urls.Select(url => (url.Endpoint?.EndpointName, url.Url, url.DisplayText, url.DisplayLocation)));
    }

    [Fact]
    public void A_given_admin_key_is_used()
    {
        var builder = Model.PublishMode();
        var key = builder.AddParameter("key", secret: true);

        var pooler = builder.AddServer().AddPooler<OtherProject>("pooler", adminKey: key).Resource;

        Assert.Same(key.Resource, pooler.AdminKeyParameter);
    }

    [Fact]
    public void The_admin_key_is_a_generated_secret()
    {
        var key = Model.PublishMode().AddServer().AddPooler().Resource.AdminKeyParameter;

        Assert.Equal("pooler-admin-key", key.Name);
        Assert.True(key.Secret);
        Assert.False(Assert.IsType<GenerateParameterDefault>(key.Default).Special);
    }

    [Fact]
    public void A_database_of_another_server_is_refused()
    {
        var builder = Model.RunMode();
        var pooler = builder.AddServer("pg").AddPooler();
        var foreign = builder.AddServer("other").AddDatabase("shop");

        var exception = Assert.Throws<ArgumentException>(() => pooler.AddDatabase("shop-pooled", foreign));

        Assert.Equal("database", exception.ParamName);
        Assert.Contains("'other'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("'pg'", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_arguments_are_refused_by_name()
    {
        var server = Model.RunMode().AddServer();
        var pooler = server.AddPooler();
        var shop = server.AddDatabase("shop");

        Assert.Throws<ArgumentNullException>("server", () => PoolerBuilderExtensions.AddPooler<OtherProject>(null!, "pooler"));
        Assert.Throws<ArgumentException>("name", () => server.AddPooler<OtherProject>(""));
        Assert.Throws<ArgumentNullException>("pooler", () => PoolerBuilderExtensions.AddDatabase(null!, "pooled", shop));
        Assert.Throws<ArgumentException>("name", () => pooler.AddDatabase("", shop));
        Assert.Throws<ArgumentNullException>("database", () => pooler.AddDatabase("pooled", null!));
    }

    private sealed class OtherProject : IProjectMetadata
    {
        public string ProjectPath { get; } = Path.Combine(AppContext.BaseDirectory, "Pooler", "Pooler.csproj");
    }

    private static IEnumerable<EndpointAnnotation> Endpoints(IResource resource) => resource.Annotations.OfType<EndpointAnnotation>();

    private static IEnumerable<string> HealthChecks(IResource resource) => resource.Annotations.OfType<HealthCheckAnnotation>().Select(check => check.Key);

    private static void AssertVariables(IReadOnlyDictionary<string, string> actual, Dictionary<string, string> expected) =>
        Assert.Equal(expected, expected.Keys.ToDictionary(name => name, name => actual.GetValueOrDefault(name, "(not set)")));
}
