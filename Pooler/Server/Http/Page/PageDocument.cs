namespace Pooler.Server.Http.Page;

/// <summary>A part of the page that is sent again when it has changed.</summary>
/// <param name="Id">Of the element that it replaces.</param>
/// <param name="Draw">Makes it.</param>
internal sealed record PagePart(string Id, Func<HtmlText> Draw)
{
    /// <summary>While this is the same object the part is known to be the same; null: it has to be drawn to find out.</summary>
    public object? Source { get; init; }

    /// <summary>The pool that has to be open for this to be seen; null: it is always to be seen.</summary>
    public string? Within { get; init; }
}

/// <summary>The whole page, and the parts of it that are sent again when they have changed.</summary>
internal static class PageDocument
{
    /// <summary>The parts of the stream.</summary>
    public static IEnumerable<PagePart> Parts(PageModel model, bool isAdmin)
    {
        yield return new("overview", () => OverviewSection.Draw(model, isAdmin));
        yield return new("advice", () => AdviceSection.Draw(model));
        // The shells first: they are what the rows are put into.
        yield return new("pools", () => PoolSection.Frame(model));
        foreach (var pool in model.Pools)
        {
            yield return new(pool.Id + "-row", () => PoolSection.Row(pool));
            yield return new(pool.Id + "-counts", () => PoolSection.Counts(pool, isAdmin)) { Within = pool.Id };
            yield return new(pool.Id + "-charts", () => PoolSection.Charts(pool)) { Within = pool.Id, Source = pool.History.Count > 0 ? pool.History[^1] : null };
        }
        yield return new("held", () => HeldSection.Draw(model, isAdmin));
        yield return new("slow", () => SlowSection.Draw(model));
        yield return new("settings", () => ProcessSection.Settings(model));
        yield return new("process", () => ProcessSection.Process(model));
    }

    /// <summary>The document, complete without the script.</summary>
    public static string Draw(PageModel model, bool isAdmin)
    {
        var pools = PoolSection.Frame(model, pool => new HtmlText().Add($"{PoolSection.Row(pool)}{PoolSection.Counts(pool, isAdmin)}{PoolSection.Charts(pool)}"));
        return new HtmlText().Add($"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>Pooler</title>
            <link rel="icon" href="{PageAssets.Icon.Url}" type="image/svg+xml">
            <link rel="stylesheet" href="{PageAssets.Style.Url}">
            <script src="{PageAssets.Script.Url}" defer></script>
            </head>
            <body>
            <a class="skip" href="#main">Skip to the content</a>
            <header class="top"><div class="wrap"><h1><img src="{PageAssets.Icon.Url}" alt="" width="22" height="22"> Pooler</h1>
            <nav aria-label="Sections"><a href="#pools">Pools</a><a href="#held">Holders</a><a href="#slow">Slow</a><a href="#settings">Settings</a><a href="#process">Process</a></nav>
            <p id="live" class="live" data-state="still" data-stream="{PageEndpoints.StreamPath}"><span class="dot" aria-hidden="true"></span><span class="text">As of {model.At}</span></p></div></header>
            <noscript><p class="wrap notice">Without JavaScript the figures stand still: <a href="/">load the page again</a> to see those of the moment.{(isAdmin ? " Commands need JavaScript, too." : "")}</p></noscript>
            <p id="status" class="wrap" role="status"></p>
            <main id="main" class="wrap" tabindex="-1">
            {OverviewSection.Draw(model, isAdmin)}{AdviceSection.Draw(model)}{pools}{HeldSection.Draw(model, isAdmin)}{SlowSection.Draw(model)}{ProcessSection.Settings(model)}{ProcessSection.Process(model)}
            </main>
            {(isAdmin ? Dialogs() : new HtmlText())}
            </body>
            </html>
            """).ToString();
    }

    private static HtmlText Dialogs() => new HtmlText().Add($"""
        <dialog id="confirm" aria-labelledby="confirm-text"><form method="dialog"><p id="confirm-text"></p>
        <p class="commands"><button type="button" data-close>Cancel</button><button type="submit" value="yes" class="danger">Do it</button></p></form></dialog>
        <dialog id="key" aria-labelledby="key-label"><form method="dialog"><p><label id="key-label" for="key-input">This command needs the key of http_admin_key.</label></p>
        <p><input id="key-input" type="password" autocomplete="off" aria-describedby="key-note"></p><p id="key-note" class="muted"></p>
        <p class="commands"><button type="button" data-close>Cancel</button><button type="submit" value="yes" class="primary">Use the key</button></p></form></dialog>
        """);
}
