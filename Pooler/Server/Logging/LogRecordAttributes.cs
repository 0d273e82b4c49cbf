using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using OpenTelemetry;
using OpenTelemetry.Logs;
using Pooler.Engine.Telemetry;

namespace Pooler.Server.Logging;

/// <summary>
/// Makes the values of an engine's message attributes of its OpenTelemetry log record: connections in parts, by the names
/// that spans and metrics have them under, all others as <c>pooler.*</c>. The body stays the line that the log shows.
/// </summary>
internal sealed class LogRecordAttributes : BaseProcessor<LogRecord>
{
    private const string Template = "{OriginalFormat}";

    // There are as many names as placeholders in the engine's messages.
    private readonly ConcurrentDictionary<string, string> _names = new();

    public override void OnEnd(LogRecord data)
    {
        if (!IsOurs(data.CategoryName) || data.Attributes is not { Count: > 0 } values) return;
        var attributes = new List<KeyValuePair<string, object?>>(values.Count + 4);
        foreach (var (name, value) in values)
        {
            // A message that is nothing but a value needs no attribute that repeats it.
            if (name == Template || value is null || (value as string) == data.FormattedMessage) continue;
            if (value is not ILogFields fields)
            {
                Add(_names.GetOrAdd(name, NameOf), value is string or bool or int or long or double ? value : value.ToString());
                continue;
            }
            foreach (var (part, partValue) in fields.AsAttributes()) Add(part, partValue);
            if (fields is SlowRequestText { Request: { TraceId: { } trace, SpanId: { } span } })
            {
                data.TraceId = ActivityTraceId.CreateFromString(trace);
                data.SpanId = ActivitySpanId.CreateFromString(span);
                data.TraceFlags = ActivityTraceFlags.Recorded;
            }
        }
        data.Attributes = attributes;

        void Add(string name, object? value)
        {
            // A login's line tells database and user of the connection once more.
            if (!attributes.Exists(a => a.Key == name)) attributes.Add(new(name, value));
        }
    }

    private static bool IsOurs(string? category) =>
        category is not null && (category == PoolerTelemetry.Name || category.StartsWith(PoolerTelemetry.Name + ".", StringComparison.Ordinal));

    private static string NameOf(string placeholder) => placeholder switch
    {
        "Database" => "db.namespace",
        "User" => "user.name",
        _ => "pooler." + JsonNamingPolicy.SnakeCaseLower.ConvertName(placeholder),
    };
}
