namespace Pooler.Server.Http.Page;

/// <summary>What is to be seen first: whether it works, and the figures of all pools together.</summary>
internal static class OverviewSection
{
    public static HtmlText Draw(PageModel model, bool isAdmin)
    {
        var pools = model.Pools;
        var waiting = pools.Sum(p => p.Now.ClientsWaiting);
        var oldest = pools.Count == 0 ? 0 : pools.Max(p => p.Now.MaxWait);
        var servers = pools.Sum(p => p.Now.Servers);
        var used = pools.Sum(p => p.Now.ServersActive);
        var waits = pools.Aggregate(Engine.Telemetry.TimeDistribution.Empty, (sum, p) => sum + p.RecentWaits);
        var queries = pools.Aggregate(Engine.Telemetry.TimeDistribution.Empty, (sum, p) => sum + p.RecentQueries);
        var (word, style) = model.State switch
        {
            PageState.Paused => ("paused", "warn"),
            PageState.Suspended => ("suspended", "warn"),
            PageState.ShuttingDown => ("shutting down", "warn"),
            _ => ("running", "good"),
        };
        return new HtmlText().Add($"""
            <section id="overview" aria-labelledby="overview-h" data-title="{(waiting > 0 ? $"{waiting} waiting · Pooler" : model.State == PageState.Running ? "Pooler" : $"{word} · Pooler")}">
            <h2 id="overview-h" class="hidden" tabindex="-1">Overview</h2>
            <p class="state"><span class="badge {style}">{word}</span> {Meaning(model.State)}</p>
            <dl class="tiles">
            {Tile("Clients", Wording.Count(model.Process.Clients), $"of {Wording.Count(model.Process.MaxClients)} allowed", model.Process.Clients >= model.Process.MaxClients)}
            {Tile("Waiting", Wording.Count(waiting), waiting > 0 ? $"oldest {Wording.Microseconds(oldest)}" : "nobody", waiting > 0)}
            {Tile("Servers", $"{Wording.Count(used)}", $"in use, of {Wording.Count(servers)} open", false)}
            {Tile("Transactions/s", Wording.Rate(pools.Sum(p => p.TransactionsPerSecond)), $"{Wording.Rate(pools.Sum(p => p.QueriesPerSecond))} queries/s", false)}
            {Tile("Wait p95", Percentile(waits, 0.95), $"p99 {Percentile(waits, 0.99)}, last minute", false)}
            {Tile("Query p95", Percentile(queries, 0.95), $"p99 {Percentile(queries, 0.99)}, last minute", false)}</dl>
            {(isAdmin ? Commands(model.State) : new HtmlText())}</section>
            """);
    }

    private static HtmlText Commands(PageState state)
    {
        var commands = new HtmlText();
        if (state is PageState.Paused or PageState.Suspended)
            commands.Add($"""<button type="button" data-post="/admin/resume">Resume</button> """);
        else
            commands.Add($"""<button type="button" data-post="/admin/pause" data-confirm="Pause all databases? Servers are closed as their transactions end, and all clients wait until somebody resumes.">Pause all</button> """);
        return new HtmlText().Add($"""
            <p class="commands">{commands}
            <button type="button" data-post="/admin/reconnect" data-confirm="Replace all servers? Each is closed as its transaction ends.">Reconnect all</button>
            <button type="button" data-post="/admin/reload">Reload the configuration</button></p>
            """);
    }

    private static string Meaning(PageState state) => state switch
    {
        PageState.Paused => "No server is given out: clients wait until RESUME.",
        PageState.Suspended => "Nothing is read from anybody until RESUME.",
        PageState.ShuttingDown => "New clients are turned away.",
        _ => "",
    };

    private static HtmlText Tile(string name, string value, string more, bool isAlert) => new HtmlText().Add(
        $"""<div class="{(isAlert ? "alert" : "")}"><dt>{name}</dt><dd><b>{value}</b> <span class="muted">{more}</span></dd></div>""");

    private static string Percentile(Engine.Telemetry.TimeDistribution times, double fraction) =>
        times.Count == 0 ? "–" : Wording.Microseconds(times.Percentile(fraction));
}
