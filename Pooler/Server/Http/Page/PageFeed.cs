using Pooler.Engine;

namespace Pooler.Server.Http.Page;

/// <summary>
/// Draws the page about once a second for all who watch it, and not at all while nobody does. Watchers take the newest
/// frame when they are ready for one: nothing is kept for those that are slow.
/// </summary>
internal sealed class PageFeed(Func<PageModel> take, bool isAdmin, TimeProvider timeProvider, ILogger logger)
{
    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(1);

    // To look at the clients of a large pooler takes a while: not once for each of many requests.
    private static readonly TimeSpan Fresh = TimeSpan.FromMilliseconds(300);

    // More tabs than people look at; each costs a connection and a few kilobytes a second.
    private const int MostWatchers = 32;

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _drawing = new(1);
    private (string Text, long At)? _document;
    private PageFrame? _frame;
    private TaskCompletionSource<PageFrame> _next = NewSource();
    private int _watchers;
    private bool _isRunning;

    public PageFeed(PoolerEngine engine, bool isAdmin, TimeProvider timeProvider, ILogger logger)
        : this(() => PageModel.Take(engine), isAdmin, timeProvider, logger)
    {
    }

    /// <summary>The page as a document of its own. Those who ask at the same moment share it.</summary>
    public async Task<string> DocumentAsync(CancellationToken cancellationToken)
    {
        await _drawing.WaitAsync(cancellationToken);
        try
        {
            if (_document is { } drawn && timeProvider.GetElapsedTime(drawn.At) < Fresh) return drawn.Text;
            var text = PageDocument.Draw(take(), isAdmin);
            _document = (text, timeProvider.GetTimestamp());
            return text;
        }
        finally
        {
            _drawing.Release();
        }
    }

    /// <summary>Whoever watches gets frames until it is disposed. Null: there are too many already.</summary>
    public Watcher? Watch()
    {
        lock (_lock)
        {
            if (_watchers >= MostWatchers) return null;
            _watchers++;
            if (!_isRunning)
            {
                _isRunning = true;
                // An old frame would be shown as if it were of this moment.
                _next = NewSource();
                _ = Task.Run(RunAsync);
            }
            return new Watcher(this);
        }
    }

    private static TaskCompletionSource<PageFrame> NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task RunAsync()
    {
        while (true)
        {
            try
            {
                var frame = PageFrame.Draw(take(), isAdmin, _frame);
                TaskCompletionSource<PageFrame> waiting;
                lock (_lock) (_frame, waiting, _next) = (frame, _next, NewSource());
                waiting.SetResult(frame);
            }
            catch (Exception e)
            {
                // The figures of the next second may be fit to be drawn again; watchers keep what they have seen.
                logger.LogError(e, "the web page could not be drawn");
            }
            await Task.Delay(Pace, timeProvider);
            lock (_lock)
            {
                if (_watchers > 0) continue;
                _isRunning = false;
                return;
            }
        }
    }

    /// <summary>One open stream.</summary>
    internal sealed class Watcher(PageFeed feed) : IDisposable
    {
        private bool _left;

        /// <summary>The number of the frame that it has seen last.</summary>
        public long Seen { get; private set; }

        /// <summary>The next frame to be drawn; those that were drawn meanwhile are missed.</summary>
        public Task<PageFrame> NextAsync(CancellationToken cancellationToken)
        {
            lock (feed._lock) return feed._next.Task.WaitAsync(cancellationToken);
        }

        public void HasSeen(PageFrame frame) => Seen = frame.Number;

        public void Dispose()
        {
            lock (feed._lock)
            {
                if (_left) return;
                _left = true;
                feed._watchers--;
            }
        }
    }
}
