using LocalRun.Stacks;
using LocalRun.Terminal;

namespace LocalRun.Health;

/// <summary>The command <c>--check</c>: asks every service of a running stack.</summary>
internal static class HealthCheck
{
    /// <summary>Asks all at once and prints a table.</summary>
    /// <returns>True when all are healthy.</returns>
    public static async Task<bool> RunAsync(StackState state, Screen screen, CancellationToken cancellationToken)
    {
        var results = await Task.WhenAll(state.Services.Select(async service =>
        {
            if (service.ProcessId is { } id && !Processes.ProcessGroup.IsAlive(id))
                return new HealthResult(false, $"process {id} is gone");
            foreach (var probe in service.Probes)
            {
                var result = await probe.AskAsync(cancellationToken).ConfigureAwait(false);
                if (!result.Healthy || probe == service.Probes[^1])
                    return result;
            }

            return new HealthResult(true, "process runs");
        })).ConfigureAwait(false);

        screen.Table(
            ["service", "health", "detail"],
            state.Services.Zip(results, (service, result) =>
                (IReadOnlyList<string>)[service.Name, result.Healthy ? "healthy" : "UNHEALTHY", result.Detail]));
        var sick = results.Count(result => !result.Healthy);
        screen.Line(sick == 0 ? $"All {results.Length} are healthy." : $"{sick} of {results.Length} are not healthy.");
        return sick == 0;
    }
}
