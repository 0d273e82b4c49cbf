using Microsoft.Extensions.Logging;
using Pooler.Engine;
using Pooler.Engine.Protocol;
using Pooler.UnitTests.Sessions;
using Xunit;

namespace Pooler.UnitTests;

public sealed class AdministrationTests
{
    [Fact]
    public async Task A_pause_is_answered_when_a_resume_comes_before_it_has_closed_all()
    {
        var log = new CallingLog();
        var harness = new SessionHarness(s => s with { DefaultPoolSize = 2 }, log: log);
        var query = SessionHarness.Messages(w => w.Query("SELECT 1"));
        var (idle, busy) = (harness.Login(), harness.Login());
        busy.Receive(query);
        idle.Receive(query);
        harness.Loop.Run();
        harness.WelcomeServer();
        harness.Server.Receive(SessionHarness.Messages(w => { w.CommandComplete("SELECT 1"); w.ReadyForQuery((byte)'I'); }));
        harness.Loop.Run();

        log.Called = line =>
        {
            if (!line.Contains("pause mode", StringComparison.Ordinal)) return;
            log.Called = static _ => { };
            harness.Core.Administration.Resume(null);
        };
        var pause = harness.Core.Administration.PauseAsync(null, TestContext.Current.CancellationToken);

        await Assert.ThrowsAsync<AdministrationException>(() => pause.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
        Assert.False(harness.Core.Administration.AllPaused);
    }

    private sealed class CallingLog : ILogger
    {
        public Action<string> Called { get; set; } = static _ => { };

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Called(formatter(state, exception));
    }
}
