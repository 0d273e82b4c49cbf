using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Telemetry;

// Standing still, and handing over to another process.
internal sealed partial class EngineLog
{
    [LoggerMessage(50, LogLevel.Information, "admin disappeared when suspended, doing RESUME", EventName = "admin_disappeared")]
    public partial void AdminDisappeared();
}
