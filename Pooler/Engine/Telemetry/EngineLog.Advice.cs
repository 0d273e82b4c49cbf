using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Telemetry;

// What the pooler advises: once when it appears, once when it has gone.
internal sealed partial class EngineLog
{
    [LoggerMessage(EventId = 90, Message = "advice: {Rule}{Pool}: {Finding} ({Evidence}) {Remedy}", EventName = "advice")]
    public partial void Advice(LogLevel level, string rule, string pool, string finding, string evidence, string remedy);

    [LoggerMessage(91, LogLevel.Information, "advice: {Rule}{Pool}: not needed any more", EventName = "advice_gone")]
    public partial void AdviceGone(string rule, string pool);

    [LoggerMessage(92, LogLevel.Error, "advice could not be worked out", EventName = "advice_failed")]
    public partial void AdviceFailed(Exception error);
}
