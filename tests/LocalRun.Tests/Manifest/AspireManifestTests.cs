using LocalRun.Manifest;
using LocalRun.Processes;
using LocalRun.Stacks;
using LocalRun.Terminal;
using Xunit;

namespace LocalRun.Tests.Manifest;

public class AspireManifestTests
{
    [Theory]
    [InlineData("[]", "no object \"resources\"")]
    [InlineData("{", "not JSON")]
    [InlineData("""{"resources": {"a": {}}}""", "'a' has no \"type\"")]
    [InlineData("""{"resources": {"a": {"type": "value.v0", "env": []}}}""", "'a': \"env\" is not an object")]
    [InlineData("""{"resources": {"a": {"type": "project.v0", "bindings": {"x": {"targetPort": "many"}}}}}""", "'a': targetPort 'many'")]
    [InlineData("""{"resources": {"a": {"type": "project.v0", "bindings": {"x": {"scheme": "udp", "protocol": "udp"}}}}}""", "'a' has a binding over udp")]
    public void A_malformed_manifest_is_refused_with_the_place(string text, string message) =>
        Assert.Contains(message, Assert.Throws<ManifestException>(() => AspireManifest.Parse(text, ".")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("""{"type": "container.v0", "image": "docker.io/library/mysql:9", "bindings": {"tcp": {}}}""", "Resource 'it' is a container of the image 'docker.io/library/mysql:9'")]
    [InlineData("""{"type": "dockerfile.v0", "path": "Dockerfile"}""", "Resource 'it' is of type 'dockerfile.v0'")]
    [InlineData("""{"type": "container.v0", "image": "postgres", "args": ["--verbose"], "bindings": {"tcp": {}}}""", "Resource 'it': the argument '--verbose'")]
    [InlineData("""{"type": "project.v0", "path": "None/None.csproj"}""", "Resource 'it': there is no project")]
    [InlineData("""{"type": "executable.v0", "command": "sh", "bindings": {"tls": {"scheme": "https"}}}""", "the binding 'tls' is https")]
    [InlineData("""{"type": "executable.v0", "command": "sh", "env": {"X": "{lost.value}"}}""", "'lost', which is not in the manifest")]
    public async Task What_cannot_run_locally_is_refused_before_anything_starts(string resource, string message)
    {
        using var directory = TemporaryDirectory.Create("localrun-test-");
        var path = Path.Combine(directory.Path, "aspire-manifest.json");
        await File.WriteAllTextAsync(path, "{\"resources\": {\"it\": " + resource + "}}", TestContext.Current.CancellationToken);
        var output = new StringWriter();

        var failure = await Assert.ThrowsAsync<ManifestException>(() =>
            Stack.StartAsync(new StackOptions(path, Direct: false, Build: true), new Screen(output, colours: false), TestContext.Current.CancellationToken));

        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
        Assert.Empty(output.ToString());
    }

    [Fact]
    public void Server_settings_are_read_from_the_arguments() => Assert.Equal(
        new Dictionary<string, string> { ["max_connections"] = "200", ["shared_buffers"] = "64MB", ["log_connections"] = "on=1" },
        ContainerLauncher.Settings("postgres", ["-c", "max_connections=200", "--shared-buffers=64MB", "-clog_connections=on=1"]));

    [Theory]
    [InlineData("from-env", "redis-server --requirepass $REDIS_PASSWORD", "from-env")]
    [InlineData(null, "redis-server --requirepass literal --save x", "literal")]
    [InlineData(null, "redis-server", "")]
    public void The_password_of_Redis_is_found(string? environment, string command, string expected) => Assert.Equal(
        expected,
        ContainerLauncher.RedisPassword(new Dictionary<string, string?> { ["REDIS_PASSWORD"] = environment }, ["-c", command]));
}
