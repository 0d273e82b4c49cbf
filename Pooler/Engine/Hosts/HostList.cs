using System.Net;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Hosts;

/// <summary>Reads the host list of a database.</summary>
internal static class HostList
{
    /// <summary>The hosts of a list, without the empty ones.</summary>
    public static string[] Split(string? hosts) =>
        hosts?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];

    /// <summary>The hosts of a database; without any, the local Unix socket.</summary>
    public static ServerHost[] Of(DatabaseSettings database, string unixSocketDirectory)
    {
        var names = Split(database.Host);
        if (names.Length == 0) names = [unixSocketDirectory];
        var ports = database.PortList is { } list ? PortListKind.Split(list) : [database.Port];
        return [.. names.Select((name, i) => Host(i, name, ports[Math.Min(i, ports.Length - 1)]))];
    }

    private static ServerHost Host(int index, string name, int port)
    {
        try
        {
            if (UnixAddress.IsUnix(name)) return new ServerHost(index, name, port, UnixAddress.Of(name, port));
            // .NET also takes "10" for an address; there are hosts of such a name.
            if (IPAddress.TryParse(name, out var address) && (name.Contains(':') || name.Count(c => c == '.') == 3))
                return new ServerHost(index, name, port, new IPEndPoint(address, port));
        }
        catch (Exception e) when (e is ArgumentException or PlatformNotSupportedException)
        {
            return new ServerHost(index, name, port, endPoint: null) { Broken = e.Message };
        }
        if (name.Length == 0) return new ServerHost(index, name, port, endPoint: null) { Broken = "no host is given, and unix_socket_dir is empty" };
        return new ServerHost(index, name, port, endPoint: null);
    }
}
