using System.Net.Http.Json;
using Xunit;

namespace Samples.Tests.Web;

/// <summary>An HTTP client that gives up when the test does, keeps cookies and follows no redirect.</summary>
internal sealed class TestClient(Uri address) : IDisposable
{
    private readonly HttpClient _client = new(new HttpClientHandler { AllowAutoRedirect = false }) { BaseAddress = address };

    public Task<HttpResponseMessage> GetAsync(string path) => _client.GetAsync(path, TestContext.Current.CancellationToken);

    public Task<string> GetStringAsync(Uri? path) => _client.GetStringAsync(path, TestContext.Current.CancellationToken);

    public Task<string> GetStringAsync(string path) => _client.GetStringAsync(path, TestContext.Current.CancellationToken);

    public Task<HttpResponseMessage> PostAsync(string path, HttpContent? content) =>
        _client.PostAsync(path, content, TestContext.Current.CancellationToken);

    public Task<HttpResponseMessage> PostAsJsonAsync<T>(string path, T body) =>
        _client.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);

    public Task<HttpResponseMessage> SendAsync(HttpRequestMessage request) =>
        _client.SendAsync(request, TestContext.Current.CancellationToken);

    public void Dispose() => _client.Dispose();
}

internal static class ResponseText
{
    public static Task<string> TextAsync(this HttpResponseMessage response) =>
        response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
}
