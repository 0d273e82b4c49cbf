using Pooler.Engine;
using Pooler.Engine.Telemetry;

namespace Pooler.Server.Http.Page;

/// <summary>
/// The pools. Each is a row that opens; what changes every second, the row and the counts, and what changes with each
/// interval of the history, the charts, are parts of their own.
/// </summary>
internal static class PoolSection
{
    /// <summary>With more than these, only the first in trouble are open at the beginning.</summary>
    private const int OpenPools = 3;

    /// <summary>The frame around the pools, with a shell for each of them.</summary>
    /// <param name="model">What there is.</param>
    /// <param name="fill">What a shell is filled with; null: nothing, as on the stream.</param>
    public static HtmlText Frame(PageModel model, Func<PoolView, HtmlText>? fill = null)
    {
        var list = new HtmlText();
        for (var i = 0; i < model.Pools.Count; i++)
        {
            var pool = model.Pools[i];
            var open = i < OpenPools && (model.Pools.Count <= OpenPools || pool.Trouble >= Trouble.Waiting) ? "open" : "";
            list.Add($"""<details class="pool" id="{pool.Id}" data-shell {open}>{fill?.Invoke(pool) ?? new HtmlText()}</details>""");
        }
        var body = model.Pools.Count == 0 ? Empty(model) : new HtmlText().Add($"""
            <p class="legend" aria-hidden="true">{Legend()}</p>
            <div class="pool-head" aria-hidden="true"><span></span><span>Database / user</span><span>Servers</span><span></span><span>Waiting</span><span>Oldest wait</span><span>Wait p95</span><span>Transactions/s</span><span>Query p95</span></div>
            <div id="pool-list" data-calm>{list}</div>
            """);
        return new HtmlText().Add($"""
            <section id="pools" aria-labelledby="pools-h"><div class="heading"><h2 id="pools-h" tabindex="-1">Pools</h2>
            <p class="muted">{Summary(model)}</p>
            <input id="filter" type="search" placeholder="Filter pools" aria-label="Filter pools by database or user" data-keep hidden></div>
            {body}</section>
            """);
    }

    /// <summary>The row of a pool: what is to be seen while it is closed.</summary>
    public static HtmlText Row(PoolView pool)
    {
        var now = pool.Now;
        return new HtmlText().Add($"""
            <summary id="{pool.Id}-row" data-into="{pool.Id}" class="{Style(pool.Trouble)}"><span class="turn" aria-hidden="true"></span>
            <span class="name"><bdi>{Wording.Cut(now.Database, 80)}</bdi><span class="muted"> / <bdi>{Wording.Cut(now.User, 80)}</bdi></span>{Badges(pool)}</span>
            {ServersBar.Draw(now)}
            <span class="fig places"><span class="label">Servers</span><span class="value">{now.Servers}<span class="muted">{Of(now)}</span></span></span>
            {Figure("Waiting", Wording.Count(now.ClientsWaiting), now.ClientsWaiting > 0)}
            {Figure("Oldest wait", now.ClientsWaiting > 0 ? Wording.Microseconds(now.MaxWait) : "–", pool.Trouble == Trouble.Stuck)}
            {Figure("Wait p95", Percentile(pool.RecentWaits), false)}
            {Figure("Transactions/s", pool.History.Count == 0 ? "–" : Wording.Rate(pool.TransactionsPerSecond), false)}
            {Figure("Query p95", Percentile(pool.RecentQueries), false)}</summary>
            """);
    }

    /// <summary>The counts of a pool that is open.</summary>
    public static HtmlText Counts(PoolView pool, bool isAdmin)
    {
        var (now, totals) = (pool.Now, pool.Now.Totals);
        var states = new HtmlText();
        foreach (var state in ServerStateView.All)
            states.Add($"""<div><dt><i class="swatch {state.Style}"></i>{state.Name}</dt><dd>{state.Of(now)}</dd></div>""");
        var recent = pool.Recent;
        return new HtmlText().Add($"""
            <div id="{pool.Id}-counts" data-into="{pool.Id}" class="counts"><div class="columns">
            <div><h3>Servers</h3><dl class="pairs">{states}
            <div><dt><i class="swatch s-free"></i>allowed</dt><dd>{(now.Size == 0 ? "no limit" : Wording.Count(now.Size))}</dd></div>
            <div><dt><i class="swatch s-reserve"></i>reserve</dt><dd>{now.Reserve}</dd></div></dl></div>
            <div><h3>Clients</h3><dl class="pairs">
            {Pair("active or idle", Wording.Count(now.ClientsActive))}
            {Pair("waiting", Wording.Count(now.ClientsWaiting))}
            {Pair("oldest wait", now.ClientsWaiting > 0 ? Wording.Microseconds(now.MaxWait) : "–")}
            {Pair("pool mode", Mode(now.Mode))}
            {Pair("allowed for the database", now.MaxDatabaseServers == 0 ? "no limit" : Wording.Plural(now.MaxDatabaseServers, "server"))}</dl></div>
            <div><h3>Last minute</h3><dl class="pairs">
            {Pair("transactions", Wording.Count(recent.Transactions))}
            {Pair("queries", Wording.Count(recent.Queries))}
            {Pair("mean wait", Mean(recent.WaitTime, recent.ServerAssignments))}
            {Pair("mean query", Mean(recent.QueryTime, recent.Queries))}
            {Pair("mean transaction", Mean(recent.TransactionTime, recent.Transactions))}</dl></div>
            <div><h3>Since the start</h3><dl class="pairs">
            {Pair("transactions", Wording.Count(totals.Transactions))}
            {Pair("queries", Wording.Count(totals.Queries))}
            {Pair("from clients", Wording.Bytes(totals.BytesReceived))}
            {Pair("to clients", Wording.Bytes(totals.BytesSent))}
            {Pair("prepared by clients / on servers", $"{Wording.Count(totals.ClientParses)} / {Wording.Count(totals.ServerParses)}")}
            {Pair("logins", Wording.Count(totals.Logins))}</dl></div></div>{(isAdmin ? Commands(now) : new HtmlText())}</div>
            """);
    }

    /// <summary>The last minutes of a pool.</summary>
    public static HtmlText Charts(PoolView pool)
    {
        var history = pool.History;
        if (history.Count < 2)
        {
            return new HtmlText().Add($"""
                <p id="{pool.Id}-charts" data-into="{pool.Id}" class="empty">Charts of the last 15 minutes begin a few seconds after the pool's first client.</p>
                """);
        }
        if (history.All(i => i.Counted.ServerAssignments == 0 && i.State is { ServersActive: 0, ClientsWaiting: 0 }))
        {
            return new HtmlText().Add($"""
                <p id="{pool.Id}-charts" data-into="{pool.Id}" class="empty">No client has asked for a server in the last {Wording.Span(history[^1].End - history[0].End + history[0].Length)}.</p>
                """);
        }
        var moments = history.Select(i => i.End).ToArray();
        return new HtmlText().Add($"""
            <div id="{pool.Id}-charts" data-into="{pool.Id}" class="charts">
            {LineChart.Draw("Wait for a server", moments, Wording.Microseconds, 1000, Percentiles(history, i => i.Waits))}
            {LineChart.Draw("Query time", moments, Wording.Microseconds, 1000, Percentiles(history, i => i.Queries))}
            {LineChart.Draw("Transactions per second", moments, Wording.Rate, 10,
                Line("transactions", "c-strong", history, i => i.Counted.Transactions / Math.Max(0.001, i.Length.TotalSeconds)) with { IsArea = true })}
            {LineChart.Draw("Servers in use, clients waiting", moments, n => Wording.Count((long)n), 2,
                Line("servers in use", "c-strong", history, i => i.State.ServersActive) with { IsArea = true },
                Line("clients waiting", "c-alert", history, i => i.State.ClientsWaiting))}</div>
            """);
    }

    /// <summary>The colours of the bars.</summary>
    private static HtmlText Legend()
    {
        var legend = new HtmlText();
        foreach (var state in ServerStateView.All) legend.Add($"""<span><i class="swatch {state.Style}"></i>{state.Name}</span>""");
        return legend.Add($"""<span><i class="swatch s-free"></i>free</span><span><i class="swatch s-reserve"></i>reserve</span>""");
    }

    private static ChartLine[] Percentiles(IReadOnlyList<PoolInterval> history, Func<PoolInterval, TimeDistribution> of)
    {
        var times = history.Select(of).ToArray();
        ChartLine At(string name, string style, double fraction) => new(name, style, [.. times.Select(t => t.Count == 0 ? double.NaN : t.Percentile(fraction))]);
        return [At("p99", "c-soft", 0.99), At("p95", "c-middle", 0.95), At("p50", "c-strong", 0.5)];
    }

    private static ChartLine Line(string name, string style, IReadOnlyList<PoolInterval> history, Func<PoolInterval, double> value) =>
        new(name, style, [.. history.Select(value)]);

    private static HtmlText Empty(PageModel model) => new HtmlText().Add($"""
        <div class="empty"><p>No client has connected yet. Connect as to PostgreSQL, with the pooler's port:</p>
        <p><code>psql "host={Wording.Cut(ShownHost(model), 80)} port={model.Process.Port} user=… dbname=…"</code></p>
        <p class="muted">A pool begins with the first client of a database and user.</p></div>
        """);

    private static string ShownHost(PageModel model) =>
        model.Process.Listening.Any(l => l.StartsWith("127.", StringComparison.Ordinal) || l.StartsWith("0.0.0.0", StringComparison.Ordinal)) ? "127.0.0.1" : "…";

    private static string Summary(PageModel model)
    {
        var waiting = model.Pools.Count(p => p.Trouble >= Trouble.Waiting);
        return model.Pools.Count == 0 ? ""
            : Wording.Plural(model.Pools.Count, "pool") + (waiting == 0 ? ", nobody waits" : $", clients wait in {waiting}") + (model.Pools.Count > 1 ? "; those in trouble come first" : "");
    }

    private static HtmlText Badges(PoolView pool)
    {
        var badges = new HtmlText();
        if (pool.Now.IsHeld) badges.Add($""" <span class="badge warn">paused</span>""");
        if (pool.Now.IsDisabled) badges.Add($""" <span class="badge warn">disabled</span>""");
        if (pool.Now.Mode != Engine.Configuration.PoolMode.Transaction) badges.Add($""" <span class="badge">{Mode(pool.Now.Mode)}</span>""");
        if (pool.IsWarnedOf) badges.Add($""" <span class="badge warn">see advice</span>""");
        return badges;
    }

    private static HtmlText Commands(PoolSnapshot pool)
    {
        var query = "?database=" + Uri.EscapeDataString(pool.Database);
        var pause = pool.IsHeld
            ? new HtmlText().Add($"""<button type="button" data-post="/admin/resume{query}">Resume database</button>""")
            : new HtmlText().Add($"""<button type="button" data-post="/admin/pause{query}" data-confirm="Pause database {pool.Database}? Its servers are closed as their transactions end, and its clients wait until it is resumed.">Pause database</button>""");
        return new HtmlText().Add($"""
            <p class="commands">{pause}
            <button type="button" data-post="/admin/reconnect{query}" data-confirm="Replace all servers of database {pool.Database}? Each is closed as its transaction ends.">Reconnect</button></p>
            """);
    }

    private static HtmlText Figure(string label, string value, bool isAlert) =>
        new HtmlText().Add($"""<span class="fig {(isAlert ? "alert" : "")}"><span class="label">{label}</span><span class="value">{value}</span></span>""");

    private static HtmlText Pair(string name, string value) => new HtmlText().Add($"<div><dt>{name}</dt><dd>{value}</dd></div>");

    private static string Of(PoolSnapshot pool) => pool.Size == 0 ? "" : pool.Reserve > 0 ? $" / {pool.Size}+{pool.Reserve}" : $" / {pool.Size}";

    private static string Percentile(TimeDistribution times) => times.Count == 0 ? "–" : Wording.Microseconds(times.Percentile(0.95));

    private static string Mean(long sum, long count) => count == 0 ? "–" : Wording.Microseconds((double)sum / count);

    private static string Mode(Engine.Configuration.PoolMode mode) => mode.ToString().ToLowerInvariant();

    private static string Style(Trouble trouble) => trouble switch
    {
        Trouble.Stuck => "stuck",
        Trouble.Waiting => "waiting",
        Trouble.Notable => "notable",
        Trouble.Quiet => "quiet",
        _ => "",
    };
}
