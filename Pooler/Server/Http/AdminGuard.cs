using System.Net;
using System.Security.Cryptography;
using System.Text;
using Pooler.Engine.Configuration;

namespace Pooler.Server.Http;

/// <summary>Who may give commands over HTTP: who has the key, or, without a key, programs of this machine and our own page.</summary>
internal static class AdminGuard
{
    public static bool IsAdminPort(HttpContext context, PoolerSettings settings) =>
        settings.HttpAdminPort != 0 && context.Connection.LocalPort == settings.HttpAdminPort;

    public static bool HasKey(HttpRequest request, string key)
    {
        const string Scheme = "Bearer ";
        var authorization = request.Headers.Authorization.ToString();
        var given = request.Headers["X-Admin-Key"].ToString();
        if (given.Length == 0 && authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) given = authorization[Scheme.Length..].Trim();

        // Hashes have one length, so the time of comparing tells nothing about the key.
        return CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(given)), SHA256.HashData(Encoding.UTF8.GetBytes(key)));
    }

    /// <summary>
    /// Why a command without a key is refused. A browser on this machine would carry out a POST that any page it visits
    /// asks for; only our own page may. That page and request are of one origin proves it together with the host: the owner
    /// of another name can let it mean this machine (DNS rebinding).
    /// </summary>
    public static string? ObjectionWithoutKey(HttpRequest request)
    {
        if (ObjectionToHost(request) is { } objection) return objection;
        var origin = request.Headers.Origin;
        if (origin.Count > 0 && !(origin.Count == 1 && string.Equals(origin[0], $"{request.Scheme}://{request.Host.Value}", StringComparison.OrdinalIgnoreCase)))
            return "without http_admin_key only the pooler's own page may use this: the request has an Origin header of another page";
        // Also tells of requests for which browsers send no Origin. None: not asked for by a page at all.
        var site = request.Headers["Sec-Fetch-Site"].ToString();
        return site is "" or "same-origin" or "none" ? null
            : "without http_admin_key only the pooler's own page may use this: the request has a Sec-Fetch-Site header of another page";
    }

    /// <summary>Why the name by which this machine is addressed is refused without a key.</summary>
    public static string? ObjectionToHost(HttpRequest request)
    {
        var host = request.Host.Host;
        return IPAddress.TryParse(host, out _) || host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? null
            : "without http_admin_key the Host header must be an IP address or localhost: other names may have been made to mean this machine";
    }
}
