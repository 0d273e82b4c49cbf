using System.Diagnostics;
using System.Text;
using LocalRun.Terminal;

namespace LocalRun.Health;

/// <summary>
/// The command <c>--load-test</c>: 100 POSTs of an invitation code that does not exist, 50 at a time, to an endpoint
/// that asks the database. 200 and 400 are successes; 500 and whatever else are failures.
/// </summary>
internal static class LoadTest
{
    private const int Requests = 100;
    private const int AtATime = 50;
    private const string Body = """{"code":"test-code","token":"test-token"}""";

    /// <summary>Runs it and prints the figures.</summary>
    /// <param name="web">Address of the web service.</param>
    /// <param name="screen">Where the figures go.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <returns>True when every request succeeded.</returns>
    public static async Task<bool> RunAsync(string web, Screen screen, CancellationToken cancellationToken)
    {
        var address = new Uri(new Uri(web), "/api/public/auth/");
        screen.Report($"{Requests} POST requests, {AtATime} at a time, to {address} …");
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false, MaxConnectionsPerServer = AtATime }) { Timeout = TimeSpan.FromSeconds(60) };

        var times = new double[Requests];
        var answers = new string[Requests];
        var clock = Stopwatch.StartNew();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, Requests),
            new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = cancellationToken },
            async (i, token) =>
            {
                var start = Stopwatch.GetTimestamp();
                try
                {
                    using var content = new StringContent(Body, Encoding.UTF8, "application/json");
                    using var response = await http.PostAsync(address, content, token).ConfigureAwait(false);
                    answers[i] = ((int)response.StatusCode).ToString(System.Globalization.CultureInfo.InvariantCulture);
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !token.IsCancellationRequested)
                {
                    answers[i] = e.GetType().Name;
                }

                times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }).ConfigureAwait(false);

        var succeeded = answers.Count(answer => answer is "200" or "400");
        Array.Sort(times);
        screen.Line($"  Success:         {succeeded}/{Requests}");
        screen.Line($"  Failed:          {Requests - succeeded}/{Requests}");
        screen.Line($"  Answers:         {string.Join(", ", answers.GroupBy(answer => answer).Select(group => $"{group.Count()} × {group.Key}"))}");
        screen.Line($"  Mean:            {times.Average():0.0} ms");
        screen.Line($"  99th percentile: {Percentile(times, 0.99):0.0} ms");
        screen.Line($"  In all:          {clock.Elapsed.TotalMilliseconds:0} ms");
        return succeeded == Requests;
    }

    /// <summary>The value that the given part of the sorted values does not exceed (nearest rank).</summary>
    internal static double Percentile(IReadOnlyList<double> sorted, double part) =>
        sorted[Math.Max(0, (int)Math.Ceiling(part * sorted.Count) - 1)];
}
