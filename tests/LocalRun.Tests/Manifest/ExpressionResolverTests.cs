using LocalRun.Manifest;
using Xunit;

namespace LocalRun.Tests.Manifest;

public class ExpressionResolverTests
{
    private const string Shop = """
        {"resources": {
          "postgres": {
            "type": "container.v0", "image": "docker.io/library/postgres:18.3",
            "connectionString": "Host={postgres.bindings.tcp.host};Port={postgres.bindings.tcp.port};Username=postgres;Password={password.value}",
            "env": {"POSTGRES_PASSWORD": "{password.value}"},
            "bindings": {"tcp": {"scheme": "tcp", "protocol": "tcp", "transport": "tcp", "targetPort": 5432}}
          },
          "shop": {"type": "value.v0", "connectionString": "{postgres.connectionString};Database=shop"},
          "web": {"type": "project.v0", "path": "Web.csproj", "bindings": {"http": {"scheme": "http", "protocol": "tcp"}}},
          "encoded": {"type": "annotated.string", "value": "{password.value}", "filter": "uri"},
          "empty": {"type": "value.v0", "connectionString": ""},
          "password": {
            "type": "parameter.v0", "value": "{password.inputs.value}",
            "inputs": {"value": {"type": "string", "secret": true, "default": {"generate": {"minLength": 22}}}}
          },
          "region": {"type": "parameter.v0", "value": "{region.inputs.value}", "inputs": {"value": {"type": "string", "default": {"value": "eu"}}}},
          "api-key": {"type": "parameter.v0", "value": "{api-key.inputs.value}", "inputs": {"value": {"type": "string", "secret": true}}},
          "hen": {"type": "value.v0", "connectionString": "{egg.connectionString}"},
          "egg": {"type": "value.v0", "connectionString": "{hen.connectionString}"}
        }}
        """;

    [Theory]
    [InlineData("plain text", "plain text")]
    [InlineData("{postgres.bindings.tcp.host}", "127.0.0.1")]
    [InlineData("{postgres.bindings.tcp.port}", "15432")]
    [InlineData("{postgres.bindings.tcp.targetPort}", "15432")]
    [InlineData("{web.bindings.http.url}/x", "http://127.0.0.1:18080/x")]
    [InlineData("{web.bindings.http.scheme}", "http")]
    [InlineData("{shop.connectionString}", "Host=127.0.0.1;Port=15432;Username=postgres;Password=p w/;Database=shop")]
    [InlineData("{encoded.value}", "p%20w%2F")]
    [InlineData("{postgres.env.POSTGRES_PASSWORD}", "p w/")]
    [InlineData("a{empty.connectionString}b", "ab")]
    [InlineData("{region.value}", "eu")]
    [InlineData("{{not.a.reference}} {{}}", "{not.a.reference} {}")]
    public void A_reference_gets_its_value(string text, string expected) =>
        Assert.Equal(expected, Resolver(name => name == "password" ? "p w/" : null).Resolve(text, "here"));

    [Theory]
    [InlineData("{nobody.value}", "here: '{nobody.value}' names the resource 'nobody', which is not in the manifest.")]
    [InlineData("{web.bindings.https.url}", "the resource 'web' has not a binding 'https'")]
    [InlineData("{web.bindings.http.colour}", "but no 'colour'")]
    [InlineData("{web.connectionString}", "the resource 'web' has not a connectionString")]
    [InlineData("{web.connectionStrings}", "is not understood")]
    [InlineData("{web}", "is not understood")]
    [InlineData("{password.inputs.other}", "has not an input 'other'")]
    [InlineData("{hen.connectionString}", "leads to itself: hen.connectionString → egg.connectionString → hen.connectionString")]
    [InlineData("{api-key.value}", "Parameters__api_key")]
    [InlineData("{web.value", "'{' without '}'")]
    public void A_bad_reference_is_named_in_the_error(string text, string message)
    {
        var failure = Assert.Throws<ManifestException>(() => Resolver().Resolve(text, "here"));

        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_generated_secret_stays_the_same_and_has_the_length()
    {
        var resolver = Resolver();

        var first = resolver.Resolve("{password.value}", "here");

        Assert.True(first.Length >= 22);
        Assert.Equal(first, resolver.Resolve("{password.value}", "here"));
        Assert.Contains($"Password={first};", resolver.Resolve("{shop.connectionString}", "here"), StringComparison.Ordinal);
        Assert.NotEqual(first, Resolver().Resolve("{password.value}", "here"));
        Assert.Equal(first, resolver.Secrets["password"]);
    }

    [Fact]
    public void Only_secret_parameters_are_secrets()
    {
        var resolver = Resolver();
        resolver.Resolve("{region.value}", "here");

        Assert.Empty(resolver.Secrets);
    }

    [Fact]
    public void Generated_secrets_keep_to_their_rules()
    {
        var letters = new GeneratedSecret(30, Special: false, Numeric: false).Make();
        var mixed = new GeneratedSecret(4, MinLower: 3, MinUpper: 3, MinNumeric: 3, MinSpecial: 3).Make();

        Assert.Equal(30, letters.Length);
        Assert.All(letters, c => Assert.True(char.IsAsciiLetter(c)));
        Assert.Equal(12, mixed.Length);
        Assert.Equal(3, mixed.Count(char.IsAsciiLetterLower));
        Assert.Equal(3, mixed.Count(char.IsAsciiLetterUpper));
        Assert.Equal(3, mixed.Count(char.IsAsciiDigit));
    }

    private static ExpressionResolver Resolver(Func<string, string?>? configuration = null) => new(
        AspireManifest.Parse(Shop, "."),
        (resource, _) => resource == "postgres" ? 15432 : 18080,
        configuration ?? (_ => null));
}
