using LocalRun.Manifest;
using LocalRun.Stacks;
using LocalRun.Terminal;
using Testing;
using Xunit;

namespace LocalRun.Tests.Stacks;

public class ProjectEnvironmentTests
{
    [Fact]
    public void Projects_listen_on_the_loopback_interface_only()
    {
        var context = Context(AspireManifest.Load(Path.Combine(Repository.Root, "aspire-manifest.json")));

        var pooler = ProgramLauncher.ProjectEnvironment(context.Manifest.Find("pooler")!, context);

        Assert.Equal($"http://127.0.0.1:{context.Ports["pooler", "http"]}", pooler["ASPNETCORE_URLS"]);
        Assert.Null(pooler["HTTP_PORTS"]);
        Assert.Null(pooler["ASPNETCORE_HTTP_PORTS"]);
        Assert.DoesNotContain(pooler.Values, value => value is "*" or "0.0.0.0");
        Assert.Equal($"{context.Ports["pooler", "tcp"]}", pooler["POOLER_LISTEN_PORT"]);
        Assert.Equal($"{context.Ports["postgres", "tcp"]}", pooler["DATABASES_PORT"]);
        Assert.Equal("pooler", pooler["OTEL_SERVICE_NAME"]);
    }

    [Fact]
    public void A_project_without_an_endpoint_never_takes_the_default_port()
    {
        var context = Context(AspireManifest.Parse("""{"resources": {"job": {"type": "project.v0", "path": "Job.csproj"}}}""", "."));

        Assert.Equal("http://127.0.0.1:0", ProgramLauncher.ProjectEnvironment(context.Manifest.Find("job")!, context)["ASPNETCORE_URLS"]);
    }

    [Fact]
    public void The_manifests_own_word_on_names_and_addresses_counts()
    {
        var context = Context(AspireManifest.Parse(
            """{"resources": {"job": {"type": "project.v0", "path": "Job.csproj", "env": {"ASPNETCORE_URLS": "http://localhost:81", "OTEL_SERVICE_NAME": "other", "DOTNET_ENVIRONMENT": "Production"}}}}""", "."));

        var environment = ProgramLauncher.ProjectEnvironment(context.Manifest.Find("job")!, context);

        Assert.Equal("http://localhost:81", environment["ASPNETCORE_URLS"]);
        Assert.Equal("other", environment["OTEL_SERVICE_NAME"]);
        Assert.Equal("Production", environment["DOTNET_ENVIRONMENT"]);
    }

    private static LaunchContext Context(AspireManifest manifest) => new(manifest, new Screen(TextWriter.Null, colours: false));
}
