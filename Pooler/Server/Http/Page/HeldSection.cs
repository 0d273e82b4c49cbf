using Pooler.Engine.Telemetry;

namespace Pooler.Server.Http.Page;

/// <summary>Who holds servers, since when, and what keeps them.</summary>
internal static class HeldSection
{
    private const int Shown = 25;

    private static readonly string[] Columns = ["Held for", "State", "Client", "Pool", "Backend", "Query"];

    public static HtmlText Draw(PageModel model, bool isAdmin)
    {
        var rows = new HtmlText();
        foreach (var held in model.Held.Take(Shown)) rows.Add($"{Row(held, isAdmin)}");
        var content = model.Held.Count == 0
            ? new HtmlText().Add($"""<p class="empty">No client holds a server: none is in a transaction, and none is pinned.</p>""")
            : Cells.Table("held-table", Caption(model), rows, isAdmin ? [.. Columns, "Command"] : Columns);
        return new HtmlText().Add($"""
            <section id="held" aria-labelledby="held-h"><h2 id="held-h" tabindex="-1">Clients that hold servers</h2>
            {Pins(model)}{content}{(isAdmin ? new HtmlText() : Hint(model))}</section>
            """);
    }

    private static string Caption(PageModel model) =>
        model.Held.Count > Shown ? $"The {Shown} of {Wording.Count(model.Held.Count)} that have held theirs longest." : "Those that have held theirs longest come first.";

    private static HtmlText Row(HeldServer held, bool isAdmin)
    {
        var application = held.ApplicationName.Length == 0 ? held.Client : Wording.Cut(held.ApplicationName, 60);
        var state = new HtmlText().Add($"""{held.State} <span class="muted time">{Wording.Duration(held.StateFor)}</span>""");
        if (held.Pin is { } pin) state.Add($""" <span class="badge">pinned: {pin}</span>""");
        var row = new HtmlText().Add($"""
            <tr role="row" data-key="{held.Client}">{Cells.Text("Held for", Wording.Duration(held.HeldFor), "number")}{Cells.Of("State", state, "state-of")}
            {Cells.Client("Client", held.ApplicationName, held.ClientUser, held.ClientAddress, held.Client)}{Cells.Pool("Pool", held.Database, held.User)}
            {Cells.Text("Backend", $"pid {held.BackendProcess}", "code")}{Cells.Sql("Query", held.Query, held.TraceId)}
            """);
        if (isAdmin)
        {
            row.Add($"{Cells.Of("Command", new HtmlText().Add($"""
                <button type="button" class="danger" data-post="/admin/kill_client?id={held.ClientId}" aria-label="Kill client {application}, {held.Client}" data-confirm="Kill client {application} ({held.Client}) of {Wording.Cut(held.Database, 63)}? It is disconnected, and its transaction is rolled back.">Kill</button>
                """))}");
        }
        return row.Add($"</tr>");
    }

    /// <summary>Those that keep a server beyond their transactions, by reason.</summary>
    private static HtmlText Pins(PageModel model)
    {
        var pins = model.Held.Where(h => h.Pin is not null).GroupBy(h => h.Pin!).OrderByDescending(g => g.Count()).ToArray();
        if (pins.Length == 0) return new HtmlText();
        var list = string.Join(", ", pins.Select(g => $"{g.Key} ({g.Count()})"));
        return new HtmlText().Add($"<p><b>{Wording.Plural(pins.Sum(g => g.Count()), "client")}</b> pinned: {list}. A pinned client keeps its server between transactions.</p>");
    }

    private static HtmlText Hint(PageModel model) => model.Process.AdminPort == 0
        ? new HtmlText().Add($"""<p class="muted">This page only shows. To disconnect a client use <code>KILL_CLIENT</code> on the console, or set <code>http_admin_port</code>.</p>""")
        : new HtmlText().Add($"""<p class="muted">This page only shows. The same page on port {model.Process.AdminPort} (http_admin_port) can disconnect clients and pause databases.</p>""");
}
