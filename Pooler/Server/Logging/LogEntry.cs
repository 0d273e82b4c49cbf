namespace Pooler.Server.Logging;

/// <summary>A message on its way to the log.</summary>
/// <param name="Time">When it was logged.</param>
/// <param name="Level">How grave it is.</param>
/// <param name="Message">The text.</param>
/// <param name="Event">What kind of message it is, for programs; null: it has no name.</param>
/// <param name="Exception">What went wrong, if it was an exception.</param>
/// <param name="Fields">The values in the text by their names; empty unless the log is JSON.</param>
internal sealed record LogEntry(
    DateTimeOffset Time, LogLevel Level, string Message, string? Event, Exception? Exception, IReadOnlyList<KeyValuePair<string, object?>> Fields)
{
    /// <summary>Severity as syslog(3) and systemd's journal number it.</summary>
    public int Severity => Level switch
    {
        LogLevel.Critical => 2,
        LogLevel.Error => 3,
        LogLevel.Warning => 4,
        LogLevel.Information => 6,
        _ => 7,
    };
}
