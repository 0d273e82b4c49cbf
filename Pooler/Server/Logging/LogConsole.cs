using System.Globalization;

namespace Pooler.Server.Logging;

/// <summary>
/// Standard output or standard error as a log. When systemd's journal is at its other end, which keeps time, process and
/// level by itself, lines are the bare message behind its level, written as sd-daemon(3) has it: <c>&lt;6&gt;message</c>.
/// </summary>
/// <param name="writer">The stream.</param>
/// <param name="isJournal">Whether the journal reads it.</param>
internal sealed class LogConsole(TextWriter writer, bool isJournal)
{
    private const int StandardOutput = 1, StandardError = 2;

    public static LogConsole Output => new(Console.Out, IsJournal(StandardOutput));

    public static LogConsole Error => new(Console.Error, IsJournal(StandardError));

    public void Write(LogEntry entry, string line, bool plain) =>
        writer.Write(isJournal && plain ? string.Create(CultureInfo.InvariantCulture, $"<{entry.Severity}>{LogLine.Text(entry)}\n") : line);

    public void Flush() => writer.Flush();

    // JOURNAL_STREAM holds device and inode of the stream (systemd.exec(5)). It is inherited, so it alone proves nothing.
    private static bool IsJournal(int descriptor)
    {
        if (!OperatingSystem.IsLinux() || Environment.GetEnvironmentVariable("JOURNAL_STREAM") is not { } stream) return false;
        try
        {
            return new FileInfo($"/proc/self/fd/{descriptor}").LinkTarget is { } target && target == $"socket:[{stream[(stream.IndexOf(':') + 1)..]}]";
        }
        catch (IOException)
        {
            return false;
        }
    }
}
