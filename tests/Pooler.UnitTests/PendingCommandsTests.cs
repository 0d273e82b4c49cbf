using Pooler.Engine;
using Xunit;

namespace Pooler.UnitTests;

public sealed class PendingCommandsTests
{
    private readonly PendingCommands _pending = new();

    [Fact]
    public async Task A_wait_ends_when_its_condition_holds()
    {
        var done = false;
        var waiting = _pending.WaitAsync(() => done, endsWithResume: true, TestContext.Current.CancellationToken);
        _pending.Check();
        Assert.False(waiting.IsCompleted);
        done = true;
        _pending.Check();
        await waiting;
        Assert.Equal(0, _pending.Count);
    }

    [Fact]
    public async Task Who_gives_up_is_forgotten()
    {
        using var givesUp = new CancellationTokenSource();
        var waiting = _pending.WaitAsync(static () => false, endsWithResume: true, givesUp.Token);
        Assert.Equal(1, _pending.Count);
        await givesUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.Equal(0, _pending.Count);

        // Before it began to wait.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _pending.WaitAsync(static () => false, true, givesUp.Token));
        Assert.Equal(0, _pending.Count);
    }

    [Fact]
    public async Task Resume_ends_those_that_wait_for_a_standstill_only()
    {
        var pause = _pending.WaitAsync(static () => false, endsWithResume: true, TestContext.Current.CancellationToken);
        var shutdown = _pending.WaitAsync(static () => false, endsWithResume: false, TestContext.Current.CancellationToken);
        _pending.EndByResume();
        await Assert.ThrowsAsync<AdministrationException>(() => pause);
        Assert.False(shutdown.IsCompleted);
        Assert.Equal(1, _pending.Count);
    }
}
