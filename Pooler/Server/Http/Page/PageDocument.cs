namespace Pooler.Server.Http.Page;

/// <summary>The whole page, and the parts of it that are sent again when they have changed.</summary>
internal static class PageDocument
{
    /// <summary>The parts of the stream, by the id of the element each replaces.</summary>
    public static IEnumerable<(string Id, HtmlText Html)> Parts(PageModel model, bool isAdmin)
    {
        yield return ("overview", OverviewSection.Draw(model, isAdmin));
        yield return ("advice", AdviceSection.Draw(model));
        // The shells first: they are what the rows are put into.
        yield return ("pools", PoolSection.Frame(model));
        foreach (var pool in model.Pools)
        {
            yield return (pool.Id + "-row", PoolSection.Row(pool));
            yield return (pool.Id + "-counts", PoolSection.Counts(pool, isAdmin));
            yield return (pool.Id + "-charts", PoolSection.Charts(pool));
        }
        yield return ("held", HeldSection.Draw(model, isAdmin));
        yield return ("slow", SlowSection.Draw(model));
        yield return ("settings", ProcessSection.Settings(model));
        yield return ("process", ProcessSection.Process(model));
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
        <p class="commands"><button type="submit" value="">Cancel</button><button type="submit" value="yes" class="danger">Do it</button></p></form></dialog>
        <dialog id="key" aria-labelledby="key-label"><form method="dialog"><p><label id="key-label" for="key-input">This command needs the key of http_admin_key.</label></p>
        <p><input id="key-input" type="password" autocomplete="off"></p><p class="muted">It is kept until this tab is closed.</p>
        <p class="commands"><button type="submit" value="" formnovalidate>Cancel</button><button type="submit" value="yes" class="primary">Use the key</button></p></form></dialog>
        """);
}
