namespace SampleQueue;

/// <summary>Something changed; read it for a live view, then ask <see cref="TaskMonitor"/> for what is to be shown.</summary>
/// <param name="Kind">What happened: <c>enqueued</c>, <c>started</c>, <c>succeeded</c>, <c>retried</c>, <c>deferred</c>, <c>dead</c>, <c>released</c>, <c>reclaimed</c>, <c>worker</c>.</param>
/// <param name="Queue">Queue concerned; empty for a worker's event.</param>
/// <param name="Subject">Id of the task, or name of the worker.</param>
public sealed record TaskEvent(string Kind, string Queue, string Subject);
