using Pooler.Engine.Configuration;
using Pooler.Server.Unix;

namespace Pooler.Server.Checks;

/// <summary>All that is worth a warning about a configuration, from itself, this machine and the servers it names.</summary>
internal static class ConfigurationReview
{
    /// <summary>What needs no look at other machines.</summary>
    public static IEnumerable<ConfigurationIssue> OfSettings(ConfigurationResult read) =>
        read.Warnings.Concat(ConfigurationAdvice.OnSettings(read, Environment.ProcessorCount, DescriptorLimit.Current));

    /// <summary>What the servers say, all asked at once. Takes as long as the slowest of them, some seconds at most.</summary>
    public static async Task<IReadOnlyList<ConfigurationIssue>> OfServersAsync(PoolerConfiguration configuration, CancellationToken cancellationToken)
    {
        var answers = ConnectionDemand.Of(configuration).Select(async demand =>
        {
            var (maxConnections, problem) = await ServerProbe.AskAsync(configuration, demand, cancellationToken);
            if (maxConnections is { } max) return ConfigurationAdvice.OnServer(demand, max);
            return problem is null ? null
                : new ConfigurationIssue(null, $"the server {demand.Server} could not be asked for its max_connections: {problem}");
        });
        return [.. (await Task.WhenAll(answers)).OfType<ConfigurationIssue>()];
    }
}
