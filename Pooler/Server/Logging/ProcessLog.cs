namespace Pooler.Server.Logging;

/// <summary>What the process around the engine writes to the log.</summary>
internal sealed partial class ProcessLog(ILogger logger)
{
    [LoggerMessage(200, LogLevel.Information, "process up: {Version}, {Runtime}, {Status}", EventName = "process_up")]
    public partial void Up(string version, string runtime, string status);

    [LoggerMessage(201, LogLevel.Information, "process ended", EventName = "process_ended")]
    public partial void Ended();

    [LoggerMessage(202, LogLevel.Critical, "{Message}", EventName = "start_failed")]
    public partial void StartFailed(string message);

    [LoggerMessage(203, LogLevel.Critical, "the pooler failed", EventName = "process_failed")]
    public partial void Failed(Exception exception);

    [LoggerMessage(204, LogLevel.Critical, "the HTTP endpoints cannot listen: {Message}", EventName = "http_cannot_listen")]
    public partial void HttpCannotListen(string message);

    [LoggerMessage(205, LogLevel.Critical, "the HTTP endpoints could not be started", EventName = "http_failed")]
    public partial void HttpFailed(Exception exception);

    [LoggerMessage(206, LogLevel.Information, "running as user {Name}", EventName = "running_as")]
    public partial void RunningAs(string name);

    [LoggerMessage(207, LogLevel.Warning, "running as root: name another user with the setting user or the option -u", EventName = "running_as_root")]
    public partial void RunningAsRoot();

    [LoggerMessage(208, LogLevel.Information, "stale pidfile, removing", EventName = "stale_pidfile")]
    public partial void StalePidFile();

    [LoggerMessage(209, LogLevel.Information, "{Limit}", EventName = "descriptor_limit")]
    public partial void DescriptorLimit(string limit);

    [LoggerMessage(210, LogLevel.Warning, "running in the background with neither logfile nor syslog: nothing is logged from here on", EventName = "nothing_logged")]
    public partial void NothingLogged();

    [LoggerMessage(211, LogLevel.Information, "old process not found, try to continue normally", EventName = "no_old_process")]
    public partial void NoOldProcess();

    [LoggerMessage(212, LogLevel.Error, "pidfile: {Message}", EventName = "pidfile_failed")]
    public partial void PidFileFailed(string message);

    [LoggerMessage(213, LogLevel.Error, "{Complaint}", EventName = "socket_group_failed")]
    public partial void SocketGroupFailed(string complaint);

    [LoggerMessage(214, LogLevel.Error, "logfile: {Message}", EventName = "logfile_failed")]
    public partial void LogFileFailed(string message);

    [LoggerMessage(215, LogLevel.Warning, "{Warning}", EventName = "configuration_warning")]
    public partial void Warning(string warning);

    [LoggerMessage(216, LogLevel.Error, "{Error}", EventName = "configuration_error")]
    public partial void Error(string error);

    [LoggerMessage(217, LogLevel.Error, "reload failed: everything stays as it was", EventName = "reload_failed")]
    public partial void ReloadFailed();

    [LoggerMessage(218, LogLevel.Information, "configuration reloaded", EventName = "reloaded")]
    public partial void Reloaded();

    [LoggerMessage(219, LogLevel.Debug, "the servers' settings could not be compared with the pools' sizes", EventName = "servers_not_reviewed")]
    public partial void ServersNotReviewed(Exception exception);

    [LoggerMessage(220, LogLevel.Information, "got {Signal}, {Consequence}", EventName = "signal")]
    public partial void Signal(string signal, string consequence);

    [LoggerMessage(221, LogLevel.Information, "got SIGUSR2 while shutting down, ignoring", EventName = "signal_ignored")]
    public partial void ResumeIgnored();

    [LoggerMessage(222, LogLevel.Information, "got {Signal} while shutting down, fast exit", EventName = "fast_exit")]
    public partial void FastExit(string signal);

    [LoggerMessage(223, LogLevel.Error, "{Signal} failed", EventName = "signal_failed")]
    public partial void SignalFailed(Exception exception, string signal);

    [LoggerMessage(224, LogLevel.Warning, "SIGHUP: {Reason}", EventName = "reload_refused")]
    public partial void ReloadRefused(string reason);
}
