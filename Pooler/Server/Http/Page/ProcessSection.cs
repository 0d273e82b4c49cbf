using Pooler.Engine;
using Pooler.Engine.Configuration;

namespace Pooler.Server.Http.Page;

/// <summary>The settings and their changes, the hosts, and the process itself.</summary>
internal static class ProcessSection
{
    private const int ShownChanges = 30;

    public static HtmlText Settings(PageModel model)
    {
        var changes = new HtmlText();
        foreach (var change in model.Changes.Take(ShownChanges)) changes.Add($"{Row(change)}");
        var set = new HtmlText();
        foreach (var setting in model.Settings)
        {
            set.Add($"""
                <tr role="row" data-key="{setting.Key}">{Cells.Of("Setting", new HtmlText().Add($"<code>{setting.Key}</code>"))}
                {Cells.Text("Value", Value(setting.Value), "value")}{Cells.Text("Default", Value(setting.Default), "value muted")}</tr>
                """);
        }
        return new HtmlText().Add($"""
            <section id="settings" aria-labelledby="settings-h"><h2 id="settings-h" tabindex="-1">Settings</h2>
            <h3>Changed since the start</h3>
            {(model.Changes.Count == 0
                ? new HtmlText().Add($"""<p class="empty">Neither SET nor RELOAD has changed a setting.</p>""")
                : Cells.Table("changes-table", "Newest first.", changes, "When", "By", "Setting", "From", "To"))}
            <details id="set"><summary>{Wording.Plural(model.Settings.Count, "setting differs", "settings differ")} from the default</summary>
            {Cells.Table("set-table", "What the configuration, the environment or SET says; the console's SHOW CONFIG has all of them.", set, "Setting", "Value", "Default")}</details></section>
            """);
    }

    public static HtmlText Process(PageModel model)
    {
        var facts = model.Process;
        return new HtmlText().Add($"""
            <section id="process" aria-labelledby="process-h"><h2 id="process-h" tabindex="-1">Process</h2>
            <dl class="facts">
            {Fact("Version", $"{facts.Version}, {facts.Runtime}")}
            <div><dt>Up</dt><dd>{Wording.Span(facts.Uptime)}, since {facts.StartedAt}</dd></div>
            {Fact("Event loops", $"{facts.Loops}, {facts.Backend}")}
            {Fact("Clients", $"{Wording.Count(facts.Clients)} of {Wording.Count(facts.MaxClients)} (max_client_conn)")}
            {Fact("Prepared statements", Wording.Count(facts.PreparedStatements))}
            {Fact("Memory", Wording.Bytes(Math.Round(facts.Memory / 1e6) * 1e6))}
            {Fact("Listens on", facts.Listening.Count == 0 ? "nothing" : string.Join(", ", facts.Listening))}
            {Fact("Configuration", facts.ConfigurationFile ?? "environment")}
            {Fact("Process", $"{facts.ProcessId}")}</dl>{Hosts(model)}</section>
            """);
    }

    private static HtmlText Hosts(PageModel model)
    {
        if (model.Hosts.Count == 0) return new HtmlText();
        var rows = new HtmlText();
        foreach (var host in model.Hosts.OrderBy(h => h.IsUsable))
        {
            rows.Add($"""
                <tr role="row" data-key="{host.Database}/{host.Host}/{host.Port}/{host.Address}">{Cells.Text("Database", host.Database)}
                {Cells.Text("Host", $"{host.Host}:{host.Port}{(host.Address is null || host.Address == host.Host ? "" : $" ({host.Address})")}")}
                {Cells.Of("State", State(host))}{Cells.Text("Servers", Wording.Count(host.Servers), "number")}{Cells.Text("Last error", host.LastError ?? "")}</tr>
                """);
        }
        var down = model.Hosts.Count(h => !h.IsUsable);
        return new HtmlText().Add($"""
            <details id="hosts"><summary>{Wording.Plural(model.Hosts.Count, "host address", "host addresses")}{(down > 0 ? $", {down} of them not usable" : "")}</summary>
            {Cells.Table("hosts-table", "Where the databases are; those that cannot be used come first.", rows, "Database", "Host", "State", "Servers", "Last error")}</details>
            """);
    }

    private static HtmlText State(HostSnapshot host)
    {
        var since = host.Since is { } moment ? new HtmlText().Add($""" <span class="muted">since {moment}</span>""") : new HtmlText();
        return new HtmlText().Add($"""<span class="badge {(host.IsUsable ? "" : "warn")}">{host.State}</span> {host.Role}{since}""");
    }

    private static HtmlText Row(SettingChange change)
    {
        var setting = new HtmlText();
        if (change.Setting.Length > 0) setting.Add($"<code>{change.Setting}</code> ");
        if (change.Scope.Length > 0) setting.Add($"""<span class="muted"><bdi>{change.Scope}</bdi></span>""");
        return new HtmlText().Add($"""
            <tr role="row" data-key="{change.At.Ticks}/{change.Scope}/{change.Setting}">{Cells.Of("When", new HtmlText().Add($"{change.At}"))}{Cells.Text("By", change.Command)}
            {Cells.Of("Setting", setting)}{Cells.Text("From", change.Setting.Length == 0 ? "" : Value(change.Before), "value")}{Cells.Text("To", Value(change.After), "value")}</tr>
            """);
    }

    private static string Value(string? value) => string.IsNullOrEmpty(value) ? "unset" : Wording.Cut(value, 300);

    private static HtmlText Fact(string name, string value) => new HtmlText().Add($"<div><dt>{name}</dt><dd>{value}</dd></div>");
}
