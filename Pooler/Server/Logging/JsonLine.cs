using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Pooler.Engine.Telemetry;

namespace Pooler.Server.Logging;

/// <summary>
/// Formats a message as one JSON object a line: timestamp, level, pid, message, event, and what the message is about, such as
/// connection, database, user, address, port, reason and age.
/// </summary>
internal static class JsonLine
{
    // Names of any script are to be read as they are; what could break a line or a web page is escaped nevertheless.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.Create(System.Text.Unicode.UnicodeRanges.All) };

    /// <summary>The line, with its end.</summary>
    public static string Format(LogEntry entry)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            json.WriteStartObject();
            json.WriteString("timestamp", entry.Time.UtcDateTime);
            json.WriteString("level", Name(entry.Level));
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteString("message", Message(entry));
            if (entry.Event is not null) json.WriteString("event", entry.Event);
            var isAboutConnection = entry.Fields.Any(f => f.Value is ConnectionName);
            foreach (var (name, value) in entry.Fields)
            {
                // A login's line tells database and user of the connection once more.
                if (name is "{OriginalFormat}" or "Message" || (isAboutConnection && name is "Database" or "User")) continue;
                if (value is string text && text == entry.Message) continue;
                WriteField(json, JsonNamingPolicy.SnakeCaseLower.ConvertName(name), value);
            }

            if (entry.Exception is { } exception)
            {
                json.WriteString("exception", exception.GetType().FullName);
                json.WriteString("exception_message", exception.Message);
                json.WriteString("exception_trace", exception.StackTrace);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    /// <summary>Without the connection's name at its beginning: that has fields of its own.</summary>
    private static string Message(LogEntry entry)
    {
        foreach (var (_, value) in entry.Fields)
        {
            if (value is ConnectionName connection && entry.Message.StartsWith($"{connection} ", StringComparison.Ordinal))
                return entry.Message[(connection.ToString().Length + 1)..];
        }

        return entry.Message;
    }

    private static void WriteField(Utf8JsonWriter json, string name, object? value)
    {
        switch (value)
        {
            case ILogFields fields:
                foreach (var (key, part) in fields.ForJson()) WriteField(json, key, part);
                break;
            case long number:
                json.WriteNumber(name, number);
                break;
            case int number:
                json.WriteNumber(name, number);
                break;
            case double number:
                json.WriteNumber(name, number);
                break;
            case null:
                break;
            default:
                json.WriteString(name, value.ToString());
                break;
        }
    }

    private static string Name(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warning",
        LogLevel.Error => "error",
        _ => "fatal",
    };
}
