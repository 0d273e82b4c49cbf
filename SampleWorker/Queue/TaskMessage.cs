using System.Globalization;
using System.Text.Json;

namespace SampleQueue;

/// <summary>A message a worker has taken and must answer for. Its content is anyone's who can write to Redis.</summary>
/// <param name="Queue">Queue it came from.</param>
/// <param name="EntryId">Its place in the queue's stream.</param>
/// <param name="Deliveries">How often it was given to a worker, this time included.</param>
/// <param name="FormerOwner">Consumer it was taken over from; null when it was new.</param>
/// <param name="Fields">Its fields in order.</param>
/// <param name="TakenAt">When it was taken, by Redis' clock.</param>
internal sealed record TakenMessage(
    string Queue,
    string EntryId,
    int Deliveries,
    string? FormerOwner,
    IReadOnlyList<KeyValuePair<string, string>> Fields,
    DateTimeOffset TakenAt)
{
    public string? Field(string name)
    {
        foreach (var (key, value) in Fields)
            if (key == name)
                return value;
        return null;
    }
}

/// <summary>A message that has proved to be a task.</summary>
/// <param name="Id">The task's id.</param>
/// <param name="Name">The task's name.</param>
/// <param name="Queue">Queue it came from.</param>
/// <param name="Arguments">A JSON object.</param>
/// <param name="Attempt">This attempt, counted from 1.</param>
/// <param name="EnqueuedAt">When it was enqueued, by Redis' clock.</param>
/// <param name="TraceParent">W3C trace context of whoever enqueued it.</param>
/// <param name="TraceState">Vendors' part of the trace context.</param>
internal sealed record TaskMessage(
    string Id,
    string Name,
    string Queue,
    JsonElement Arguments,
    int Attempt,
    DateTimeOffset EnqueuedAt,
    string? TraceParent,
    string? TraceState)
{
    /// <summary>Reads a message.</summary>
    /// <exception cref="MalformedTaskException">It is not a task.</exception>
    public static TaskMessage Parse(TakenMessage taken)
    {
        string Required(string name) => taken.Field(name) is { Length: > 0 } value
            ? value
            : throw new MalformedTaskException($"The message has no field '{name}'.");

        var id = Required("id");
        var name = Required("task");
        if (!int.TryParse(taken.Field("attempt") ?? "1", CultureInfo.InvariantCulture, out var attempt) || attempt < 1)
            throw new MalformedTaskException($"Field 'attempt' is not a number from 1: '{taken.Field("attempt")}'.");
        if (!long.TryParse(Required("enqueued"), CultureInfo.InvariantCulture, out var enqueued)
            || enqueued is < 0 or > 253_402_300_799_999) // the end of the year 9999, the last DateTimeOffset can hold
            throw new MalformedTaskException($"Field 'enqueued' is not a time in Unix milliseconds: '{taken.Field("enqueued")}'.");
        return new TaskMessage(
            id,
            name,
            taken.Queue,
            ParseArguments(taken.Field("args") ?? "{}"),
            attempt,
            DateTimeOffset.FromUnixTimeMilliseconds(enqueued),
            taken.Field("trace"),
            taken.Field("tracestate"));
    }

    private static JsonElement ParseArguments(string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? document.RootElement.Clone()
                : throw new MalformedTaskException("Field 'args' is not a JSON object.");
        }
        catch (JsonException error)
        {
            throw new MalformedTaskException($"Field 'args' is not JSON: {error.Message}");
        }
    }
}

/// <summary>A message that no attempt can make a task of.</summary>
internal sealed class MalformedTaskException(string message) : Exception(message);
