using System.Globalization;
using System.Text;

namespace Pooler.Server.Logging;

/// <summary>Formats a message as PgBouncer's log does: <c>2026-01-31 12:00:00.000 UTC [42] LOG message</c>.</summary>
internal static class LogLine
{
    public static string Format(DateTimeOffset time, LogLevel level, string message, Exception? exception, bool withTrace)
    {
        var line = new StringBuilder();
        line.Append(CultureInfo.InvariantCulture, $"{time.UtcDateTime:yyyy-MM-dd HH:mm:ss.fff} UTC [{Environment.ProcessId}] {Name(level)} ");

        // One message, one line, whatever a client put into a name: nobody forges log lines.
        foreach (var c in message) line.Append(char.IsControl(c) ? ' ' : c);
        if (exception is not null)
        {
            line.Append(": ");
            foreach (var c in exception.Message) line.Append(char.IsControl(c) ? ' ' : c);
            if (withTrace) line.Append('\n').Append(exception);
        }

        return line.Append('\n').ToString();
    }

    private static string Name(LogLevel level) => level switch
    {
        LogLevel.Trace => "NOISE",
        LogLevel.Debug => "DEBUG",
        LogLevel.Information => "LOG",
        LogLevel.Warning => "WARNING",
        LogLevel.Error => "ERROR",
        _ => "FATAL",
    };
}
