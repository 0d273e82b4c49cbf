using System.Globalization;
using System.Net.NetworkInformation;
using Pooler.Engine.Configuration;

namespace Pooler.Server.Http;

/// <summary>Where the HTTP endpoints listen: our own settings, and what .NET's hosting conventions name.</summary>
internal static class HttpUrls
{
    // In the order of ASP.NET Core: unprefixed variables win over prefixed ones, URLs over ports.
    private static readonly string[] UrlNames = ["URLS", "ASPNETCORE_URLS", "DOTNET_URLS"];
    private static readonly string[] PortNames = ["HTTP_PORTS", "ASPNETCORE_HTTP_PORTS", "DOTNET_HTTP_PORTS"];

    /// <summary>The URLs to listen on; none: no web server is started at all.</summary>
    public static IReadOnlyList<string> Find(PoolerSettings settings, Func<string, string?> environment)
    {
        var urls = new List<string>();
        urls.AddRange(FromEnvironment(environment));
        foreach (var port in new[] { settings.HttpPort, settings.HttpAdminPort })
        {
            if (port == 0) continue;
            foreach (var address in settings.HttpAddr.Split(',')) urls.Add(Url(address, port));
        }

        // A port of ours may be one that the environment names for all addresses, too: it can be bound only once.
        var everywhere = urls.Where(IsWildcard).Select(Port).ToHashSet();
        return [.. urls.Where(u => IsWildcard(u) || !everywhere.Contains(Port(u))).DistinctBy(u => IsWildcard(u) ? $"*:{Port(u)}" : u)];
    }

    /// <summary>Whether nobody listens on their ports.</summary>
    public static bool AreFree(IEnumerable<string> urls)
    {
        var listening = IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Select(e => e.Port).ToHashSet();
        return !urls.Any(u => int.TryParse(Port(u), NumberStyles.None, CultureInfo.InvariantCulture, out var port) && listening.Contains(port));
    }

    private static IEnumerable<string> FromEnvironment(Func<string, string?> environment)
    {
        if (First(UrlNames) is { } urls) return urls.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return First(PortNames) is { } ports
            ? ports.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(p => $"http://*:{p}")
            : [];

        string? First(string[] names) => names.Select(environment).FirstOrDefault(v => !string.IsNullOrWhiteSpace(v));
    }

    private static string Url(string address, int port) =>
        string.Create(CultureInfo.InvariantCulture, $"http://{(address.Contains(':') ? $"[{address}]" : address)}:{port}");

    private static bool IsWildcard(string url) => url.Contains("//*", StringComparison.Ordinal) || url.Contains("//+", StringComparison.Ordinal)
        || url.Contains("//0.0.0.0", StringComparison.Ordinal) || url.Contains("//[::]", StringComparison.Ordinal);

    private static string Port(string url) => url[(url.LastIndexOf(':') + 1)..].TrimEnd('/');
}
