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
        var connection = request.HttpContext.Connection;
        if (!IsThisMachine(connection.RemoteIpAddress, connection.LocalIpAddress)) return "without http_admin_key commands are taken from programs of this machine only";
        if (ObjectionToHost(request) is { } objection) return objection;
        var origin = request.Headers.Origin;
        if (origin.Count > 0 && !(origin.Count == 1 && string.Equals(origin[0], $"{request.Scheme}://{request.Host.Value}", StringComparison.OrdinalIgnoreCase)))
            return "without http_admin_key only the pooler's own page may use this: the request has an Origin header of another page";
        // Also tells of requests for which browsers send no Origin. None: not asked for by a page at all.
        var site = request.Headers["Sec-Fetch-Site"].ToString();
        return site is "" or "same-origin" or "none" ? null
            : "without http_admin_key only the pooler's own page may use this: the request has a Sec-Fetch-Site header of another page";
    }

    /// <summary>
    /// Why figures are not shown under the name by which this machine is addressed. What listens on the loopback address
    /// is not for others, and a web page of others whose name has been made to mean this machine would read it.
    /// </summary>
    public static string? ObjectionToReader(HttpContext context, PoolerSettings settings)
    {
        var isForThisMachine = context.Connection.LocalIpAddress is { } local && IPAddress.IsLoopback(Plain(local));
        return isForThisMachine || (settings.HttpAdminKey.Length == 0 && IsAdminPort(context, settings)) ? ObjectionToHost(context.Request) : null;
    }

    /// <summary>Whether a connection comes from this machine; without addresses it came through a Unix socket.</summary>
    public static bool IsThisMachine(IPAddress? remote, IPAddress? local) =>
        remote is null || IPAddress.IsLoopback(Plain(remote)) || (local is not null && Plain(remote).Equals(Plain(local)));

    /// <summary>Why the name by which this machine is addressed is refused.</summary>
    private static string? ObjectionToHost(HttpRequest request)
    {
        var host = request.Host.Host;
        return IPAddress.TryParse(host, out _) || IsPrivate(host) ? null
            : "the Host header must be an IP address, localhost or this machine's name: other names may have been made to mean this machine";
    }

    // Names that nobody can register: of this machine (RFC 6761), and those of container engines and .NET's development
    // certificates (host.docker.internal).
    private static bool IsPrivate(string host) => host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase) || host.EndsWith(".internal", StringComparison.OrdinalIgnoreCase)
        || host.Equals(Environment.MachineName, StringComparison.OrdinalIgnoreCase);

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
