namespace SampleQueue;

/// <summary>A task that was given up.</summary>
/// <param name="EntryId">Its place among the dead letters; name it to <see cref="TaskMonitor.RequeueAsync"/>.</param>
/// <param name="TaskId">The task's id; null when the message had none.</param>
/// <param name="Name">The task's name; null when the message had none.</param>
/// <param name="Queue">Queue it came from.</param>
/// <param name="Arguments">Arguments as they stood in the message; null when it had none.</param>
/// <param name="Attempts">Attempts made.</param>
/// <param name="Worker">Worker that gave it up.</param>
/// <param name="DiedAt">When it was given up.</param>
/// <param name="Error">Why.</param>
/// <param name="Message">The whole message, field by field, as it was found in the queue.</param>
public sealed record DeadLetter(
    string EntryId,
    string? TaskId,
    string? Name,
    string Queue,
    string? Arguments,
    int Attempts,
    string? Worker,
    DateTimeOffset DiedAt,
    string Error,
    IReadOnlyList<KeyValuePair<string, string>> Message);
