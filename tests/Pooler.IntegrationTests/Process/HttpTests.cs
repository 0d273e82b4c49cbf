using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Pooler.Engine.Configuration;
using Pooler.Server.Http;
using Xunit;

namespace Pooler.IntegrationTests.Process;

public sealed class HttpTests : IDisposable
{
    private readonly ThrowawayDirectory _directory = new();
    private readonly HttpClient _client = new();
    private readonly int _port = PoolerProgram.FreePort();
    private readonly int _adminPort = PoolerProgram.FreePort();

    public void Dispose()
    {
        _client.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task The_admin_commands_are_on_the_admin_port_and_want_the_key()
    {
        await using var pooler = await StartAsync($"http_port = {_port}\nhttp_admin_port = {_adminPort}\nhttp_admin_key = open sesame");
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(HttpMethod.Post, _port, "/admin/pause", "open sesame")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(HttpMethod.Get, _port, "/admin/pause", null)).StatusCode);

        using var without = await SendAsync(HttpMethod.Post, _adminPort, "/admin/pause", null);
        Assert.Equal(HttpStatusCode.Unauthorized, without.StatusCode);
        Assert.Equal("Bearer", without.Headers.WwwAuthenticate.ToString());
        Assert.Equal("application/problem+json", without.Content.Headers.ContentType!.MediaType);
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(HttpMethod.Post, _adminPort, "/admin/pause", "wrong")).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await SendAsync(HttpMethod.Get, _adminPort, "/admin/pause", "open sesame")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(HttpMethod.Post, _adminPort, "/admin/explode", "open sesame")).StatusCode);

        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(HttpMethod.Post, _adminPort, "/admin/reconnect?database=nowhere", "open sesame")).StatusCode);
        Assert.Equal(HttpStatusCode.Conflict, (await SendAsync(HttpMethod.Post, _adminPort, "/admin/resume", "open sesame")).StatusCode);

        foreach (var (command, result) in new[] { ("pause", "paused"), ("resume", "resumed"), ("reconnect", "reconnecting"), ("reload", "reloaded") })
        {
            using var answer = await SendAsync(HttpMethod.Post, _adminPort, $"/admin/{command}", "open sesame");
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Equal(result, (await answer.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("result").GetString());
        }

        using var bearer = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{_adminPort}/admin/resume");
        bearer.Headers.Authorization = new AuthenticationHeaderValue("Bearer", "open sesame");
        Assert.Equal(HttpStatusCode.Conflict, (await _client.SendAsync(bearer, TestContext.Current.CancellationToken)).StatusCode);

        await pooler.LineAsync("HTTP command reconnect from 127.0.0.1");
        // The second refusal came too soon after the first to be worth a line of its own.
        Assert.EndsWith("HTTP command pause from 127.0.0.1 refused: no key; refused since the last such line: 0", Assert.Single(pooler.Lines, l => l.Contains(" refused: ", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_reload_with_mistakes_is_a_problem_that_lists_them()
    {
        await using var pooler = await StartAsync($"http_admin_port = {_adminPort}");
        _directory.Write("pooler.ini", StartTests.Ini("colour = blue"));
        using var answer = await SendAsync(HttpMethod.Post, _adminPort, "/admin/reload", null);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
        var problem = await answer.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
        Assert.Equal("pooler.ini:9: unknown setting colour", problem.GetProperty("errors")[0].GetString());
    }

    [Theory]
    [InlineData("Origin", "https://evil.example")]
    [InlineData("Origin", "null")]
    [InlineData("Origin", "http://127.0.0.1:1")]
    [InlineData("Origin", "http://localhost:{port}")]
    [InlineData("Origin", "https://127.0.0.1:{port}")]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Sec-Fetch-Site", "same-site")]
    [InlineData("Host", "rebound.example:{port}")]
    [InlineData("Host", "localhost.evil.example")]
    public async Task A_foreign_web_page_cannot_use_an_admin_port_without_a_key(string header, string value)
    {
        await using var pooler = await StartAsync($"http_admin_port = {_adminPort}");
        using var foreign = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{_adminPort}/admin/pause");
        foreign.Headers.TryAddWithoutValidation(header, value.Replace("{port}", $"{_adminPort}", StringComparison.Ordinal));
        using var answer = await _client.SendAsync(foreign, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
        var problem = await answer.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
        Assert.Contains($"{header} header", problem.GetProperty("detail").GetString());
    }

    [Fact]
    public async Task A_page_of_a_rebound_name_cannot_pass_for_the_poolers_own()
    {
        await using var pooler = await StartAsync($"http_admin_port = {_adminPort}");
        using var rebound = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{_adminPort}/admin/reconnect");
        rebound.Headers.Host = $"rebound.example:{_adminPort}";
        rebound.Headers.Add("Origin", $"http://rebound.example:{_adminPort}");
        rebound.Headers.Add("Sec-Fetch-Site", "same-origin");
        Assert.Equal(HttpStatusCode.Forbidden, (await _client.SendAsync(rebound, TestContext.Current.CancellationToken)).StatusCode);
    }

    [Theory]
    [InlineData("127.0.0.1:{port}")]
    [InlineData("[::1]:{port}")]
    [InlineData("LocalHost:{port}")]
    public async Task An_admin_port_without_a_key_may_be_addressed_by_address_or_as_localhost(string host)
    {
        await using var pooler = await StartAsync($"http_admin_port = {_adminPort}");
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{_adminPort}/admin/reconnect");
        request.Headers.Host = host.Replace("{port}", $"{_adminPort}", StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await _client.SendAsync(request, TestContext.Current.CancellationToken)).StatusCode);
    }

    [Fact]
    public async Task With_the_key_the_host_may_have_any_name()
    {
        await using var pooler = await StartAsync($"http_admin_port = {_adminPort}\nhttp_admin_key = open sesame");
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{_adminPort}/admin/reconnect");
        request.Headers.Host = "pooler.example";
        request.Headers.Add("X-Admin-Key", "open sesame");
        Assert.Equal(HttpStatusCode.OK, (await _client.SendAsync(request, TestContext.Current.CancellationToken)).StatusCode);
    }

    [Fact]
    public async Task Alive_answers_and_metrics_are_Prometheus_text()
    {
        await using var pooler = await StartAsync($"http_port = {_port}");
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(HttpMethod.Get, _port, "/alive", null)).StatusCode);

        using var metrics = await SendAsync(HttpMethod.Get, _port, "/metrics", null);
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", metrics.Content.Headers.ContentType!.ToString());
        var text = await metrics.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.All(
            text.TrimEnd('\n').Split('\n'),
            l => Assert.Matches(@"^(# (HELP|TYPE) (pooler|process)_\w+ .+|(pooler|process)_\w+(\{\w+=""[^""]*""(,\w+=""[^""]*"")*\})? [0-9.E+-]+)$", l));
    }

    [Theory]
    [InlineData("/metrics", "rebound.example", HttpStatusCode.Forbidden)]
    [InlineData("/metrics", "localhost.evil.example", HttpStatusCode.Forbidden)]
    [InlineData("/metrics", "127.0.0.1", HttpStatusCode.OK)]
    [InlineData("/metrics", "localhost", HttpStatusCode.OK)]
    [InlineData("/metrics", "pooler.dev.localhost", HttpStatusCode.OK)]
    [InlineData("/metrics", "host.docker.internal", HttpStatusCode.OK)]
    [InlineData("/alive", "rebound.example", HttpStatusCode.OK)]
    public async Task On_the_loopback_address_figures_are_shown_under_no_name_of_others(string path, string host, HttpStatusCode expected)
    {
        await using var pooler = await StartAsync($"http_port = {_port}");
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{_port}{path}") { Headers = { Host = host } };
        Assert.Equal(expected, (await _client.SendAsync(request, TestContext.Current.CancellationToken)).StatusCode);
    }

    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1", true)]
    [InlineData("::ffff:127.0.0.2", "::ffff:127.0.0.1", true)]
    [InlineData("::1", "::1", true)]
    [InlineData("::ffff:10.0.0.5", "10.0.0.5", true)]
    [InlineData("10.0.0.6", "10.0.0.5", false)]
    [InlineData("::ffff:10.0.0.6", "::ffff:10.0.0.5", false)]
    [InlineData("2001:db8::2", "2001:db8::1", false)]
    public void Without_a_key_commands_come_from_this_machine(string remote, string local, bool isTaken) =>
        Assert.Equal(isTaken, AdminGuard.IsThisMachine(IPAddress.Parse(remote), IPAddress.Parse(local)));

    [Fact]
    public async Task The_ports_of_the_environment_are_bound_too_and_have_no_admin_commands()
    {
        await using var pooler = await StartAsync($"http_admin_port = {_adminPort}", ("HTTP_PORTS", $"{_port}"));
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(HttpMethod.Get, _port, "/alive", null)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(HttpMethod.Post, _port, "/admin/resume", null)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(HttpMethod.Post, _adminPort, "/admin/reconnect", null)).StatusCode);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("http_port=80", "http://127.0.0.1:80")]
    [InlineData("http_port=80 http_admin_port=81 http_addr=*", "http://*:80 http://*:81")]
    [InlineData("http_port=80 http_addr=127.0.0.1,::1", "http://127.0.0.1:80 http://[::1]:80")]
    [InlineData("http_port=80 http_admin_port=80", "http://127.0.0.1:80")]
    [InlineData("HTTP_PORTS=8080;8081", "http://*:8080 http://*:8081")]
    [InlineData("ASPNETCORE_HTTP_PORTS=8080 http_port=8080", "http://*:8080")]
    [InlineData("ASPNETCORE_URLS=http://+:8080 HTTP_PORTS=9", "http://+:8080")]
    [InlineData("ASPNETCORE_URLS=http://localhost:8080;http://localhost:8081 http_admin_port=1", "http://localhost:8080 http://localhost:8081 http://127.0.0.1:1")]
    public void Urls_come_from_our_settings_and_dotnets(string given, string expected)
    {
        var pairs = given.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(p => p.Split('=')).ToDictionary(p => p[0], p => p[1]);
        var settings = new PoolerSettings
        {
            HttpPort = int.Parse(pairs.GetValueOrDefault("http_port", "0")),
            HttpAdminPort = int.Parse(pairs.GetValueOrDefault("http_admin_port", "0")),
            HttpAddr = pairs.GetValueOrDefault("http_addr", "127.0.0.1"),
        };
        Assert.Equal(expected, string.Join(' ', HttpUrls.Find(settings, pairs.GetValueOrDefault)));
    }

    private async Task<PoolerProgram> StartAsync(string settings, params (string Name, string Value)[] environment)
    {
        _directory.Write("pooler.ini", StartTests.Ini(settings));
        var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"], environment);
        await pooler.UpAsync();
        return pooler;
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, int port, string path, string? key)
    {
        var request = new HttpRequestMessage(method, $"http://127.0.0.1:{port}{path}");
        if (key is not null) request.Headers.Add("X-Admin-Key", key);
        return await _client.SendAsync(request, TestContext.Current.CancellationToken);
    }
}
