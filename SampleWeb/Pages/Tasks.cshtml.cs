using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;
using SampleQueue;
using SampleWeb.Monitoring;
using StackExchange.Redis;

namespace SampleWeb.Pages;

/// <summary>The task monitor. Rendered once here; a script then follows the stream.</summary>
internal sealed class TasksModel(TaskMonitor monitor, TaskQueue tasks) : PageModel
{
    /// <summary><see langword="null"/> when Redis can't be reached.</summary>
    public TaskMonitorSnapshot? Snapshot { get; private set; }

    public async Task OnGetAsync()
    {
        try
        {
            Snapshot = await monitor.ReadAsync(TaskBoardFeed.Limit);
        }
        catch (Exception error) when (error is RedisException or TimeoutException)
        {
            Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        }
    }

    public Task<IActionResult> OnPostRefreshAllAsync() => EnqueueAsync(TaskNames.RefreshAllPrices, "A look at all prices is enqueued.");

    public Task<IActionResult> OnPostReportAsync() => EnqueueAsync(TaskNames.PriceReport, "A price report is enqueued; the worker logs it.");

    public Task<IActionResult> OnPostRequeueAsync([FromForm] string? entry) =>
        DoAsync(async () => entry is not null && await monitor.RequeueAsync(entry), "The task is back in its queue.");

    public Task<IActionResult> OnPostDiscardAsync([FromForm] string? entry) =>
        DoAsync(async () => entry is not null && await monitor.DiscardAsync(entry), "The task is discarded.");

    private Task<IActionResult> EnqueueAsync(string task, string notice) => DoAsync(
        async () =>
        {
            await tasks.EnqueueAsync(TaskQueues.Default, task);
            return true;
        },
        notice);

    private async Task<IActionResult> DoAsync(Func<Task<bool>> action, string notice)
    {
        try
        {
            if (await action())
                this.Notice(notice);
            else
                this.Trouble("That task isn't among the dead letters any more.");
        }
        catch (RedisServerException)
        {
            this.Trouble("Redis refused that.");
        }
        catch (Exception error) when (error is RedisException or TimeoutException)
        {
            this.Trouble("The task queue can't be reached.");
        }

        return LocalRedirect("/tasks");
    }
}
