using Microsoft.Extensions.Configuration;

var builder = DistributedApplication.CreateBuilder(args);

// Only for `--operation publish --step publish`: with a compute environment in the model the manifest would describe
// deployments to that environment rather than the resources.
if (builder.Configuration.GetValue("Compose", false))
    builder.AddDockerComposeEnvironment("compose");

var postgres = builder.AddPostgres("postgres").WithArgs("-c", "max_connections=200");
var shop = postgres.AddDatabase("shop");

// Plain Redis in every topology: the developer certificate would make run mode speak TLS where what is published doesn't.
var redis = builder.AddRedis("redis").WithoutHttpsCertificate();

// The samples have one connection string, "shop". Whether it leads through the pool is decided here and nowhere else.
IResourceBuilder<IResourceWithConnectionString> database = shop;
if (builder.Configuration.GetValue("UsePooler", true))
{
    var pooler = postgres.AddPooler<Projects.Pooler>("pooler")
        .WithMaxClientConnections(1000)
        .WithPoolSize(25, minimum: 5, reserve: 5)
        .WithMaxDatabaseConnections(50)
        .WithServerIdleTimeout(TimeSpan.FromMinutes(10))
        .WithServerLifetime(TimeSpan.FromHours(1));
    database = pooler.AddDatabase("shop-pooled", shop);
}

// Launch profiles stay out of it: the endpoints are those written here, in run mode and in everything published.
var web = builder.AddProject<Projects.SampleWeb>("web", project => project.ExcludeLaunchProfile = true)
    .WithHttpEndpoint()
    .WithExternalHttpEndpoints()
    .WithHttpHealthCheck("/health")
    .WithReference(database, connectionName: "shop")
    .WithReference(redis)
    .WaitFor(database)
    .WaitFor(redis);

// The web application migrates the database, and serves the page that the worker scrapes.
builder.AddProject<Projects.SampleWorker>("worker", project => project.ExcludeLaunchProfile = true)
    .WithHttpEndpoint()
    .WithHttpHealthCheck("/health")
    .WithReference(database, connectionName: "shop")
    .WithReference(redis)
    .WithReference(web)
    .WaitFor(database)
    .WaitFor(redis)
    .WaitFor(web);

builder.Build().Run();
