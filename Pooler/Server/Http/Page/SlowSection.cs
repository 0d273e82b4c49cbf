using Pooler.Engine.Telemetry;

namespace Pooler.Server.Http.Page;

/// <summary>The slowest waits and queries of the last minutes.</summary>
internal static class SlowSection
{
    private const int Shown = 8;

    public static HtmlText Draw(PageModel model) => new HtmlText().Add($"""
        <section id="slow" aria-labelledby="slow-h"><h2 id="slow-h" tabindex="-1">Slowest of the last minutes</h2>
        <h3>Waits for a server</h3>{Of(model, "wait", "Waited", model.SlowWaitTime, "slow_wait_time")}
        <h3>Queries</h3>{Of(model, "query", "Took", model.SlowQueryTime, "slow_query_time")}</section>
        """);

    private static HtmlText Of(PageModel model, string kind, string column, TimeSpan threshold, string setting)
    {
        var all = model.Slow.Where(s => s.Kind == kind).OrderByDescending(s => s.Duration).ToArray();
        if (all.Length == 0)
        {
            return threshold <= TimeSpan.Zero
                ? new HtmlText().Add($"""<p class="empty">Not collected: <code>{setting}</code> is 0.</p>""")
                : new HtmlText().Add($"""<p class="empty">None took {Wording.Duration(threshold)} or longer (<code>{setting}</code>).</p>""");
        }
        var rows = new HtmlText();
        foreach (var slow in all.Take(Shown)) rows.Add($"{Row(slow, column)}");
        return Cells.Table($"slow-{kind}", $"{(all.Length > Shown ? $"The {Shown} slowest of {Wording.Count(all.Length)}" : "Those")} that took {Wording.Duration(threshold)} or longer ({setting}); slowest first.", rows, column, "Ended", "Client", "Pool", "Query");
    }

    private static HtmlText Row(SlowRequest slow, string column)
    {
        return new HtmlText().Add($"""
            <tr role="row" data-key="{slow.Kind}-{slow.Client}-{slow.End.Ticks}">{Cells.Text(column, Wording.Duration(slow.Duration), "number")}{Cells.Of("Ended", new HtmlText().Add($"{slow.End}"))}
            {Cells.Client("Client", slow.ApplicationName, "", slow.ClientAddress, slow.Client)}{Cells.Pool("Pool", slow.Database, slow.User)}{Cells.Sql("Query", slow.Query, slow.TraceId)}</tr>
            """);
    }
}
