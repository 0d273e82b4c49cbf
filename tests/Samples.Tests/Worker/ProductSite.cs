using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Samples.Tests.Worker;

/// <summary>A shop whose pages a test can hold back or break.</summary>
internal sealed class ProductSite : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<int, int> _requests = new();
    private volatile TaskCompletionSource _gate = Opened();
    private int _current;
    private int _most;

    private ProductSite(WebApplication app) => _app = app;

    public string Address => _app.Urls.First();

    /// <summary>What a page says instead of its price, when not null.</summary>
    public int? Failure { get; set; }

    public decimal Price { get; set; } = 19.99m;

    /// <summary>Requests being answered now.</summary>
    public int Current => Volatile.Read(ref _current);

    /// <summary>The most requests that were being answered at one time.</summary>
    public int Most => Volatile.Read(ref _most);

    public int Requests(int product) => _requests.GetValueOrDefault(product);

    public static async Task<ProductSite> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        var app = builder.Build();
        app.Urls.Add("http://127.0.0.1:0");
        var site = new ProductSite(app);
        app.MapGet("/shop-window/{id:int}", site.AnswerAsync);
        await app.StartAsync();
        return site;
    }

    /// <summary>Answers no request until <see cref="Open"/>.</summary>
    public void Hold() => _gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Open() => _gate.TrySetResult();

    public async ValueTask DisposeAsync()
    {
        Open();
        await _app.DisposeAsync();
    }

    private async Task<IResult> AnswerAsync(int id, CancellationToken aborted)
    {
        _requests.AddOrUpdate(id, 1, (_, count) => count + 1);
        var current = Interlocked.Increment(ref _current);
        for (var most = Most; current > most; most = Most)
            Interlocked.CompareExchange(ref _most, current, most);
        try
        {
            await _gate.Task.WaitAsync(aborted);
            return Failure is { } status
                ? Results.StatusCode(status)
                : Results.Content(FormattableString.Invariant(
                    $"""<html><div itemscope><meta itemprop="price" content="{Price}"><meta itemprop="priceCurrency" content="EUR"></div>"""),
                    "text/html");
        }
        finally
        {
            Interlocked.Decrement(ref _current);
        }
    }

    private static TaskCompletionSource Opened()
    {
        var gate = new TaskCompletionSource();
        gate.SetResult();
        return gate;
    }
}
