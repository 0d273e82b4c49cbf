using System.Globalization;
using System.Text;

namespace Pooler.Server.Logging;

/// <summary>Formats a message as PgBouncer's log does: <c>2026-01-31 12:00:00.000 UTC [42] LOG message</c>.</summary>
internal static class LogLine
{
    /// <summary>The line, with its end.</summary>
    public static string Format(LogEntry entry, bool withTrace)
    {
        var line = new StringBuilder();
        line.Append(CultureInfo.InvariantCulture, $"{entry.Time.UtcDateTime:yyyy-MM-dd HH:mm:ss.fff} UTC [{Environment.ProcessId}] {Name(entry.Level)} ");
        AppendText(line, entry);
        if (entry.Exception is not null && withTrace) line.Append('\n').Append(entry.Exception);
        return line.Append('\n').ToString();
    }

    /// <summary>The message alone, for logs that have time and level of their own.</summary>
    public static string Text(LogEntry entry)
    {
        var text = new StringBuilder();
        AppendText(text, entry);
        return text.ToString();
    }

    private static void AppendText(StringBuilder text, LogEntry entry)
    {
        AppendVisible(text, entry.Message);
        if (entry.Exception is null) return;
        text.Append(": ");
        AppendVisible(text, entry.Exception.Message);
    }

    // One message, one line, whatever a client put into a name: nobody forges log lines.
    private static void AppendVisible(StringBuilder text, string part)
    {
        foreach (var c in part) text.Append(char.IsControl(c) ? ' ' : c);
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
