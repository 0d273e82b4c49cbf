using System.Net;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Samples.Tests.Web;

public sealed class PublicAuthTests(ShopServers servers, PublicAuthTests.Site site) : IClassFixture<PublicAuthTests.Site>
{
    private const string Path = "/api/public/auth/";

    public static TheoryData<string, string?> Garbage => new()
    {
        { "", "application/json" },
        { "", null },
        { "{", "application/json" },
        { "null", "application/json" },
        { "[]", "application/json" },
        { "42", "application/json" },
        { "\"test-code\"", "application/json" },
        { "{}", "application/json" },
        { """{"code": "test-code"}""", "application/json" },
        { """{"token": "test-token"}""", "application/json" },
        { """{"code": "", "token": ""}""", "application/json" },
        { """{"code": null, "token": null}""", "application/json" },
        { """{"code": "test-code", "token": null}""", "application/json" },
        { """{"code": 1, "token": 2}""", "application/json" },
        { """{"code": ["test-code"], "token": {"a": 1}}""", "application/json" },
        { """{"code": "test-code", "token": "wrong"}""", "application/json" },
        { """{"code": "wrong", "token": "test-token"}""", "application/json" },
        { """{"code": "test-code", "token": "sample-welcome-token"}""", "application/json" },
        { """{"code": "TEST-CODE", "token": "test-token"}""", "application/json" },
        { """{"code": "test-code", "token": "test-token "}""", "application/json" },
        { """{"code": "test-code\u0000", "token": "test-token"}""", "application/json" },
        { """{"code": "\ud800", "token": "test-token"}""", "application/json" },
        { """{"code": "' OR 1=1 --", "token": "' OR 1=1 --"}""", "application/json" },
        { """{"code": "test-code", "token": "test-token"}, {}""", "application/json" },
        { "code=test-code&token=test-token", "application/x-www-form-urlencoded" },
        { "<auth/>", "application/xml" },
        { $$"""{"code": "{{new string('x', 101)}}", "token": "test-token"}""", "application/json" },
        { $$"""{"code": "test-code", "token": "{{new string('x', 100_000)}}"}""", "application/json" },
        { new string('[', 4000), "application/json" },
    };

    [Fact]
    public async Task A_matching_code_and_token_let_the_guest_in_and_mark_the_invitation_once()
    {
        await using var own = await WebSite.StartAsync(servers);
        async Task<object?> UsedAt() => await own.QueryAsync("SELECT used_at FROM invitations WHERE code = 'WELCOME-2026'");
        Assert.IsType<DBNull>(await UsedAt());

        for (var i = 0; i < 2; i++)
        {
            var before = await UsedAt();
            using var answer = await own.Client.PostAsJsonAsync(Path, new { code = "WELCOME-2026", token = "sample-welcome-token" });
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            using var json = JsonDocument.Parse(await answer.TextAsync());
            Assert.Equal("Ada and Charles", json.RootElement.GetProperty("guest_name").GetString());
            Assert.IsType<DateTime>(await UsedAt());
            if (i > 0)
                Assert.Equal(before, await UsedAt());
        }
    }

    [Theory]
    [MemberData(nameof(Garbage))]
    public async Task Anything_else_is_a_bad_request(string body, string? contentType)
    {
        using var content = new StringContent(body, Encoding.UTF8);
        content.Headers.ContentType = contentType is null ? null : new(contentType);
        using var answer = await site.Web.Client.PostAsync(Path, content);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
    }

    [Fact]
    public async Task Bytes_that_are_no_text_are_a_bad_request()
    {
        using var content = new ByteArrayContent([.. "{\"code\": \"te"u8, 0xFF, 0xFE, .. "\", \"token\": \"test-token\"}"u8]);
        using var answer = await site.Web.Client.PostAsync(Path, content);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Fact]
    public async Task It_answers_with_and_without_the_slash_and_only_to_posts()
    {
        using var answer = await site.Web.Client.PostAsJsonAsync("/api/public/auth", new { code = "test-code", token = "test-token" });
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);

        using var get = await site.Web.Client.GetAsync(Path);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, get.StatusCode);
    }

    [Fact]
    public async Task A_hundred_requests_from_fifty_clients_all_succeed()
    {
        var results = new int[100];
        await Parallel.ForAsync(0, results.Length, new ParallelOptions { MaxDegreeOfParallelism = 50 }, async (i, _) =>
        {
            using var answer = await site.Web.Client.PostAsJsonAsync(
                Path, new { code = "test-code", token = i % 2 == 0 ? "test-token" : "wrong" });
            results[i] = (int)answer.StatusCode;
        });

        Assert.Equal(50, results.Count(status => status == 200));
        Assert.Equal(50, results.Count(status => status == 400));
    }

    public sealed class Site(ShopServers servers) : IAsyncLifetime
    {
        internal WebSite Web { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Web = await WebSite.StartAsync(servers);

        public ValueTask DisposeAsync() => Web.DisposeAsync();
    }
}
