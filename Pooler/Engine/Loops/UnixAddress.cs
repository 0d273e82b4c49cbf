using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Loops;

/// <summary>
/// PostgreSQL's Unix sockets: <c>.s.PGSQL.port</c> in a directory, or, when the directory's name begins with @, under a
/// Linux abstract name, which is no file (libpq, "host").
/// </summary>
internal static class UnixAddress
{
    private const string Prefix = ".s.PGSQL.";

    /// <summary>Whether a host name means a Unix socket rather than TCP.</summary>
    public static bool IsUnix(string host) => host is ['/' or '@', ..];

    /// <summary>The socket of a port in a directory, or under an abstract name.</summary>
    /// <exception cref="ArgumentException">The name is too long for the operating system (108 bytes on Linux), or it has no abstract ones.</exception>
    public static UnixDomainSocketEndPoint Of(string directory, int port)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"{directory.TrimEnd('/')}/{Prefix}{port}");
        if (name[0] != '@') return new UnixDomainSocketEndPoint(name);
        if (!OperatingSystem.IsLinux()) throw new ArgumentException($"abstract socket names such as {directory} exist on Linux only", nameof(directory));
        return new UnixDomainSocketEndPoint(string.Concat("\0", name.AsSpan(1)));
    }

    /// <summary>The file of a socket; null for an abstract name, an unnamed socket, and anything but a Unix socket.</summary>
    public static string? FileOf(EndPoint? endPoint) =>
        endPoint is UnixDomainSocketEndPoint && endPoint.ToString() is { Length: > 0 } name && name[0] != '@' ? name : null;

    /// <summary>The port in a socket's name; 0 when it has none.</summary>
    public static int PortOf(EndPoint? endPoint)
    {
        if (endPoint is not UnixDomainSocketEndPoint) return 0;
        var name = endPoint.ToString().AsSpan();
        var at = name.LastIndexOf(Prefix, StringComparison.Ordinal);
        return at >= 0 && int.TryParse(name[(at + Prefix.Length)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port) ? port : 0;
    }

    /// <summary>An address as log lines and status texts show it.</summary>
    public static string Text(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint ? $"unix:{endPoint}" : endPoint.ToString()!;
}
