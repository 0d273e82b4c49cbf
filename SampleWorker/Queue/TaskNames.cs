namespace SampleQueue;

/// <summary>Queues of the sample, as in the system it is modelled on.</summary>
public static class TaskQueues
{
    /// <summary>Everything that needs no other queue; four at once per worker.</summary>
    public const string Default = "default";

    /// <summary>Tasks that fetch web pages; two at once per worker, so that they never take all of its time.</summary>
    public const string WebScraper = "webscraper";
}

/// <summary>Tasks the sample worker knows.</summary>
public static class TaskNames
{
    /// <summary>Fetches one product's page and notes its price; argument <c>product_id</c>; queue <c>webscraper</c>.</summary>
    public const string ScrapePrice = "scrape_price";

    /// <summary>Enqueues <see cref="ScrapePrice"/> for every product; no argument; periodic; queue <c>default</c>.</summary>
    public const string RefreshAllPrices = "refresh_all_prices";

    /// <summary>Deletes old price observations; optional argument <c>keep_days</c>; periodic; queue <c>default</c>.</summary>
    public const string CleanupHistory = "cleanup_history";

    /// <summary>Sums up the prices of the last days in the log; optional argument <c>days</c>; queue <c>default</c>.</summary>
    public const string PriceReport = "price_report";
}
