namespace Pooler.Server.Http.Page;

/// <summary>What the tables have in common. Each cell carries its column's name, for screens where a row becomes a card.</summary>
internal static class Cells
{
    private const int ShortSql = 140;
    private const int LongestSql = 4000;

    public static HtmlText Text(string column, string text, string style = "") =>
        new HtmlText().Add($"""<td role="cell" data-label="{column}" class="{style}">{text}</td>""");

    public static HtmlText Of(string column, HtmlText content, string style = "") =>
        new HtmlText().Add($"""<td role="cell" data-label="{column}" class="{style}">{content}</td>""");

    /// <summary>SQL: all of it when it is short, otherwise its beginning, which opens.</summary>
    public static HtmlText Sql(string column, string sql) => Of(column, sql.Length switch
    {
        0 => new HtmlText().Add($"""<span class="muted">not known</span>"""),
        <= ShortSql => new HtmlText().Add($"<code>{sql}</code>"),
        _ => new HtmlText().Add($"<details class=\"sql\"><summary><code>{Wording.Cut(sql, ShortSql)}</code></summary><pre tabindex=\"0\">{Wording.Cut(sql, LongestSql)}</pre></details>"),
    }, "query");

    /// <summary>Who a client is: what it calls itself, where it comes from, and its name on the console and in the log.</summary>
    public static HtmlText Client(string column, string application, string user, string address, string name) => Of(column, new HtmlText().Add($"""
        <bdi class="app">{(application.Length == 0 ? "(no application_name)" : Wording.Cut(application, 100))}</bdi>
        <span class="muted"><bdi>{(user.Length == 0 ? "" : Wording.Cut(user, 63) + " ")}</bdi>{Wording.Cut(address, 100)} <code>{name}</code></span>
        """), "client");

    public static HtmlText Pool(string column, string database, string user) => Of(column, new HtmlText().Add(
        $"""<bdi>{Wording.Cut(database, 63)}</bdi><span class="muted"> / <bdi>{Wording.Cut(user, 63)}</bdi></span>"""), "pool-name");

    /// <summary>A table with a caption; the names of its columns become its header.</summary>
    public static HtmlText Table(string id, string caption, HtmlText rows, params ReadOnlySpan<string> columns)
    {
        var header = new HtmlText();
        foreach (var column in columns) header.Add($"""<th role="columnheader" scope="col">{column}</th>""");
        return new HtmlText().Add($"""
            <table id="{id}" role="table"><caption>{caption}</caption><thead role="rowgroup"><tr role="row">{header}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>
            """);
    }
}
