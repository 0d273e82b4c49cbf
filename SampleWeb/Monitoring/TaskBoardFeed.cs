using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Web;
using SampleQueue;
using StackExchange.Redis;

namespace SampleWeb.Monitoring;

/// <summary>
/// Keeps the open task monitors up to date. However many there are, the queues are read and the board is rendered once
/// per change; with nobody watching, not at all.
/// </summary>
internal sealed partial class TaskBoardFeed(TaskMonitor monitor, IServiceProvider services, ILoggerFactory loggers, ILogger<TaskBoardFeed> logger)
    : BackgroundService
{
    /// <summary>How many tasks of each kind the board shows.</summary>
    public const int Limit = 25;

    // A worker that went silent is no event; it shows by the passing of time.
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    // A storm of events is shown in steps the eye can follow.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(200);

    private readonly ConcurrentDictionary<Viewer, bool> _viewers = [];
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>A new viewer, who gets the current board at once and each changed one. Dispose it to leave.</summary>
    public Viewer Join()
    {
        var viewer = new Viewer(this);
        _viewers[viewer] = true;
        _wake.Writer.TryWrite(true);
        return viewer;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                await _wake.Reader.ReadAsync(stoppingToken);
                if (!_viewers.IsEmpty)
                    await ServeAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
    }

    /// <summary>Until the last viewer has left.</summary>
    private async Task ServeAsync(CancellationToken stoppingToken)
    {
        using var subscription = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        var listening = ListenAsync(subscription.Token);
        while (!_viewers.IsEmpty)
        {
            var board = await RenderAsync();
            foreach (var viewer in _viewers.Keys)
                viewer.Show(board);

            await Task.Delay(ShortestPause, stoppingToken);
            using var pause = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
            pause.CancelAfter(LongestPause - ShortestPause);
            try
            {
                await _wake.Reader.ReadAsync(pause.Token);
            }
            catch (OperationCanceledException) when (!stoppingToken.IsCancellationRequested)
            {
            }
        }

        await subscription.CancelAsync();
        await listening;
    }

    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var _ in monitor.SubscribeAsync(cancellationToken))
                _wake.Writer.TryWrite(true);
        }
        catch (OperationCanceledException)
        {
        }
        catch (Exception error) when (error is RedisException or TimeoutException)
        {
            // The board is still read at every pause; it only lags a little.
            LogNotListening(error.Message);
        }
    }

    private async Task<string> RenderAsync()
    {
        var parameters = new Dictionary<string, object?>();
        try
        {
            parameters[nameof(TaskBoard.Snapshot)] = await monitor.ReadAsync(Limit);
        }
        catch (Exception error) when (error is RedisException or TimeoutException)
        {
            LogUnreadable(error.Message);
        }

        await using var renderer = new HtmlRenderer(services, loggers);
        return await renderer.Dispatcher.InvokeAsync(async () =>
            (await renderer.RenderComponentAsync<TaskBoard>(ParameterView.FromDictionary(parameters))).ToHtmlString());
    }

    [LoggerMessage(LogLevel.Warning, "The task monitor can't listen to Redis: {Reason}")]
    private partial void LogNotListening(string reason);

    [LoggerMessage(LogLevel.Warning, "The task queues can't be read: {Reason}")]
    private partial void LogUnreadable(string reason);

    /// <summary>One open task monitor. A slow one skips boards: only the latest matters.</summary>
    internal sealed class Viewer(TaskBoardFeed feed) : IDisposable
    {
        private readonly Channel<string> _boards =
            Channel.CreateBounded<string>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });

        private string? _shown;

        /// <summary>The next board; null when the viewer or the service ends.</summary>
        public async Task<string?> NextAsync(CancellationToken cancellationToken)
        {
            try
            {
                return await _boards.Reader.ReadAsync(cancellationToken);
            }
            catch (OperationCanceledException)
            {
                return null;
            }
        }

        public void Dispose() => feed._viewers.TryRemove(this, out _);

        internal void Show(string board)
        {
            if (board == _shown)
                return;
            _shown = board;
            _boards.Writer.TryWrite(board);
        }
    }
}
