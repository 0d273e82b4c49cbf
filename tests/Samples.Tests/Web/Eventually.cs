using System.Diagnostics;
using Xunit;

namespace Samples.Tests.Web;

/// <summary>Waits for what happens in its own time.</summary>
internal static class Eventually
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    public static async Task Is(Func<Task<bool>> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            if (watch.Elapsed > Deadline)
                Assert.Fail($"Not within {Deadline.TotalSeconds} s: {what}");
            await Task.Delay(50);
        }
    }
}
