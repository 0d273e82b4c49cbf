using System.Net.Http.Json;
using System.Text.Json;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Testing;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>A real Prometheus on a free port, with throwaway data and a configuration of the test's.</summary>
internal sealed class RunningPrometheus : IAsyncDisposable
{
    private readonly ChildProcess _process;
    private readonly HttpClient _client;

    private RunningPrometheus(ChildProcess process, HttpClient client) => (_process, _client) = (process, client);

    /// <summary>Starts it and waits until it answers.</summary>
    /// <param name="configuration">Path of its configuration; data is kept next to it.</param>
    public static async Task<RunningPrometheus> StartAsync(string configuration)
    {
        var port = Ports.Take();
        var process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = "prometheus",
            Command =
            [
                await Tools.PrometheusAsync(), $"--config.file={configuration}", $"--web.listen-address=127.0.0.1:{port}",
                $"--storage.tsdb.path={Path.Combine(Path.GetDirectoryName(configuration)!, "data")}", "--log.level=warn",
            ],
        });
        var prometheus = new RunningPrometheus(process, new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") });
        try
        {
            await Eventually.TrueAsync(async () =>
            {
                if (!process.IsRunning) throw new InvalidOperationException("Prometheus has ended:\n" + string.Join('\n', process.LastLines));
                using var answer = await prometheus._client.GetAsync("/-/ready");
                return answer.IsSuccessStatusCode;
            });
            return prometheus;
        }
        catch
        {
            await prometheus.DisposeAsync();
            throw;
        }
    }

    /// <summary>What an expression is now: the members of the result.</summary>
    /// <exception cref="InvalidOperationException">Prometheus does not understand it; the message says why.</exception>
    public async Task<IReadOnlyList<PrometheusSample>> QueryAsync(string expression)
    {
        var data = await GetAsync("/api/v1/query?query=" + Uri.EscapeDataString(expression));
        var result = data.GetProperty("result");
        return data.GetProperty("resultType").GetString() switch
        {
            "vector" => [.. result.EnumerateArray().Select(PrometheusSample.Of)],
            "scalar" => [new PrometheusSample(new Dictionary<string, string>(), PrometheusSample.Number(result))],
            var other => throw new InvalidOperationException($"{expression} is a {other}"),
        };
    }

    /// <summary>The rules it has loaded, with their state, health and last error.</summary>
    public async Task<IReadOnlyList<JsonElement>> RulesAsync() =>
        [.. (await GetAsync("/api/v1/rules")).GetProperty("groups").EnumerateArray().SelectMany(g => g.GetProperty("rules").EnumerateArray())];

    /// <summary>The alerts that are pending or firing.</summary>
    public async Task<IReadOnlyList<JsonElement>> AlertsAsync() =>
        [.. (await GetAsync("/api/v1/alerts")).GetProperty("alerts").EnumerateArray()];

    /// <summary>The values of a label over all series that match a selector.</summary>
    public async Task<IReadOnlyList<string>> LabelValuesAsync(string label, string selector) =>
        [.. (await GetAsync($"/api/v1/label/{label}/values?match[]={Uri.EscapeDataString(selector)}")).EnumerateArray().Select(v => v.GetString()!)];

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _process.KillAsync();
        await _process.DisposeAsync();
    }

    private async Task<JsonElement> GetAsync(string path)
    {
        using var answer = await _client.GetAsync(path);
        var body = await answer.Content.ReadFromJsonAsync<JsonElement>();
        return body.GetProperty("status").GetString() == "success"
            ? body.GetProperty("data")
            : throw new InvalidOperationException($"{Uri.UnescapeDataString(path)}: {body.GetProperty("error").GetString()}");
    }
}

/// <summary>One member of an instant vector.</summary>
internal sealed record PrometheusSample(IReadOnlyDictionary<string, string> Labels, double Value)
{
    internal static PrometheusSample Of(JsonElement sample) => new(
        sample.GetProperty("metric").EnumerateObject().ToDictionary(l => l.Name, l => l.Value.GetString()!),
        Number(sample.GetProperty("value")));

    // [seconds, "text"]: text because JSON has no NaN and no infinity.
    internal static double Number(JsonElement timeAndValue) => timeAndValue[1].GetString() switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        var text => double.Parse(text!, System.Globalization.CultureInfo.InvariantCulture),
    };
}
