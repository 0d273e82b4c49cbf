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
    /// <param name="configuration">Names the servers.</param>
    /// <param name="tellsUnasked">
    /// Whether a server that could not be asked is worth a warning: to whoever checks a configuration it is, to readers
    /// of the log it is not, as whoever needs that server will say more about it.
    /// </param>
    /// <param name="cancellationToken">Ends the asking.</param>
    public static async Task<IReadOnlyList<ConfigurationIssue>> OfServersAsync(
        PoolerConfiguration configuration, bool tellsUnasked, CancellationToken cancellationToken)
    {
        var answers = ConnectionDemand.Of(configuration).Select(async demand =>
        {
            var (maxConnections, problem) = await ServerProbe.AskAsync(configuration, demand, cancellationToken);
            if (maxConnections is { } max) return ConfigurationAdvice.OnServer(demand, max);
            return problem is null || !tellsUnasked ? null
                : new ConfigurationIssue(null, $"the server {demand.Server} could not be asked for its max_connections: {problem}");
        });
        return [.. (await Task.WhenAll(answers)).OfType<ConfigurationIssue>()];
    }
}
