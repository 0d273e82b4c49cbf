namespace Pooler.Engine.Advice;

/// <summary>Rules about the pooler's own process and its configuration.</summary>
internal static class ProcessRules
{
    private const double Overloaded = 0.8;

    public static readonly IReadOnlyList<AdviceRule> All =
    [
        new("loop-overloaded", FindOverloaded)
        {
            Sees = "An event loop was busy for more than 80 % of at least four of the last six intervals.",
            Matters = "Clients wait for the pooler itself: latency rises steeply from here on.",
            Remedy = "Give it more event loops while the machine has cores; beyond that more poolers behind one address (so_reuseport, a load balancer), or cheaper traffic: TLS and tiny queries cost most.",
        },
        new("configuration", FindIssues)
        {
            Sees = "The configuration has settings that are allowed and bring trouble nevertheless; the log warns of them when it is read, and --check prints them.",
            Matters = "Told with each of them.",
            Remedy = "Told with each of them.",
            IsLogged = false,
        },
    ];

    private static IEnumerable<Finding> FindOverloaded(AdviceInput input)
    {
        var busy = input.LoopsBusy.Count(samples => samples.Count >= 4 && samples.Count(s => s > Overloaded) >= 4 && samples[^1] > Overloaded);
        if (busy == 0) yield break;
        var loops = input.LoopsBusy.Count;
        var canGrow = loops < input.Cores;
        yield return new Finding(
            AdviceLevel.Warning, $"{AdviceText.Count(busy, "event loop is", "event loops are")} busy nearly all the time: clients wait for the pooler itself.",
            $"busy {string.Join(", ", input.LoopsBusy.Select(s => s.Count == 0 ? "?" : AdviceText.Percent(s.Average())))} of the time; {AdviceText.Count(loops, "loop", "loops")} on {AdviceText.Count(input.Cores, "core", "cores")}",
            canGrow ? "Set event_loops and restart (-R keeps the clients)." : "Run more poolers side by side (so_reuseport, or a load balancer before them).")
        {
            Setting = canGrow ? "event_loops" : "",
            Current = canGrow ? AdviceText.Number(loops) : "",
            Suggested = canGrow ? AdviceText.Number(Math.Min(input.Cores, loops * 2)) : "",
        };
    }

    private static IEnumerable<Finding> FindIssues(AdviceInput input)
    {
        const string ofDatabase = "database ";
        foreach (var (setting, text) in input.ConfigurationIssues)
        {
            var isGlobal = !setting.StartsWith(ofDatabase, StringComparison.Ordinal);
            yield return new Finding(AdviceLevel.Info, $"{setting}: {text}", "the configuration that runs", "Change it in the configuration and RELOAD; docs/configuration.md tells what it means.")
            {
                Database = isGlobal ? "" : setting[ofDatabase.Length..],
                Subject = $"{setting}: {text}",
                Setting = isGlobal ? setting : "",
            };
        }
    }
}
