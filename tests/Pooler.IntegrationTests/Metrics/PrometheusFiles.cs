using System.Text.RegularExpressions;
using Pooler.IntegrationTests.Process;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>The files of docs/prometheus, as an operator would take them, apart from the addresses and the patience.</summary>
internal static partial class PrometheusFiles
{
    public static string Folder { get; } = Path.Combine(Repository.Root, "docs", "prometheus");

    /// <summary>Copies configuration and rules: one target, everything each second, and no alert waits longer than that.</summary>
    /// <returns>Path of the configuration.</returns>
    public static string ShortenedInto(ThrowawayDirectory directory, int poolerPort)
    {
        var rules = For().Replace(Read("alerts.yml"), "for: 1s");
        directory.Write("alerts.yml", rules);

        var configuration = Interval().Replace(Read("prometheus.yml"), "_interval: 1s");
        Assert.Contains("pooler:8080", configuration, StringComparison.Ordinal);
        return directory.Write("prometheus.yml", configuration.Replace("pooler:8080", $"127.0.0.1:{poolerPort}", StringComparison.Ordinal));
    }

    public static string Read(string name) => File.ReadAllText(Path.Combine(Folder, name));

    [GeneratedRegex(@"\bfor: \w+")]
    private static partial Regex For();

    [GeneratedRegex(@"_interval: \w+")]
    private static partial Regex Interval();
}
