namespace SampleWeb.Pricing;

/// <summary>
/// The prices of the shop's own window, which the worker's scraper watches: no internet is needed to see prices move.
/// A price follows from the product's number and the time alone, so every instance shows the same.
/// </summary>
internal static class ShopWindow
{
    public const string PathPrefix = "/shop-window/";

    /// <summary>A price stays for this long.</summary>
    public static readonly TimeSpan Step = TimeSpan.FromSeconds(15);

    public static string PathOf(long productId) => PathPrefix + productId;

    public static decimal PriceAt(long productId, DateTimeOffset moment)
    {
        var step = moment.UtcTicks / Step.Ticks;
        var phase = Noise(productId, 0) * Math.Tau;
        var basis = 15 + 385 * Noise(productId, 1);
        var swing = 0.12 * Math.Sin(step / 9.0 + phase) + 0.05 * Math.Sin(step / 2.3 + 2 * phase);
        var jitter = 0.04 * (Noise(productId, step) - 0.5);
        return Math.Max(0.01m, Math.Round((decimal)(basis * (1 + swing + jitter)), 2));
    }

    /// <summary>A number in [0, 1) that looks random and is always the same for the same arguments (splitmix64).</summary>
    private static double Noise(long productId, long salt)
    {
        unchecked
        {
            var z = (ulong)productId * 0x9E3779B97F4A7C15UL + (ulong)salt * 0xBF58476D1CE4E5B9UL + 0x94D049BB133111EBUL;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
            return ((z ^ (z >> 31)) >> 11) / (double)(1UL << 53);
        }
    }
}
