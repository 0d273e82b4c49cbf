using System.Collections.Concurrent;
using System.Text;
using System.Threading.Channels;
using Pooler.Engine.Configuration;

namespace Pooler.Server.Logging;

/// <summary>
/// Writes the log to the console and to logfile, from a thread of its own: an event loop must not wait for a slow
/// terminal or disk. What does not fit the queue is counted and reported, not waited for.
/// </summary>
internal sealed class LogWriter : ILoggerProvider
{
    // About a second of the busiest log there is.
    private const int QueueLength = 65536;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    private readonly ConcurrentDictionary<string, Logger> _loggers = new();
    private readonly Channel<string> _queue;
    private readonly TextWriter? _console;
    private readonly TimeProvider _time;
    private readonly Task _writing;
    private readonly Lock _fileGate = new();
    private StreamWriter? _file;
    private long _lost;

    /// <summary>Starts writing.</summary>
    /// <param name="settings">Names the file.</param>
    /// <param name="console">Where to write besides; null: nowhere.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="IOException">logfile cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">logfile cannot be opened.</exception>
    public LogWriter(PoolerSettings settings, TextWriter? console, TimeProvider time)
    {
        _console = console;
        _time = time;
        _queue = Channel.CreateBounded<string>(new BoundedChannelOptions(QueueLength) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
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
        SetVerbosity(settings.Verbose);
        var file = settings.LogFile.Length == 0
            ? null
            : new StreamWriter(new FileStream(settings.LogFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete), Utf8);
        lock (_fileGate)
        {
            _file?.Dispose();
            _file = file;
        }
    }

    /// <summary>Sets <see cref="MinimumLevel"/> by the setting verbose: 0 is LOG, 1 is DEBUG, more is NOISE.</summary>
    public void SetVerbosity(int verbose) =>
        MinimumLevel = verbose switch { 0 => LogLevel.Information, 1 => LogLevel.Debug, _ => LogLevel.Trace };

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, _ => new Logger(this));

    /// <summary>Writes what is queued and stops.</summary>
    public void Dispose()
    {
        if (!_queue.Writer.TryComplete()) return;
        _writing.Wait(TimeSpan.FromSeconds(5));
        lock (_fileGate) _file?.Dispose();
    }

    private void Enqueue(LogLevel level, string message, Exception? exception)
    {
        var line = LogLine.Format(_time.GetUtcNow(), level, message, exception, withTrace: MinimumLevel < LogLevel.Information);
        if (!_queue.Writer.TryWrite(line)) Interlocked.Increment(ref _lost);
    }

    private void Write()
    {
        while (_queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            lock (_fileGate)
            {
                while (_queue.Reader.TryRead(out var line)) WriteLine(line);
                if (Interlocked.Exchange(ref _lost, 0) is > 0 and var lost)
                    WriteLine(LogLine.Format(_time.GetUtcNow(), LogLevel.Warning, $"{lost} log lines were lost: the log is written too slowly", null, withTrace: false));
                Try(() => _console?.Flush());
                Try(() => _file?.Flush());
            }
        }
    }

    private void WriteLine(string line)
    {
        Try(() => _console?.Write(line));
        Try(() => _file?.Write(line));
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
            if (IsEnabled(logLevel)) writer.Enqueue(logLevel, formatter(state, exception), exception);
        }
    }
}
