using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Telemetry;

/// <summary>What authentication writes to the log.</summary>
internal sealed partial class EngineLog
{
    [LoggerMessage(44, LogLevel.Error, "{Connection} {Error}", EventName = "user_query_failed")]
    public partial void UserQueryFailed(ConnectionName connection, string error);
}
