using System.Net;

namespace Pooler.Server.Http;

/// <summary>Who gives commands over HTTP, and who tries to.</summary>
internal sealed partial class AdminLog(ILogger logger, TimeProvider timeProvider)
{
    // Whoever guesses keys must not be able to fill the log.
    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private long? _warnedAt;
    private long _unsaid;

    [LoggerMessage(230, LogLevel.Information, "HTTP command {Command} from {Address}", EventName = "http_command")]
    public partial void Command(string command, IPAddress? address);

    /// <summary>A command was refused; of many at once the first is logged, and how many there were.</summary>
    public void Refused(string command, IPAddress? address, string reason)
    {
        long unsaid;
        lock (_lock)
        {
            if (_warnedAt is { } at && timeProvider.GetElapsedTime(at) < Pace)
            {
                _unsaid++;
                return;
            }
            _warnedAt = timeProvider.GetTimestamp();
            (unsaid, _unsaid) = (_unsaid, 0);
        }
        Warn(command, address, reason, unsaid);
    }

    [LoggerMessage(231, LogLevel.Warning, "HTTP command {Command} from {Address} refused: {Reason}; refused since the last such line: {Unsaid}", EventName = "http_command_refused")]
    private partial void Warn(string command, IPAddress? address, string reason, long unsaid);
}
