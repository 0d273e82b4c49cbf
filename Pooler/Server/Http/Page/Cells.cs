namespace Pooler.Server.Http.Page;

/// <summary>What the tables have in common. Each cell carries its column's name, for screens where a row becomes a card.</summary>
internal static class Cells
{
    private const int ShortSql = 140;
    private const int LongestSql = 4000;

    public static HtmlText Text(string column, string text, string style = "") =>
        new HtmlText().Add($"""<td role="cell" data-label="{column}" class="{style}"><div>{text}</div></td>""");

    public static HtmlText Of(string column, HtmlText content, string style = "") =>
        new HtmlText().Add($"""<td role="cell" data-label="{column}" class="{style}"><div>{content}</div></td>""");

    /// <summary>SQL, all of it when it is short, otherwise its beginning, which opens; and the trace that it is part of.</summary>
    public static HtmlText Sql(string column, string sql, string? traceId)
    {
        var content = sql.Length switch
        {
            0 => new HtmlText().Add($"""<span class="muted">not known</span>"""),
            <= ShortSql => new HtmlText().Add($"<code>{sql}</code>"),
            _ => new HtmlText().Add($"<details class=\"sql\"><summary><code>{Wording.Cut(sql, ShortSql)}</code></summary><pre tabindex=\"0\">{Wording.Cut(sql, LongestSql)}</pre></details>"),
        };
        if (traceId is not null) content.Add($"""<span class="muted trace">trace <code>{traceId}</code></span>""");
        return Of(column, content, "query");
    }

    /// <summary>Who a client is: what it calls itself, where it comes from, and its name on the console and in the log.</summary>
    public static HtmlText Client(string column, string application, string user, string address, string name) => Of(column, new HtmlText().Add($"""
        <bdi class="app">{(application.Length == 0 ? "(no application_name)" : Wording.Cut(application, 100))}</bdi>
        <span class="muted"><bdi>{(user.Length == 0 ? "" : Wording.Cut(user, 63) + " ")}</bdi>{Wording.Cut(address, 100)} <code>{name}</code></span>
        """), "client");

    public static HtmlText Pool(string column, string database, string user) => Of(column, new HtmlText().Add(
        $"""<bdi>{Wording.Cut(database, 63)}</bdi><span class="muted"> / <bdi>{Wording.Cut(user, 63)}</bdi></span>"""), "pool-name");

    /// <summary>A table with a caption; the names of its columns become its header. A wide one becomes cards on small screens.</summary>
    public static HtmlText Table(string id, string caption, HtmlText rows, params ReadOnlySpan<string> columns)
    {
        var header = new HtmlText();
        foreach (var column in columns) header.Add($"""<th role="columnheader" scope="col">{column}</th>""");
        return new HtmlText().Add($"""
            <table id="{id}" role="table" class="{(columns.Length > 3 ? "cards" : "")}"><caption>{caption}</caption><thead role="rowgroup"><tr role="row">{header}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>
            """);
    }
}
