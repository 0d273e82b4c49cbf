using System.Diagnostics.CodeAnalysis;

namespace SampleWeb.Pricing;

/// <summary>
/// Which pages may be watched. The worker fetches them from inside the network, so that an address anyone may type in
/// must not be able to reach everything there: pages of this site always, others only on hosts named in
/// <c>PriceWatch__AllowedHosts</c> (separated by commas).
/// </summary>
internal sealed class WatchedPage(IConfiguration configuration)
{
    private readonly HashSet<string> _allowedHosts = new(
        (configuration["PriceWatch:AllowedHosts"] ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries),
        StringComparer.OrdinalIgnoreCase);

    public bool IsAllowed(string url, [NotNullWhen(false)] out string? reason)
    {
        reason = null;
        if (url.StartsWith(ShopWindow.PathPrefix, StringComparison.Ordinal)
            && long.TryParse(url.AsSpan(ShopWindow.PathPrefix.Length), out var id) && id > 0)
        {
            return true;
        }

        if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            reason = $"Enter an http or https address, or a path like {ShopWindow.PathPrefix}1.";
        else if (!_allowedHosts.Contains(address.Host))
            reason = $"Pages of {address.Host} aren't watched here; PriceWatch__AllowedHosts would have to name it.";
        return reason is null;
    }
}
