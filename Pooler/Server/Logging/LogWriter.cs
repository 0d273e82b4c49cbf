using System.Collections.Concurrent;
using System.Globalization;
using System.Threading.Channels;
using Pooler.Engine.Configuration;

namespace Pooler.Server.Logging;

/// <summary>
/// Writes the log to the console, to logfile and to syslog, from a thread of its own: an event loop must not wait for a
/// slow terminal or disk. What does not fit the queue is counted and reported, not waited for.
/// </summary>
internal sealed class LogWriter : ILoggerProvider
{
    // About a second of the busiest log there is.
    private const int QueueLength = 65536;

    private readonly ConcurrentDictionary<string, Logger> _loggers = new();
    private readonly Channel<LogEntry> _queue;
    private readonly LogConsole? _console;
    private readonly TimeProvider _time;
    private readonly string _syslogPath;
    private readonly Task _writing;
    private readonly Lock _sinks = new();
    private LogFile? _file;
    private SyslogSocket? _syslog;
    private volatile bool _json;
    private long _lost;

    /// <summary>Starts writing.</summary>
    /// <param name="settings">Names the file, and what else there is to choose.</param>
    /// <param name="console">Where to write besides; null: nowhere.</param>
    /// <param name="time">The clock.</param>
    /// <param name="syslogPath">The socket of the log daemon; null: the system's.</param>
    /// <exception cref="IOException">logfile cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">logfile cannot be opened.</exception>
    public LogWriter(PoolerSettings settings, LogConsole? console, TimeProvider time, string? syslogPath = null)
    {
        _console = console;
        _time = time;
        _syslogPath = syslogPath ?? SyslogSocket.DefaultPath;
        _queue = Channel.CreateBounded<LogEntry>(new BoundedChannelOptions(QueueLength)
        {
            SingleReader = true,
            FullMode = BoundedChannelFullMode.Wait,
            // Who logs wakes the writing thread itself, without a turn of the thread pool in between.
            AllowSynchronousContinuations = true,
        });
        Apply(settings);
        _writing = Task.Factory.StartNew(Write, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>The least level that is written. Set by verbose.</summary>
    public LogLevel MinimumLevel { get; private set; } = LogLevel.Information;

    /// <summary>Takes over changed settings, and opens the file anew so that it can be rotated.</summary>
    /// <exception cref="IOException">logfile cannot be opened; the log goes on where it was.</exception>
    /// <exception cref="UnauthorizedAccessException">logfile cannot be opened; the log goes on where it was.</exception>
    public void Apply(PoolerSettings settings)
    {
        MinimumLevel = settings.Verbose switch { 0 => LogLevel.Information, 1 => LogLevel.Debug, _ => LogLevel.Trace };
        _json = settings.LogFormat == "json";
        var syslog = settings.Syslog && !OperatingSystem.IsWindows() ? (_syslogPath, settings.SyslogFacility, settings.SyslogIdent) : default;
        lock (_sinks)
        {
            if (_syslog?.Key != syslog)
            {
                _syslog?.Dispose();
                _syslog = syslog == default ? null : new SyslogSocket(syslog.Item1, syslog.Item2, syslog.Item3);
            }
        }

        var file = settings.LogFile.Length == 0 ? null : new LogFile(settings.LogFile);
        lock (_sinks)
        {
            _file?.Dispose();
            _file = file;
        }
    }

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, _ => new Logger(this));

    /// <summary>Writes what is queued and stops.</summary>
    public void Dispose()
    {
        if (!_queue.Writer.TryComplete()) return;
        _writing.Wait(TimeSpan.FromSeconds(5));
        lock (_sinks)
        {
            _file?.Dispose();
            _syslog?.Dispose();
        }
    }

    private void Enqueue<TState>(LogLevel level, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        // The fields are copied here: the state may be used again once this returns.
        var fields = _json && state is IReadOnlyList<KeyValuePair<string, object?>> named ? named.ToArray() : [];
        if (!_queue.Writer.TryWrite(new LogEntry(_time.GetUtcNow(), level, formatter(state, exception), eventId.Name, exception, fields)))
            Interlocked.Increment(ref _lost);
    }

    private void Write()
    {
        while (_queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            lock (_sinks)
            {
                while (_queue.Reader.TryRead(out var entry)) Write(entry);
                if (Interlocked.Exchange(ref _lost, 0) is > 0 and var lost)
                {
                    var message = string.Create(CultureInfo.InvariantCulture, $"{lost} log lines were lost: the log is written too slowly");
                    Write(new LogEntry(_time.GetUtcNow(), LogLevel.Warning, message, "log_lines_lost", null, []));
                }

                Try(() => _console?.Flush());
                Try(() => _file?.Flush());
            }
        }
    }

    private void Write(LogEntry entry)
    {
        var line = _json ? JsonLine.Format(entry) : LogLine.Format(entry, withTrace: MinimumLevel < LogLevel.Information);
        Try(() => _console?.Write(entry, line, plain: !_json));
        Try(() => _file?.Write(line));

        // As with PgBouncer, what only verbose shows stays away from syslog.
        if (_syslog is { } syslog && entry.Level >= LogLevel.Information) syslog.Send(entry.Time, entry.Severity, LogLine.Text(entry));
    }

    // A full disk or a closed terminal must not end the pooler.
    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or UnauthorizedAccessException)
        {
        }
    }

    private sealed class Logger(LogWriter writer) : ILogger
    {
        public bool IsEnabled(LogLevel logLevel) => logLevel >= writer.MinimumLevel && logLevel != LogLevel.None;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) writer.Enqueue(logLevel, eventId, state, exception, formatter);
        }
    }
}
