using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Pooler.Server.Logging;

/// <summary>
/// The system's log daemon, reached as the C library's syslog(3) does: RFC 3164 messages to a Unix socket, datagrams as a
/// rule. A daemon that is away costs messages, never the process; it is looked for again with each message.
/// </summary>
internal sealed class SyslogSocket(string path, string facility, string ident) : IDisposable
{
    // <sys/syslog.h>; the order is the codes'.
    private static readonly string[] Facilities =
    [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
        "12", "13", "14", "15", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];

    private readonly int _facility = Math.Max(0, Array.IndexOf(Facilities, facility)) << 3;
    private Socket? _socket;
    private bool _isStream;

    /// <summary>Where the daemon listens.</summary>
    public static string DefaultPath => OperatingSystem.IsMacOS() ? "/var/run/syslog" : "/dev/log";

    /// <summary>What it was made for, to see whether settings have changed.</summary>
    public (string Path, string Facility, string Ident) Key => (path, facility, ident);

    /// <summary>Sends a message; lost when nobody takes it.</summary>
    public void Send(DateTimeOffset time, int severity, string message)
    {
        // Local time, the day padded with a blank (RFC 3164, section 4.1.2).
        var local = time.LocalDateTime;
        var text = string.Create(
            CultureInfo.InvariantCulture,
            $"<{_facility | severity}>{local:MMM} {local.Day,2} {local:HH:mm:ss} {ident}[{Environment.ProcessId}]: {message}");

        // The second time with a new connection: the daemon may have been restarted since.
        if (!TrySend(text)) TrySend(text);
    }

    public void Dispose() => _socket?.Dispose();

    private bool TrySend(string text)
    {
        try
        {
            _socket ??= Connect();

            // Over a stream messages end with a zero.
            _socket.Send(Encoding.UTF8.GetBytes(_isStream ? text + "\0" : text));
            return true;
        }
        catch (Exception e) when (e is SocketException or ArgumentException or ObjectDisposedException)
        {
            _socket?.Dispose();
            _socket = null;
            return false;
        }
    }

    private Socket Connect()
    {
        _isStream = false;
        try
        {
            return Connect(SocketType.Dgram);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ProtocolType)
        {
            _isStream = true;
            return Connect(SocketType.Stream);
        }
    }

    private Socket Connect(SocketType type)
    {
        // The log's own thread may wait a moment for a busy daemon, but not for ever.
        var socket = new Socket(AddressFamily.Unix, type, ProtocolType.Unspecified) { SendTimeout = 1000 };
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return socket;
        }
        catch (Exception)
        {
            socket.Dispose();
            throw;
        }
    }
}
