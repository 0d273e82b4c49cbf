using Pooler.Engine.Advice;

namespace Pooler.Server.Http.Page;

/// <summary>What could be better, with the evidence and what to change.</summary>
internal static class AdviceSection
{
    public static HtmlText Draw(PageModel model)
    {
        var items = new HtmlText();
        foreach (var item in model.Advice) items.Add($"{Item(item)}");
        return new HtmlText().Add($"""
            <section id="advice" aria-labelledby="advice-h"><h2 id="advice-h" tabindex="-1">Advice</h2>
            {(model.Advice.Count == 0 ? Empty() : new HtmlText().Add($"""<ul class="advice">{items}</ul>"""))}</section>
            """);
    }

    private static HtmlText Empty() => new HtmlText().Add($"""<p class="empty">None: nothing in the figures of the last minutes calls for a change.</p>""");

    private static HtmlText Item(AdviceItem item)
    {
        var isWarning = item.Level == "warning";
        return new HtmlText().Add($"""
            <li data-key="{item.Rule}/{item.Database}/{item.User}" class="{(isWarning ? "warning" : "info")}">
            <p class="finding"><span class="badge {(isWarning ? "warn" : "")}">{(isWarning ? "warning" : "info")}</span> {item.Finding}{Where(item)}</p>
            <p class="evidence">{item.Evidence}</p>{Change(item)}
            <p>{item.Remedy} <span class="muted">Rule <code>{item.Rule}</code>, since {item.Since}.</span></p></li>
            """);
    }

    private static HtmlText Where(AdviceItem item) => item.Database.Length == 0 ? new HtmlText()
        : new HtmlText().Add($""" <span class="muted"><bdi>{item.Database}</bdi>{(item.User.Length == 0 ? "" : " / ")}<bdi>{item.User}</bdi></span>""");

    private static HtmlText Change(AdviceItem item)
    {
        var change = new HtmlText();
        if (item.Setting.Length == 0) return change;
        change.Add($"<code>{item.Setting}</code>");
        if (item.Current.Length > 0) change.Add($""" <span class="muted">now</span> <code>{item.Current}</code>""");
        if (item.Suggested.Length > 0) change.Add($""" <span class="muted">try</span> <code class="to">{item.Suggested}</code>""");
        return new HtmlText().Add($"""<p class="change">{change}</p>""");
    }
}
